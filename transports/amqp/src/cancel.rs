//! The calls of a server that their callers can cancel.

use std::{
    collections::{HashMap, VecDeque},
    future::pending,
    sync::{Mutex, MutexGuard, PoisonError},
};

use everywire_core::wire::CancellationToken;
use lapin::{BasicProperties, types::ShortString};

use crate::envelope;

/// Cancellations whose requests have not arrived, or are answered already.
const REMEMBERED: usize = 256;

/// The calls of a connection that have begun and are not done. A call is found by the address of its caller, which nobody else knows,
/// and by its correlation id.
#[derive(Default)]
pub(crate) struct Cancellable(Mutex<Calls>);

#[derive(Default)]
struct Calls {
    running: HashMap<CallId, Running>,
    /// The last cancellations that no call was there for, the latest first. A request waits in the queue, where a cancellation
    /// overtakes it.
    early: VecDeque<CallId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct CallId {
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
    /// The id of the call that a request begins or a cancellation ends. Only a caller with an address has calls to cancel: others
    /// could be imitated.
    fn of(properties: &BasicProperties) -> Option<Self> {
        let caller = properties.reply_to().clone().filter(envelope::is_address)?;
        Some(Self { caller, correlation_id: properties.correlation_id().clone()? })
    }
}

impl Cancellable {
    /// Completes once the call of `request` is cancelled.
    pub(crate) async fn cancelled(&self, request: &BasicProperties) {
        let Some(id) = CallId::of(request) else { return pending().await };
        self.enter(id).token.cancelled().await;
    }

    /// Cancels the call that `message` says. Any client may send anything here.
    pub(crate) fn cancel(&self, message: &BasicProperties) {
        let Some(id) = CallId::of(message).filter(|_| envelope::is_cancellation(message)) else {
            return tracing::debug!("a message among the cancellations is none");
        };
        let mut calls = self.lock();
        if let Some(running) = calls.running.remove(&id) {
            running.token.cancel();
        } else {
            calls.early.truncate(REMEMBERED - 1);
            calls.early.push_front(id);
        }
    }

    fn enter(&self, id: CallId) -> Entry<'_> {
        let mut calls = self.lock();
        if let Some(early) = calls.early.iter().position(|early| *early == id) {
            calls.early.remove(early);
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

    use super::*;

    fn properties(caller: &str, id: &str) -> BasicProperties {
        BasicProperties::default().with_reply_to(caller.into()).with_correlation_id(id.into())
    }

    fn cancellation(caller: &str, id: &str) -> BasicProperties {
        properties(caller, id).with_type("$/cancelRequest".into())
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
            BasicProperties::default().with_type("$/cancelRequest".into()).with_reply_to(ONE.into()),
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
        assert!(waiting.as_mut().now_or_never().is_none() && calls.lock().early.is_empty());
    }

    #[test]
    fn a_cancellation_may_come_before_its_request() {
        let calls = Cancellable::default();
        let cancelled = |id: &str| calls.cancelled(&properties(ONE, id)).now_or_never().is_some();
        calls.cancel(&cancellation(ONE, "7"));
        assert!(cancelled("7") && !cancelled("7"), "once");
        for number in 0..=REMEMBERED {
            calls.cancel(&cancellation(ONE, &number.to_string()));
        }
        assert_eq!(calls.lock().early.len(), REMEMBERED);
        assert!(!cancelled("0") && cancelled("1") && cancelled(&REMEMBERED.to_string()));
        assert!(calls.lock().running.is_empty());
    }
}
