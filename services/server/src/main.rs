//! The `everywire` program: serve the toolkit on every wire, call it, print its schemas.

mod cli;

use std::{io::Write, process::ExitCode};

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    let code = match cli::Cli::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Room for the last line, however long the log is.
            let _ = cli::Log.flush();
            cli::say(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    };
    // `Log` never fails.
    let _ = cli::Log.flush();
    code
}
