//! Requests that may have been at a server before.

use crate::{
    descriptor::{Method, Services},
    error::RpcError,
    service::{Call, Service},
};

/// A service that runs no request twice, unless its method is [idempotent](Method::is_idempotent).
///
/// A call that [is redelivered](Call::is_redelivered) may have run at a server that was lost before it replied. It gets `ABORTED`
/// and does not run. One of an idempotent method runs again.
///
/// A server of a wire that delivers requests again has one around its service, as that of RabbitMQ does. On other wires it lets all
/// calls pass.
#[derive(Debug)]
pub struct AtMostOnce<S> {
    service: S,
}

impl<S> AtMostOnce<S> {
    /// Wraps `service`.
    pub fn new(service: S) -> Self {
        Self { service }
    }

    /// The service inside.
    pub fn get_ref(&self) -> &S {
        &self.service
    }
}

impl<S: Service> Service for AtMostOnce<S> {
    fn services(&self) -> &Services {
        self.service.services()
    }

    async fn dispatch<C: Call>(&self, method: &'static Method, call: &mut C) -> C::Reply {
        if call.is_redelivered() && !method.is_idempotent() {
            let text = "the call may have run: the server that had it was lost before its reply; it is not run again";
            return call.reply::<()>(Err(RpcError::aborted(text)));
        }
        self.service.dispatch(method, call).await
    }
}
