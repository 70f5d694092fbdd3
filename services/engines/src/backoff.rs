//! Pauses between attempts at something that fails.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::sleep;

/// The first pause, and the longest one.
const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);

/// Pauses of 50 ms, then twice as long each time, up to a second. They have no jitter, so that an engine that is back is found
/// within a second.
#[derive(Debug)]
pub struct Backoff(ExponentialBackoff);

impl Backoff {
    /// Sleeps until the next attempt is due.
    pub async fn pause(&mut self) {
        sleep(self.0.next().unwrap_or(LONGEST)).await;
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self(ExponentialBuilder::new().with_min_delay(FIRST).with_max_delay(LONGEST).without_max_times().build())
    }
}
