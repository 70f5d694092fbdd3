//! The times that a connection keeps.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// How long a message has been coming in.
#[derive(Default)]
pub(super) struct MessageClock {
    deadline: Option<Pin<Box<Sleep>>>,
}

impl MessageClock {
    /// No message is coming in, or nothing is read.
    pub(super) fn stop(&mut self) {
        self.deadline = None;
    }

    /// Ready when the message has been coming in for `time`.
    pub(super) fn poll(&mut self, time: Duration, cx: &mut Context<'_>) -> Poll<()> {
        self.deadline.get_or_insert_with(|| Box::pin(sleep(time))).as_mut().poll(cx)
    }
}

/// How long there has been no message and no call.
#[derive(Default)]
pub(super) struct IdleClock {
    /// Recorded lazily, when the connection has nothing to do.
    since: Option<Instant>,
    /// Armed again only when it fires, so that messages and calls do not reset a timer each.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl IdleClock {
    /// There is a message or a call.
    pub(super) fn stop(&mut self) {
        self.since = None;
    }

    /// Ready when there has been nothing for `time`.
    pub(super) fn poll(&mut self, time: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let Some(end) = since.checked_add(time) else { return Poll::Pending };
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(end)));
        ready!(alarm.as_mut().poll(cx));
        while alarm.deadline() < end {
            alarm.as_mut().reset(end);
            ready!(alarm.as_mut().poll(cx));
        }
        Poll::Ready(())
    }
}

/// Rings again and again while it is needed.
#[derive(Default)]
pub(super) struct TickClock {
    next: Option<Pin<Box<Sleep>>>,
}

impl TickClock {
    /// Ready when it rings, each `period` from when it was needed first. It stays set until then, so that many short calls do
    /// not set one each.
    pub(super) fn poll(&mut self, is_needed: bool, period: Duration, cx: &mut Context<'_>) -> Poll<()> {
        if !is_needed && self.next.is_none() {
            return Poll::Pending;
        }
        let next = self.next.get_or_insert_with(|| Box::pin(sleep(period)));
        ready!(next.as_mut().poll(cx));
        if is_needed {
            next.as_mut().reset(Instant::now() + period);
            return Poll::Ready(());
        }
        self.next = None;
        Poll::Pending
    }
}
