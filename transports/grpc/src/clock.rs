//! The times of one connection: when it was last used, when it pings its peer, and the timer for what is due next.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use everywire_core::{Budget, Limit};
use h2::{Ping, PingPong};
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a peer may take to close a connection without calls after GOAWAY, and to take the last message of a stream
/// after the shutdown.
pub(crate) const DRAIN_TIME: Duration = Duration::from_secs(1);

/// Longer durations are cut to this one, because `Instant` has an end.
const FOREVER: Duration = Duration::from_hours(365 * 24);

/// The clock of one connection.
pub(crate) struct Clock {
    /// When the last call arrived or ended, or when GOAWAY was sent.
    idle_since: Instant,
    idle_time: Duration,
    ping: PingPong,
    ping_at: Instant,
    timer: Pin<Box<Sleep>>,
    budget: Arc<Budget>,
}

impl Clock {
    pub(crate) fn new(ping: PingPong, budget: Arc<Budget>) -> Self {
        let now = Instant::now();
        let ping_at = after(now, budget.limits().message_time);
        let timer = Box::pin(sleep_until(ping_at));
        Self { idle_since: now, idle_time: budget.limits().idle_time, ping, ping_at, timer, budget }
    }

    /// Records that a call arrived or ended.
    pub(crate) fn touch(&mut self) {
        self.idle_since = Instant::now();
    }

    /// Records that GOAWAY was sent: from now on an idle connection lasts [`DRAIN_TIME`].
    pub(crate) fn drain(&mut self) {
        self.idle_time = DRAIN_TIME;
        self.touch();
    }

    /// When a connection without calls has been idle for too long.
    pub(crate) fn idle_until(&self) -> Instant {
        after(self.idle_since, self.idle_time)
    }

    /// When the next ping is due.
    pub(crate) fn ping_at(&self) -> Instant {
        self.ping_at
    }

    /// Sends a ping if one is due. Returns `false` if the peer has not answered the last one.
    pub(crate) fn ping(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        if now < self.ping_at {
            return true;
        }
        // Takes the answer to the last ping, without which h2 sends no other.
        let _ = self.ping.poll_pong(cx);
        if self.ping.send_ping(Ping::opaque()).is_err() {
            self.budget.record(Limit::MessageTime, "a peer did not answer a PING");
            return false;
        }
        self.ping_at = after(now, self.budget.limits().message_time);
        true
    }

    /// Completes at `due` or earlier: a timer that fires too early costs less than one that is set for every call.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, due: Instant) -> Poll<()> {
        if due < self.timer.deadline() {
            self.set(due);
        }
        self.timer.as_mut().poll(cx)
    }

    /// Sets the timer to `due`, after it has fired.
    pub(crate) fn set(&mut self, due: Instant) {
        self.timer.as_mut().reset(due);
    }
}

/// The moment `time` after `start`.
pub(crate) fn after(start: Instant, time: Duration) -> Instant {
    start + time.min(FOREVER)
}
