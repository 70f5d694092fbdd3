//! Counts events, and limits how often they are logged.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Instant,
};

/// The pause between two lines of the log about the same kind of event, in milliseconds: a peer that floods the server
/// does not flood its log.
const LOG_PAUSE_MS: u64 = 1_000;

/// A count of events of one kind, which are logged at most once a second.
#[derive(Debug)]
pub struct Tally {
    times: AtomicU64,
    /// When an event was last logged, in milliseconds since the start; 0 for never.
    logged_ms: AtomicU64,
    start: Instant,
}

impl Default for Tally {
    fn default() -> Self {
        Self { times: AtomicU64::new(0), logged_ms: AtomicU64::new(0), start: Instant::now() }
    }
}

impl Tally {
    /// How many events were counted.
    pub fn times(&self) -> u64 {
        self.times.load(Relaxed)
    }

    /// Counts one more event, and calls `log` with the count unless it was called within the last second.
    pub fn count(&self, log: impl FnOnce(u64)) {
        let times = self.times.fetch_add(1, Relaxed) + 1;
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        let last = self.logged_ms.load(Relaxed);
        let is_due = last == 0 || now.saturating_sub(last) >= LOG_PAUSE_MS;
        if is_due && self.logged_ms.compare_exchange(last, now, Relaxed, Relaxed).is_ok() {
            log(times);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_logged_once() {
        let tally = Tally::default();
        let mut lines = Vec::new();
        for _ in 0..100 {
            tally.count(|times| lines.push(times));
        }
        assert_eq!((tally.times(), lines[0]), (100, 1));
        assert!(lines.len() < 10, "{lines:?}");
    }
}
