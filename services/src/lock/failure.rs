//! Why an engine does not do what it is asked, and who is told what of it.

use std::{
    fmt::Write,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rpc_core::RpcError;
use tokio::time::Instant;

/// The same words of an engine that rejects steps are logged once in so long.
const LOGGED_AGAIN: Duration = Duration::from_mins(1);

/// Why a step or a connection failed, in the engine's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The engine rejects the step, and the connection is as good as before.
    Rejected(String),
    /// The connection is of no use any more, or there is none.
    Lost(String),
    /// The engine can't do what it is needed for.
    Unfit(String),
}

impl Failure {
    pub(crate) fn why(&self) -> &str {
        let (Self::Rejected(why) | Self::Lost(why) | Self::Unfit(why)) = self;
        why
    }
}

/// What messages call an engine.
#[derive(Debug)]
pub(crate) struct Names {
    /// Where it is, without a password: for the log, and whoever starts the server.
    pub(crate) address: String,
    /// What it is: for callers, such as `the Redis that keeps the locks`.
    pub(crate) role: String,
    /// What was logged last of rejected steps, and when.
    logged: Mutex<Option<(String, Instant)>>,
}

impl Names {
    pub(crate) fn new(address: String, role: impl Into<String>) -> Self {
        Self { address, role: role.into(), logged: Mutex::default() }
    }

    /// What whoever starts the server is told.
    pub(crate) fn at_start(&self, failure: &Failure) -> RpcError {
        let message = format!("{}: {}", self.address, failure.why());
        match failure {
            Failure::Unfit(_) => RpcError::failed_precondition(message),
            Failure::Rejected(_) | Failure::Lost(_) => RpcError::unavailable(message),
        }
    }

    /// What callers are told of an engine that is away.
    pub(crate) fn unavailable(&self, why: &str) -> RpcError {
        RpcError::unavailable(format!("{} is unavailable: {}", self.role, without_addresses(why)))
    }

    /// What callers are told of an engine that is there and says no; the log has the address.
    pub(crate) fn rejected(&self, why: &str) -> RpcError {
        self.log_rejected(why);
        RpcError::unavailable(format!("{} rejects this: {}", self.role, without_addresses(why)))
    }

    fn log_rejected(&self, why: &str) {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.as_ref().is_some_and(|(words, when)| words == why && when.elapsed() < LOGGED_AGAIN) {
            return;
        }
        *logged = Some((why.to_owned(), Instant::now()));
        tracing::warn!("{}, {}, rejects a step: {why}", self.role, self.address);
    }
}

/// The same text with `…` for each address: where an engine is, is no matter of callers.
fn without_addresses(why: &str) -> String {
    let mut text = String::with_capacity(why.len());
    for part in why.split_inclusive(|c: char| c.is_whitespace() || "\"'`(),;=@/".contains(c)) {
        let (word, end) = match part.char_indices().last() {
            Some((at, c)) if c.is_whitespace() || "\"'`(),;=@/".contains(c) => part.split_at(at),
            _ => (part, ""),
        };
        let _ = write!(text, "{}{end}", if is_address(word.trim_end_matches(['.', ':'])) { "…" } else { word });
    }
    text
}

/// An address of a host, or HOST:PORT.
fn is_address(word: &str) -> bool {
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port >= 1_024);
    word.parse::<SocketAddr>().is_ok()
        || word.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|_| word.contains(|c: char| c.is_ascii_digit()))
        || word.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && is_port(port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_see_no_address() {
        for (why, seen) in [
            ("Connection refused (os error 111)", "Connection refused (os error 111)"),
            ("no entry for host \"10.0.0.7\", user \"me\"", "no entry for host \"…\", user \"me\""),
            ("tcp://db.internal:5432: closed", "tcp://… closed"),
            ("connect to [::1]:6379 failed", "connect to … failed"),
            ("host ::1, 127.0.0.1:80.", "host …, …"),
            ("a::text at 12:3 of @user_script:12.", "a::text at 12:3 of @user_script:12."),
            ("ERROR 1290 (HY000): x", "ERROR 1290 (HY000): x"),
        ] {
            assert_eq!(without_addresses(why), seen, "{why}");
        }
    }

    #[test]
    fn who_starts_a_server_sees_the_address_and_a_caller_the_role() {
        let names = Names::new("redis://127.0.0.1:6379".into(), "the Redis that keeps the locks");
        let unfit = names.at_start(&Failure::Unfit("is a replica".into()));
        assert_eq!(unfit.to_string(), "FAILED_PRECONDITION: redis://127.0.0.1:6379: is a replica");
        let away = names.unavailable("gone");
        assert_eq!(away.to_string(), "UNAVAILABLE: the Redis that keeps the locks is unavailable: gone");
    }
}
