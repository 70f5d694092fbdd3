//! Retries while a broker or a queue is unavailable: the pauses between them, and the log.

use std::time::{Duration, Instant};

use everywire_core::{Code, RpcError};

/// The pause before the first retry, and the longest one.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// The longest pause after the broker rejected a try, which it logs as an error each time.
const LONGEST_AFTER_REJECTION: Duration = Duration::from_secs(10);

/// After a return that was shorter than this, the pauses continue where they were.
const STABLE: Duration = Duration::from_secs(10);

/// Doubles the pauses between retries. Logs one line when the broker or the queue goes away, one when the reason changes, and
/// one when it is back.
#[derive(Debug, Clone)]
pub(crate) struct Outage {
    what: &'static str,
    pause: Duration,
    /// The reason that was logged, while it is away.
    reason: Option<Code>,
    back: Instant,
}

impl Outage {
    /// Starts while `what` is available.
    pub(crate) fn of(what: &'static str) -> Self {
        Self { what, pause: PAUSES.0, reason: None, back: Instant::now() }
    }

    /// Notes that it is unavailable, and returns the pause before the next retry.
    pub(crate) fn failed(&mut self, error: &RpcError) -> Duration {
        if self.reason.is_none() && self.back.elapsed() >= STABLE {
            self.pause = PAUSES.0;
        }
        if self.reason.replace(error.code()) != Some(error.code()) {
            tracing::warn!(error = error.message(), "AMQP: {} can't be used; trying again until it is back", self.what);
        }
        let longest = if error.code() == Code::PermissionDenied { LONGEST_AFTER_REJECTION } else { PAUSES.1 };
        let pause = self.pause.min(longest);
        self.pause = longest.min(pause * 2);
        pause
    }

    /// Notes that it is available again.
    pub(crate) fn over(&mut self) {
        if self.reason.take().is_some() {
            self.back = Instant::now();
            tracing::warn!("AMQP: {} is back", self.what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_go_on_after_a_short_return() {
        let mut outage = Outage::of("the broker");
        let millis = |outage: &mut Outage, error: &RpcError, count: usize| {
            (0..count).map(|_| outage.failed(error).as_millis()).collect::<Vec<_>>()
        };
        let (away, rejected) = (RpcError::unavailable("away"), RpcError::permission_denied("rejected"));
        assert_eq!(millis(&mut outage, &away, 7), [50, 100, 200, 400, 800, 1_000, 1_000]);
        assert_eq!(millis(&mut outage, &rejected, 5), [1_000, 2_000, 4_000, 8_000, 10_000]);
        outage.over();
        assert_eq!(millis(&mut outage, &away, 2), [1_000, 1_000], "it was there for a moment only");
        outage.over();
        outage.back -= STABLE;
        assert_eq!(millis(&mut outage, &away, 2), [50, 100]);
    }
}
