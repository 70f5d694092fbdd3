//! A service within the limits that don't depend on a wire: calls in all, and the time of each.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::future::poll_immediate;

use crate::{Budget, Call, Limit, Service, ServiceDescriptor};

/// `service` within a budget.
pub(crate) struct Bounded<S> {
    service: Arc<S>,
    budget: Arc<Budget>,
}

impl<S> Bounded<S> {
    pub(crate) fn new(service: Arc<S>, budget: Arc<Budget>) -> Self {
        Self { service, budget }
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
        if let Some(reply) = within(self.budget.limits().call_time, self.service.dispatch(method, call)).await {
            return reply;
        }
        call.reply::<()>(Err(self.budget.over(Limit::CallTime, format_args!("{method} was cut off"))))
    }
}

/// What `future` ends in, or `None` after `time`. Most calls end at once, without the cost of a timer.
async fn within<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    match poll_immediate(future.as_mut()).await {
        Some(ended) => Some(ended),
        None => tokio::time::timeout(time, future).await.ok(),
    }
}
