//! `by_hand_tarpc ADDRESS [THREADS]`: `add` on tarpc.

use std::error::Error;

use everywire_benches::{by_hand, stdin_closed, tarpc_peer};

fn main() -> Result<(), Box<dyn Error>> {
    by_hand::serve(|listener| async {
        tokio::select! {
            ended = tarpc_peer::serve(listener) => ended,
            () = stdin_closed() => Ok(()),
        }
    })
}
