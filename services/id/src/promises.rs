//! What ids promise.

use std::{fmt, time::Duration};

/// The three promises of distributed ids, which are different ones. They hold among the servers of a [`Scope`], as long as
/// all of them have the same epoch, layout and secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promises {
    /// No id comes twice, whichever of the servers makes it.
    pub unique: bool,
    /// Ids sort by the time they were made at, to the clocks of the servers and the millisecond.
    pub k_sorted: bool,
    /// A call that begins after another one has ended, at any of the servers, gets a greater id.
    pub monotonic: bool,
}

impl Promises {
    /// What is left when a [`Secret`](super::Secret) has hidden the order.
    #[must_use]
    pub fn hidden(self) -> Self {
        Self { unique: self.unique, k_sorted: false, monotonic: false }
    }
}

impl fmt::Display for Promises {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = [(self.unique, "unique"), (self.k_sorted, "k-sorted"), (self.monotonic, "globally monotonic")];
        let kept: Vec<_> = kept.iter().filter(|(kept, _)| *kept).map(|(_, name)| *name).collect();
        f.write_str(&kept.join(", "))
    }
}

/// Among which servers ids are unique, and under which condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    /// Servers whose worker ids differ. Nothing checks this: give each server another one.
    Worker(u64),
    /// Servers that lease their worker ids from this engine, as long as their clocks differ by less than a lease rests.
    Lease {
        /// The engine's address, without a password.
        engine: &'a str,
        /// The worker id that this server has at the moment.
        worker: u64,
        /// How long a worker id rests before another server has it.
        rest: Duration,
    },
    /// Servers that take their ids from this engine, as long as it keeps what it wrote.
    Engine(&'a str),
}
