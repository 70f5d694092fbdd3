//! A service within the limits that don't depend on a wire: calls in all, the time of each, and the end of the grace time.

use std::{pin::pin, sync::Arc};

use futures_util::future::poll_immediate;
use tokio_util::sync::CancellationToken;

use crate::{Budget, Call, Limit, Result, RpcError, Service, ServiceDescriptor};

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

    /// What `running` ends in within its time. Most calls end at once, without the cost of a timer.
    async fn in_time<T>(&self, method: &str, running: impl Future<Output = T>) -> Result<T> {
        let mut running = pin!(running);
        if let Some(ended) = poll_immediate(running.as_mut()).await {
            return Ok(ended);
        }
        let late = |_| self.budget.over(Limit::CallTime, format_args!("{method} was cut off"));
        tokio::select! {
            ended = tokio::time::timeout(self.budget.limits().call_time, running) => ended.map_err(late),
            () = self.end.cancelled() => Err(RpcError::unavailable("the server stopped before the call was done")),
        }
    }
}

impl<S: Service> Service for Bounded<S> {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        self.service.descriptor()
    }

    async fn dispatch<C: Call>(&self, method: &str, call: &mut C) -> C::Reply {
        let _place = match self.budget.start_call() {
            Ok(place) => place,
            Err(refused) => return call.reply::<()>(Err(refused)),
        };
        match self.in_time(method, self.service.dispatch(method, call)).await {
            Ok(reply) => reply,
            Err(cut_off) => call.reply::<()>(Err(cut_off)),
        }
    }
}
