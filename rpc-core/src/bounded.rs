//! A service within the limits that don't depend on a wire: calls in all, the time of each, and the end of the grace time.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::future::poll_immediate;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{
    Budget, Limit, RpcError, Service,
    descriptor::{Method, ServiceDescriptor},
    wire::Call,
};

/// Why [`in_time`] gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The time is over.
    Late,
    /// The server stops.
    Stopped,
}

/// What `running` ends in, if it does within `time` and before `stop`. What is there at once costs no timer.
pub async fn in_time<T>(running: impl Future<Output = T>, time: Duration, stop: &CancellationToken) -> Result<T, Cut> {
    let mut running = pin!(running);
    if let Some(ended) = poll_immediate(running.as_mut()).await {
        return Ok(ended);
    }
    tokio::select! {
        ended = timeout(time, running) => ended.map_err(|_| Cut::Late),
        () = stop.cancelled() => Err(Cut::Stopped),
    }
}

/// `service` within a budget, until `end` answers every call that still waits.
pub(crate) struct Bounded<S> {
    service: Arc<S>,
    budget: Arc<Budget>,
    end: CancellationToken,
}

impl<S> Bounded<S> {
    pub(crate) fn new(service: Arc<S>, budget: Arc<Budget>, end: CancellationToken) -> Self {
        Self { service, budget, end }
    }
}

impl<S: Service> Service for Bounded<S> {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        self.service.descriptor()
    }

    async fn dispatch<C: Call>(&self, method: &Method, call: &mut C) -> C::Reply {
        let _permit = match self.budget.start_call(method.waits()) {
            Ok(permit) => permit,
            Err(rejected) => return call.reply::<()>(Err(rejected)),
        };
        let cut_off =
            match in_time(self.service.dispatch(method, call), self.budget.limits().call_time, &self.end).await {
                Ok(reply) => return reply,
                Err(Cut::Late) => self.budget.over(Limit::CallTime, format_args!("{} was cut off", method.name())),
                Err(Cut::Stopped) => RpcError::unavailable("the server stopped before the call was done"),
            };
        call.reply::<()>(Err(cut_off))
    }
}
