//! The calls of a server that their callers can cancel.

use std::{
    collections::{HashMap, VecDeque},
    future::pending,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use everywire_core::wire::CancellationToken;
use lapin::{BasicProperties, types::ShortString};
use tokio::time::Instant;

use crate::{credit::OpenStreams, envelope};

/// The cancellations that are remembered because no call was there for them: as many as two clients have calls.
const REMEMBERED: usize = 4_096;

/// How long they are remembered: as long as a request waits in the queue, unless its client sets a longer timeout.
const REMEMBERED_FOR: Duration = Duration::from_secs(30);

/// The calls of a connection that have begun and are not done. A call is found by the address of its caller, which nobody else knows,
/// and by its correlation id.
#[derive(Default)]
pub(crate) struct Cancellable {
    calls: Mutex<Calls>,
    pub(crate) streams: OpenStreams,
}

#[derive(Default)]
struct Calls {
    running: HashMap<CallId, Running>,
    early: Early,
}

/// The cancellations that no call was there for. A request may still wait in the queue, where a cancellation overtakes it. Most of
/// these never find their request, because it was answered before or is at another server.
#[derive(Default)]
struct Early {
    arrived: HashMap<CallId, Instant>,
    /// In the order of arrival. Those whose requests have come are still among them.
    order: VecDeque<(Instant, CallId)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct CallId {
    correlation_id: ShortString,
    caller: ShortString,
}

struct Running {
    token: CancellationToken,
    /// How many messages have the same id.
    messages: usize,
}

/// A call that can be cancelled, until it ends.
struct Entry<'a> {
    of: &'a Cancellable,
    id: CallId,
    token: CancellationToken,
}

impl CallId {
    /// The id of the call that a request begins, a cancellation ends or credit is for. Only a caller with an address has calls to
    /// cancel: others could be imitated.
    pub(crate) fn of(properties: &BasicProperties) -> Option<Self> {
        let caller = properties.reply_to().clone().filter(envelope::is_address)?;
        Some(Self { caller, correlation_id: properties.correlation_id().clone()? })
    }
}

impl Cancellable {
    /// Whether the call of `request` was cancelled before the request arrived. True once for each cancellation.
    pub(crate) fn is_cancelled_early(&self, request: &BasicProperties) -> bool {
        let mut calls = self.lock();
        // Nearly always there are none, so nothing is copied.
        !calls.early.arrived.is_empty() && CallId::of(request).is_some_and(|id| calls.early.take(&id))
    }

    /// Completes once the call of `request` is cancelled.
    pub(crate) async fn cancelled(&self, request: &BasicProperties) {
        let Some(id) = CallId::of(request) else { return pending().await };
        self.enter(id).token.cancelled().await;
    }

    /// Does what `message` says: cancels the call that it names, or adds credit for its items.
    pub(crate) fn receive(&self, message: &BasicProperties) {
        if envelope::is_credit(message) { self.streams.grant(message) } else { self.cancel(message) }
    }

    /// Cancels the call named by `message`. Any client may send anything here.
    fn cancel(&self, message: &BasicProperties) {
        let Some(id) = CallId::of(message).filter(|_| envelope::is_cancellation(message)) else {
            return tracing::debug!("ignored a message that is not a cancellation");
        };
        self.streams.close(&id);
        let mut calls = self.lock();
        if let Some(running) = calls.running.remove(&id) {
            running.token.cancel();
        } else {
            calls.early.remember(id);
        }
    }

    fn enter(&self, id: CallId) -> Entry<'_> {
        let mut calls = self.lock();
        // The cancellation may have arrived since the request did.
        if calls.early.take(&id) {
            let token = CancellationToken::new();
            token.cancel();
            return Entry { of: self, id, token };
        }
        let new = || Running { token: CancellationToken::new(), messages: 0 };
        let running = calls.running.entry(id.clone()).or_insert_with(new);
        running.messages += 1;
        let token = running.token.clone();
        Entry { of: self, id, token }
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Early {
    fn remember(&mut self, id: CallId) {
        let now = Instant::now();
        self.order.push_back((now, id.clone()));
        self.arrived.insert(id, now);
        let is_over = |arrived: Instant| now - arrived >= REMEMBERED_FOR;
        while self.order.len() > REMEMBERED || self.order.front().is_some_and(|(arrived, _)| is_over(*arrived)) {
            let Some((arrived, id)) = self.order.pop_front() else { break };
            // The same call may have been cancelled again.
            if self.arrived.get(&id) == Some(&arrived) {
                self.arrived.remove(&id);
            }
        }
    }

    fn take(&mut self, id: &CallId) -> bool {
        self.arrived.remove(id).is_some_and(|arrived| arrived.elapsed() < REMEMBERED_FOR)
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        let mut calls = self.of.lock();
        // Once the call is cancelled, another one may have its id.
        let Some(running) = calls.running.get_mut(&self.id).filter(|_| !self.token.is_cancelled()) else { return };
        running.messages -= 1;
        if running.messages == 0 {
            calls.running.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::time::advance;

    use super::*;

    fn properties(caller: &str, id: &str) -> BasicProperties {
        BasicProperties::default().with_reply_to(caller.into()).with_correlation_id(id.into())
    }

    fn cancellation(caller: &str, id: &str) -> BasicProperties {
        properties(caller, id).with_type(everywire_json::CANCEL.into())
    }

    const ONE: &str = "amq.rabbitmq.reply-to.one";
    const TWO: &str = "amq.rabbitmq.reply-to.two";

    #[test]
    fn a_call_is_cancelled_by_its_caller_and_its_id() {
        let calls = Cancellable::default();
        let (request, other) = (properties(ONE, "1"), properties(TWO, "1"));
        let mut waiting = [&request, &request, &other].map(|it| Box::pin(calls.cancelled(it)));
        assert!(waiting.iter_mut().all(|it| it.now_or_never().is_none()));
        assert_eq!(calls.lock().running.len(), 2);
        for nothing in [
            BasicProperties::default(),
            request.clone(),
            request.clone().with_type("cancel".into()),
            cancellation("replies", "1"),
            cancellation("amq.rabbitmq.reply-to", "1"),
            BasicProperties::default().with_type(everywire_json::CANCEL.into()).with_reply_to(ONE.into()),
            cancellation(ONE, "2"),
            cancellation(ONE, ""),
        ] {
            calls.cancel(&nothing);
            assert!(waiting.iter_mut().all(|it| it.now_or_never().is_none()), "{nothing:?}");
        }
        calls.cancel(&cancellation(ONE, "1"));
        let [first, second, other] = waiting;
        let mut later = Box::pin(calls.cancelled(&request));
        assert!(later.as_mut().now_or_never().is_none(), "a later call is not cancelled");
        assert_eq!((first.now_or_never(), second.now_or_never(), other.now_or_never()), (Some(()), Some(()), None));
        assert!(later.as_mut().now_or_never().is_none());
        drop(later);
        assert!(calls.lock().running.is_empty());
    }

    #[test]
    fn a_caller_that_is_a_queue_has_nothing_to_cancel() {
        let calls = Cancellable::default();
        let request = properties("replies", "1");
        let mut waiting = Box::pin(calls.cancelled(&request));
        assert!(waiting.as_mut().now_or_never().is_none() && calls.lock().running.is_empty());
        calls.cancel(&cancellation("replies", "1"));
        assert!(waiting.as_mut().now_or_never().is_none() && calls.lock().early.order.is_empty());
    }

    #[test]
    fn a_cancellation_may_come_before_its_request() {
        let calls = Cancellable::default();
        let cancelled = |id: &str| calls.is_cancelled_early(&properties(ONE, id));
        let cancel = |id: &str| calls.cancel(&cancellation(ONE, id));
        cancel("7");
        assert!(!calls.is_cancelled_early(&properties(TWO, "7")) && !cancelled("8"));
        assert!(cancelled("7") && !cancelled("7"), "once");
        cancel("7");
        assert_eq!(calls.cancelled(&properties(ONE, "7")).now_or_never(), Some(()), "while the call begins");
        assert!(calls.lock().running.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_early_cancellations_are_remembered_for_a_time() {
        let calls = Cancellable::default();
        let remembered = || {
            let early = &calls.lock().early;
            (early.arrived.len(), early.order.len())
        };
        let cancelled = |id: &str| calls.is_cancelled_early(&properties(ONE, id));
        let cancel = |id: &str| calls.cancel(&cancellation(ONE, id));
        (0..=REMEMBERED).for_each(|number| cancel(&number.to_string()));
        assert_eq!(remembered(), (REMEMBERED, REMEMBERED));
        assert!(!cancelled("0") && cancelled("1") && cancelled(&REMEMBERED.to_string()));
        advance(REMEMBERED_FOR / 2).await;
        cancel("2");
        advance(REMEMBERED_FOR / 2).await;
        assert!(!cancelled("3"), "its time is over");
        cancel("x");
        assert_eq!(remembered(), (2, 2));
        assert!(cancelled("2") && cancelled("x"));
        advance(REMEMBERED_FOR).await;
        cancel("y");
        assert_eq!(remembered(), (1, 1));
    }
}
