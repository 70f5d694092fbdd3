//! The `everywire` program: serve the toolkit on every wire, call it, print its schemas.

mod cli;

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

/// Gives long buffers back to the operating system once they are free. glibc's allocator keeps them for good, or until a program
/// sets `MALLOC_MMAP_THRESHOLD_`, which it reads before `main`.
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
