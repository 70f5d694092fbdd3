//! Calls that wait for other calls. They are counted separately from those that run.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use crate::{
    budget::{Budget, WaitingPermit},
    descriptor::{Method, Services},
    error::Result,
    limits::Limit,
    service::{Call, Service},
    streaming::keep_until_end,
};

/// The calls of one connection that [wait](crate::descriptor::Method::waits).
///
/// A call that waits ends when another call ends its wait, and that one may come over the same connection. So a waiting call
/// must not use up what the other one needs: it counts as one of [`waiting_calls`](crate::Limits::waiting_calls) and not of
/// `calls_in_flight`, and its connection does not count as one of `connections`.
///
/// # Notes for implementers
/// A [`Protocol`](crate::wire::Protocol) gets one with each connection, and a service that keeps it. Only a
/// [`Transport`](crate::Transport) that accepts connections by itself makes one, and calls the service through a [`PerConnection`]. It may hold back calls
/// while as many as `calls_in_flight` are [running](Self::running), but must still read pings, closes and heartbeats. A call counts as
/// waiting from its first poll on, so poll a new call before you look at `running`, and look again when it has been polled.
#[derive(Debug, Clone)]
pub struct Waiting {
    calls: Arc<AtomicUsize>,
    budget: Arc<Budget>,
}

impl Waiting {
    /// The waiting calls of a new connection: none.
    pub fn new(budget: &Arc<Budget>) -> Self {
        Self { calls: Arc::default(), budget: Arc::clone(budget) }
    }

    /// How many calls wait.
    pub fn calls(&self) -> usize {
        self.calls.load(Relaxed)
    }

    /// How many of the connection's `in_flight` calls do not wait.
    pub fn running(&self, in_flight: usize) -> usize {
        in_flight.saturating_sub(self.calls())
    }

    fn enter(&self) -> Result<WaitingPermit> {
        WaitingPermit::take(Arc::clone(&self.calls), self.budget.limits().waiting_calls)
            .ok_or_else(|| self.budget.exceeded(Limit::WaitingCalls, "the connection has too many waiting calls"))
    }
}

/// A service as one connection calls it. It counts the connection's [`Waiting`] calls, and rejects one too many with
/// `RESOURCE_EXHAUSTED`.
#[derive(Debug)]
pub struct PerConnection<S> {
    service: Arc<S>,
    waiting: Waiting,
}

impl<S> PerConnection<S> {
    /// Wraps `service` for the connection whose waiting calls are counted by `waiting`.
    pub fn new(service: Arc<S>, waiting: Waiting) -> Self {
        Self { service, waiting }
    }
}

impl<S: Service> Service for PerConnection<S> {
    fn services(&self) -> &Services {
        self.service.services()
    }

    async fn dispatch<C: Call>(&self, method: &'static Method, call: &mut C) -> C::Reply {
        let permit =
            method.waits().then(|| self.waiting.enter().and_then(|permit| keep_until_end(permit, method, call)));
        let _permit = match permit.transpose() {
            Ok(permit) => permit,
            Err(rejected) => return call.reply::<()>(Err(rejected)),
        };
        self.service.dispatch(method, call).await
    }
}
