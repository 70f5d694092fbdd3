//! Failures of an engine, and how they are reported to callers, to the operator and in the log.

use std::{
    fmt::Write,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use everywire_core::RpcError;
use tokio::time::Instant;

/// The same message of an engine that keeps rejecting steps is logged at most this often.
const LOGGED_AGAIN: Duration = Duration::from_mins(1);

/// The shortest time between two log lines about rejected steps with different messages.
const LOG_PAUSE: Duration = Duration::from_secs(1);

/// Why a step or a connection failed, with the engine's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The engine rejects the step. The connection is still usable.
    Rejected(String),
    /// The connection is unusable, or there is none.
    Lost(String),
    /// The engine lacks what it is needed for.
    Unfit(String),
}

impl Failure {
    /// The engine's message.
    pub fn why(&self) -> &str {
        let (Self::Rejected(why) | Self::Lost(why) | Self::Unfit(why)) = self;
        why
    }
}

/// An engine's names in messages.
#[derive(Debug)]
pub struct Names {
    /// Its address without a password, for the log and the operator.
    pub address: String,
    /// Its purpose, such as `the Redis that keeps the locks`, for callers.
    pub role: String,
    /// The hosts in the address.
    hosts: Vec<String>,
    /// The last message that was logged for a rejected step, and its time.
    logged: Mutex<Option<(String, Instant)>>,
}

impl Names {
    /// The names of an engine at `address` that callers know as `role`.
    pub fn new(address: String, role: impl Into<String>) -> Self {
        let hosts = hosts(&address);
        Self { address, role: role.into(), hosts, logged: Mutex::default() }
    }

    /// The error that ends the start of the server.
    pub fn at_start(&self, failure: &Failure) -> RpcError {
        let message = format!("{}: {}", self.address, failure.why());
        match failure {
            Failure::Unfit(_) => RpcError::failed_precondition(message),
            Failure::Rejected(_) | Failure::Lost(_) => RpcError::unavailable(message),
        }
    }

    /// The error of a call whose engine is unavailable.
    pub fn unavailable(&self, why: &str) -> RpcError {
        RpcError::unavailable(format!("{} is unavailable: {}", self.role, without_addresses(why, &self.hosts)))
    }

    /// The error of a call that the engine rejects. Logs it with the address.
    pub fn rejected(&self, why: &str) -> RpcError {
        self.log_rejected(why);
        RpcError::unavailable(format!("{} rejects this: {}", self.role, without_addresses(why, &self.hosts)))
    }

    fn log_rejected(&self, why: &str) {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((words, when)) = &*logged
            && when.elapsed() < if words == why { LOGGED_AGAIN } else { LOG_PAUSE }
        {
            return;
        }
        *logged = Some((why.to_owned(), Instant::now()));
        tracing::warn!("{}, {}, rejects a step: {why}", self.role, self.address);
    }
}

/// The hosts in an address such as `redis://a:1,b:2/0`.
fn hosts(address: &str) -> Vec<String> {
    let authority = address.split_once("://").map_or(address, |(_, rest)| rest).split('/').next().unwrap_or_default();
    let host = |server: &str| server.rsplit_once(':').map_or(server, |(host, _)| host).to_owned();
    authority.split(',').map(host).filter(|host| !host.is_empty()).collect()
}

/// Replaces each of the `hosts`, and anything else that looks like an address, in `why` by `…`: callers must not learn the
/// engine's address.
fn without_addresses(why: &str, hosts: &[String]) -> String {
    let is_host = |word: &str| {
        let host = word.rsplit_once(':').map_or(word, |(host, _)| host);
        hosts.iter().any(|known| known.eq_ignore_ascii_case(host) || known.eq_ignore_ascii_case(word))
    };
    let ends_word = |c: char| c.is_whitespace() || "\"'`(),;=@/".contains(c);
    let is_secret = |word: &str| is_address(word) || is_host(word);
    let mut text = String::with_capacity(why.len());
    for part in why.split_inclusive(ends_word) {
        let (word, end) = part.split_at(part.trim_end_matches(ends_word).len());
        let _ = write!(text, "{}{end}", if is_secret(word.trim_end_matches(['.', ':'])) { "…" } else { word });
    }
    text
}

/// Whether `word` is an IP address or HOST:PORT.
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
            ("no route to Db.Internal: gone, db.internal:80", "no route to … gone, …"),
        ] {
            let hosts = hosts("postgres://db.internal:5432,[::1]:7/name");
            assert_eq!(without_addresses(why, &hosts), seen, "{why}");
        }
    }

    #[test]
    fn the_operator_sees_the_address_and_a_caller_the_role() {
        let names = Names::new("redis://127.0.0.1:6379".into(), "the Redis that keeps the locks");
        let unfit = names.at_start(&Failure::Unfit("is a replica".into()));
        assert_eq!(unfit.to_string(), "FAILED_PRECONDITION: redis://127.0.0.1:6379: is a replica");
        let away = names.unavailable("gone");
        assert_eq!(away.to_string(), "UNAVAILABLE: the Redis that keeps the locks is unavailable: gone");
    }
}
