//! What clients asked and were told.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A call with its answer. Owners are never used twice.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) lock: usize,
    pub(crate) owner: u64,
    pub(crate) what: What,
    /// Nanoseconds since the history began.
    pub(crate) asked: u64,
    pub(crate) told: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// The lock was granted for a time, with a token.
    Granted { ttl: u64, token: u64 },
    /// It was given back, or that was no use.
    Unlocked(bool),
    /// Nobody knows whether it was given back, and it may still happen.
    Unknown,
}

/// The calls of all clients.
#[derive(Debug)]
pub(crate) struct History {
    began: Instant,
    calls: Mutex<Vec<Call>>,
}

impl History {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), calls: Mutex::default() }
    }

    pub(crate) fn now(&self) -> u64 {
        nanos(self.began.elapsed())
    }

    pub(crate) fn add(&self, call: Call) {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    }

    pub(crate) fn into_calls(self) -> Vec<Call> {
        self.calls.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn nanos(time: Duration) -> u64 {
    time.as_nanos().try_into().unwrap()
}
