//! The `everywire` program: serve the toolkit on every wire, call it, print its schemas.

mod cli;

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

/// It gives long buffers back to the system once they are free. That of glibc keeps them after the first few, so that
/// what peers send would stay in the process long after they have gone.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    match cli::Cli::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
