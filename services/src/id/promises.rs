//! What ids promise.

use std::fmt;

/// The three promises of distributed ids, which are different ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promises {
    /// No id comes twice, whichever server makes it.
    pub unique: bool,
    /// Ids sort by the time they were made at, to the clocks of the servers and the millisecond.
    pub k_sorted: bool,
    /// A call that begins after another one has ended, at any server, gets a greater id.
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
