//! The command line: one file per command.

mod at_file;
#[cfg(feature = "bench")]
mod bench;
mod call;
mod exit;
mod folder;
mod ids;
mod limiter;
mod limits;
mod listing;
mod log;
mod memory;
mod notes;
mod open_files;
mod origins;
mod probe;
mod rate;
mod remote;
mod schema;
mod serve;

use std::{
    fmt::Display,
    io::{ErrorKind, IsTerminal, Write, stderr, stdout},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use everywire::{Result, RpcError};
use tracing_subscriber::EnvFilter;

pub(crate) use self::log::Log;
use self::log::say;

/// One service on every wire: XML-RPC, JSON-RPC, gRPC, ZeroMQ (zerorpc) and RabbitMQ. Without a command it serves.
#[derive(Debug, Parser)]
#[command(name = "everywire", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::Serve>),
    Call(call::Call),
    Schema(schema::Schema),
    #[cfg(feature = "bench")]
    Bench(Box<bench::Bench>),
    #[cfg(feature = "bench")]
    BenchServer(bench::BenchServer),
    /// Measure what a call costs on each wire (needs a build with `--features bench`)
    #[cfg(not(feature = "bench"))]
    #[command(alias = "bench-server", disable_help_flag = true)]
    Bench {
        #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

#[cfg(not(feature = "bench"))]
const WITHOUT_BENCH: &str = "this program was built without the benchmark; \
                             `cargo build --release --features bench` builds it with it";

/// What lapin logs as an error, its user gets as an error too; and it logs messages that were returned, whole.
const DEFAULT_LOG: &str = "warn,lapin=off";

impl Cli {
    /// Runs the command to its exit code. The log goes to standard error; `RUST_LOG` sets what it says.
    pub(crate) async fn run(self) -> ExitCode {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_LOG));
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(stderr().is_terminal()).with_writer(|| Log).init();
        let outcome = match self.command.unwrap_or(Command::Serve(Box::new(self.serve))) {
            Command::Call(call) => return finished(call.run().await, exit::of),
            Command::Schema(schema) => return finished(schema.run().await, exit::of),
            Command::Serve(serve) => serve.run().await,
            #[cfg(feature = "bench")]
            Command::Bench(bench) => bench.run().await,
            #[cfg(feature = "bench")]
            Command::BenchServer(server) => server.run().await,
            #[cfg(not(feature = "bench"))]
            Command::Bench { arguments: _ } => Err(RpcError::unimplemented(WITHOUT_BENCH)),
        };
        finished(outcome.map(|()| ExitCode::SUCCESS), |_| ExitCode::FAILURE)
    }
}

/// Says an error, and returns the exit code.
fn finished(outcome: Result<ExitCode>, of_error: impl FnOnce(&RpcError) -> ExitCode) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        // Room for the last line, however long the log is.
        let _ = Log.flush();
        say(format_args!("error: {}", printable(&error.to_string())));
        of_error(&error)
    })
}

/// Prints to standard output. A reader that is gone, as in `everywire schema proto | head -1`, is no error.
fn print(text: impl Display) -> Result<()> {
    is_printed(text).map(drop)
}

/// Prints a line, and returns whether there is still a reader.
fn print_line(text: impl Display) -> Result<bool> {
    is_printed(format_args!("{text}\n"))
}

fn is_printed(text: impl Display) -> Result<bool> {
    let mut out = stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(RpcError::data_loss(format!("standard output can't be written: {error}"))),
    }
}

/// Text of a server without the characters that control a terminal or the direction of text.
fn printable(text: &str) -> String {
    let is_safe = |character: char| matches!(character, '\n' | '\t') || !controls(character);
    text.chars().map(|character| if is_safe(character) { character } else { char::REPLACEMENT_CHARACTER }).collect()
}

/// A value as JSON. Characters that a terminal would act on are escaped; all of them are in the basic plane.
fn json_text(value: &impl Display) -> String {
    let text = value.to_string();
    let escaped = |character| match character {
        _ if controls(character) && character != '\n' => format!("\\u{:04x}", u32::from(character)),
        _ => String::from(character),
    };
    if text.chars().any(controls) { text.chars().map(escaped).collect() } else { text }
}

/// Whether a terminal acts on the character: controls (C0, C1), and those that reorder what is beside them (UAX #9).
fn controls(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Names the flag whose value an error is about.
fn of_flag(flag: &str) -> impl Fn(RpcError) -> RpcError {
    move |error| RpcError::new(error.code(), format!("{flag}: {}", error.message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_a_server_controls_the_terminal() {
        let hostile = "a\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}b\n\tc";
        assert_eq!(printable(hostile), "a\u{fffd}]0;owned\u{fffd}\u{fffd}31m\u{fffd}b\n\tc");
        let value = serde_json::json!({"größe 漢字 😀": hostile});
        let text = json_text(&value);
        assert!(!text.chars().any(controls), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
