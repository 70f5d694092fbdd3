//! The real program under a table of attacks on every wire, while ordinary clients call it from another address.
//!
//! ```text
//! cargo test --release --test abuse                the whole table, about three minutes
//! cargo test --release --test abuse -- bomb gRPC   the rows whose names or wires contain a word
//! cargo test --release --test abuse -- --soak N    N mixed calls over all wires; 10,000,000 without a number
//! ```
//!
//! A row holds if
//! - the server refused the attack as the row says: each attack fails if it did nothing;
//! - the program lives and nothing in it panicked;
//! - every ordinary call was answered, correctly and in time;
//! - their 99th percentile, from the moment when a call was due, is at most three times that of the undisturbed program;
//! - the program's resident memory stayed under 200 MB, at its highest;
//! - its file descriptors are as many as before, soon after the attackers left.
//!
//! A row that does not hold leaves its traces in the program, so the next one meets a new program. One that is only too
//! slow is repeated, up to three times, and the calls of all its times count: a second has six calls beyond the 99th
//! percentile, and one pause of the machine is as many.
//!
//! Callers, server and attackers stand for three machines, so none may wait because another uses the processor: the callers
//! run before all others (`chrt --rr`, which needs the right to), and the attackers when nobody else wants to (`chrt
//! --idle`). What is measured is then what the server takes from its callers. The first row is the test of that: attackers
//! that keep all processors busy and ask the server nothing. Without it their 99th percentile alone was 4 to 14 times as
//! long on two virtual processors. Attackers come from 127.0.0.2 and up, as the server counts connections by address. What
//! can be repeated is repeated twenty times a second.
//!
//! Without optimization the form is short: a second for each row, and a 99th percentile of up to 100 ms is good even if it
//! is more than the threefold. It has to hold on a machine that is busy with something else too, so the server then runs
//! before all but the callers, and the attackers like anybody else. The full form does without, because Linux takes a
//! twentieth of each second from processes that run before others.
//! `EVERYWIRE_ABUSE=short` and `=full` choose the form.

#![expect(clippy::unwrap_used, reason = "a test fails where its assumption does")]

mod attacks;
mod callers;
mod row;
mod server;
#[path = "../serving.rs"]
mod serving;
mod soak;
mod sockets;

use std::{env, process::ExitCode, time::Duration};

use attacks::{ATTACKS, Attack};

/// How long and how strict the table is.
#[derive(Clone, Copy)]
pub(crate) struct Form {
    /// An attack that can be repeated is repeated for so long.
    attack: Duration,
    /// Nobody attacks for so long before each row, to learn what is normal at present.
    quiet: Duration,
    /// The 99th percentile may be so long in any case.
    short: Duration,
    /// The arguments to `chrt` that say when the server runs, if callers may run before all others.
    server: [&'static str; 2],
    /// The same for attackers.
    attackers: [&'static str; 2],
}

/// Otherwise it may be so many times the undisturbed one.
const SLOWER: f64 = 3.0;

const FULL: Form = Form {
    attack: Duration::from_secs(1),
    quiet: Duration::from_millis(300),
    short: Duration::ZERO,
    server: ["--other", "0"],
    attackers: ["--idle", "0"],
};
const SHORT: Form = Form {
    attack: Duration::from_millis(200),
    quiet: Duration::from_millis(50),
    short: Duration::from_millis(100),
    server: ["--rr", "1"],
    attackers: ["--other", "0"],
};

impl Form {
    fn chosen() -> Self {
        match env::var("EVERYWIRE_ABUSE").as_deref() {
            Ok("short") => SHORT,
            Ok("full") => FULL,
            Ok(other) => panic!("EVERYWIRE_ABUSE={other} is neither short nor full"),
            Err(_) if cfg!(debug_assertions) => SHORT,
            Err(_) => FULL,
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let held = match arguments[..] {
        // What lists tests finds none by a name of its own.
        ["--list", ..] => true,
        [row::ATTACK, number, address, ms] => row::attack(number, address, ms),
        ["--soak", ref count @ ..] => soak::soak(count.first().map_or(10_000_000, |count| count.parse().unwrap())),
        ref words => table(words),
    };
    if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs and prints the rows that `words` choose, or all. The flags of the usual harness choose nothing.
fn table(words: &[&str]) -> bool {
    let words: Vec<_> = words.iter().filter(|word| !word.starts_with("--")).collect();
    let chosen = |attack: &Attack| {
        words.is_empty() || words.iter().any(|word| attack.name.contains(**word) || attack.wire.name().contains(**word))
    };
    let rows: Vec<_> = ATTACKS.iter().enumerate().filter(|(_, attack)| chosen(attack)).collect();
    if rows.is_empty() {
        return true;
    }
    let mut form = Form::chosen();
    if !server::runs_before_all_others() {
        form.server = ["--other", "0"];
    }
    runtime().block_on(row::run(&rows, form))
}

/// The callers' runtime.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}
