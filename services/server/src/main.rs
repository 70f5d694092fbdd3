//! The `everywire` program: serve the toolkit on every wire, call it, print its schemas.

mod cli;

use std::{io::Write, process::ExitCode};

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    let code = cli::Cli::parse().run().await;
    // `Log` never fails.
    let _ = cli::Log.flush();
    code
}
