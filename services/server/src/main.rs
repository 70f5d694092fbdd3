//! The `everywire` program: serve the toolkit on every wire, call it, print its schemas.

mod cli;

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    match cli::Cli::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            cli::say(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}
