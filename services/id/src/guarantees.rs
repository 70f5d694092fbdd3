//! The guarantees of ids, and among which servers they hold.

use std::{fmt, time::Duration};

/// The three separate guarantees of distributed ids. They hold among the servers of a [`Scope`], as long as all of them have the
/// same epoch, layout and secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guarantees {
    /// No id occurs twice, whichever of the servers makes it.
    pub unique: bool,
    /// Ids sort by their time of creation, to the millisecond and to the accuracy of the servers' clocks.
    pub k_sorted: bool,
    /// A call that begins after another one has ended, at any of the servers, gets a greater id.
    pub monotonic: bool,
}

impl Guarantees {
    /// The guarantees that remain when a [`Secret`](super::Secret) hides the order.
    #[must_use]
    pub fn hidden(self) -> Self {
        Self { unique: self.unique, k_sorted: false, monotonic: false }
    }
}

impl fmt::Display for Guarantees {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = [(self.unique, "unique"), (self.k_sorted, "k-sorted"), (self.monotonic, "globally monotonic")];
        let kept: Vec<_> = kept.iter().filter(|(kept, _)| *kept).map(|(_, name)| *name).collect();
        f.write_str(&kept.join(", "))
    }
}

/// The servers among which ids are unique, and the condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    /// Servers with different worker ids. Nothing checks this: assign each server its own.
    Worker(u64),
    /// Servers that lease their worker ids from this engine, as long as their clocks differ by less than `rest`.
    Lease {
        /// The engine's address, without a password.
        engine: &'a str,
        /// This server's current worker id.
        worker: u64,
        /// How long a worker id stays unused before another server can have it.
        rest: Duration,
    },
    /// Servers that take their ids from this engine, as long as it keeps its data.
    Engine(&'a str),
}
