//! The `everywire` program: serve the toolkit on every wire, call it, print its schemas.

mod cli;

use std::{
    env,
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};

use clap::Parser;

/// From which size on glibc gives a buffer back to the system as soon as it is free. Left to itself it raises the size to
/// that of the longest buffer so far, and what peers send would stay in the process long after they have gone. It reads
/// the variable before `main`, so the program starts itself once more; other C libraries ignore it.
const BUFFERS: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "131072");

fn main() -> ExitCode {
    if env::var_os(BUFFERS.0).is_none()
        && let Ok(program) = env::current_exe()
    {
        // It returns only if it fails, and then this process does as well, with more memory.
        let _ = Command::new(program).args(env::args_os().skip(1)).env(BUFFERS.0, BUFFERS.1).exec();
    }
    run()
}

#[tokio::main]
async fn run() -> ExitCode {
    match cli::Cli::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
