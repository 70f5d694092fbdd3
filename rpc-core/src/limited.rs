//! The limits that don't depend on a wire: calls in all, the time of each call, and the end of the grace period.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::{Either, poll_immediate};
use tokio::time;
use tokio_util::sync::CancellationToken;

use crate::{
    budget::{Budget, FREE_BYTES, Reservation, WaitingPermit},
    descriptor::{Method, Services},
    error::{self, RpcError},
    limits::Limit,
    service::{Call, Service},
    streaming::{end_with, keep_until_end, past_deadline},
};

/// Why [`run_until`] did not complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupted {
    /// The timeout elapsed.
    TimedOut,
    /// The server is shutting down.
    Stopped,
}

/// Drives `future` until it completes, `timeout` elapses or `stop` is cancelled. Polls once before arming a timer.
///
/// The future is pinned by the caller, because an async function that takes it by value has room for it twice.
pub async fn run_until<T>(
    mut future: Pin<&mut impl Future<Output = T>>,
    timeout: Duration,
    stop: &CancellationToken,
) -> Result<T, Interrupted> {
    if let Some(output) = poll_immediate(future.as_mut()).await {
        return Ok(output);
    }
    tokio::select! {
        output = time::timeout(timeout, future) => output.map_err(|_| Interrupted::TimedOut),
        () = stop.cancelled() => Err(Interrupted::Stopped),
    }
}

/// A service within limits: of the calls at the same time, of the time that each may take, and of its caller's deadline.
///
/// A [`Server`](crate::Server) has one around its service and its layers.
#[derive(Debug)]
pub struct Limited<S> {
    service: Arc<S>,
    budget: Arc<Budget>,
    end: CancellationToken,
}

impl<S> Limited<S> {
    /// Runs the calls of `service` within the limits of `budget`. When `end` is cancelled, those that have not completed get
    /// `UNAVAILABLE`.
    pub fn new(service: Arc<S>, budget: Arc<Budget>, end: CancellationToken) -> Self {
        Self { service, budget, end }
    }

    /// Counts a call that waits, and reserves what it keeps meanwhile. A connection may have many such calls, so each counts from its
    /// first byte.
    fn start_waiting(
        &self,
        method: &Method,
        call: &mut impl Call,
    ) -> error::Result<Option<(WaitingPermit, Reservation)>> {
        let permit = self.budget.start_waiting_call()?;
        let mut reservation = self.budget.reserve();
        reservation.try_resize(FREE_BYTES + call.header_bytes())?;
        end_with(&self.end, method, call)?;
        keep_until_end((permit, reservation), method, call)
    }
}

impl<S: Service> Service for Limited<S> {
    fn services(&self) -> &Services {
        self.service.services()
    }

    async fn dispatch<C: Call>(&self, method: &'static Method, call: &mut C) -> C::Reply {
        let started = if method.waits() {
            self.start_waiting(method, call).map(Either::Left)
        } else {
            self.budget.start_call().map(Either::Right)
        };
        let _started = match started {
            Ok(started) => started,
            Err(rejected) => return call.reply::<()>(Err(rejected)),
        };
        let call_time = self.budget.limits().call_time;
        let left = call.deadline().map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            let text = format!("the caller's deadline passed before {} began", method.name());
            return call.reply::<()>(Err(RpcError::deadline_exceeded(text)));
        }
        let interrupted = {
            let running = pin!(self.service.dispatch(method, call));
            match run_until(running, left.map_or(call_time, |left| left.min(call_time)), &self.end).await {
                Ok(reply) => return reply,
                Err(interrupted) => interrupted,
            }
        };
        let cut_off = match interrupted {
            Interrupted::TimedOut if left.is_some_and(|left| left <= call_time) => past_deadline(method),
            Interrupted::TimedOut => {
                self.budget.exceeded(Limit::CallTime, format_args!("{} was cut off", method.name()))
            }
            Interrupted::Stopped => RpcError::unavailable("the server shut down before the call was done"),
        };
        call.reply::<()>(Err(cut_off))
    }
}
