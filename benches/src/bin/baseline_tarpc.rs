//! `baseline_tarpc ADDRESS [THREADS]`: `add` on tarpc.

use std::error::Error;

use everywire_benches::{baseline_server, stdin_closed, tarpc_baseline};

fn main() -> Result<(), Box<dyn Error>> {
    baseline_server::serve(|listener| async {
        tokio::select! {
            ended = tarpc_baseline::serve(listener) => ended,
            () = stdin_closed() => Ok(()),
        }
    })
}
