//! What the servers written by hand share.

use std::error::Error;

use tokio::{net::TcpListener, runtime::Builder};

use crate::argument;

/// Runs `server` as `PROGRAM ADDRESS [THREADS]`: on one thread unless told otherwise, and until standard input closes,
/// which is the server's to see. Prints the address that it listens on.
pub fn serve<F>(server: impl FnOnce(TcpListener) -> F) -> Result<(), Box<dyn Error>>
where
    F: Future<Output = Result<(), Box<dyn Error>>>,
{
    let runtime = match argument(2, "a number of threads") {
        Ok(threads) => Builder::new_multi_thread().worker_threads(threads.parse()?).enable_all().build(),
        Err(_) => Builder::new_current_thread().enable_all().build(),
    };
    let runtime = runtime?;
    let ended = runtime.block_on(async {
        let listener = TcpListener::bind(argument(1, "an address")?).await?;
        println!("{}", listener.local_addr()?);
        server(listener).await
    });
    // The thread that reads standard input has nothing left to wait for.
    runtime.shutdown_background();
    ended
}
