//! A service as one message may use it.

use std::{sync::Arc, time::Duration};

use rpc_core::{Call, Method, RpcError, Service, ServiceDescriptor};
use tokio::time::timeout;

/// A service for the calls of one message.
pub(crate) struct Delivered<S> {
    pub(crate) service: Arc<S>,
    /// Whether the broker had delivered it before.
    pub(crate) redelivered: bool,
    /// How long its caller waits.
    pub(crate) time: Option<Duration>,
}

impl<S: Service> Delivered<S> {
    fn may_run(&self, method: &str) -> bool {
        !self.redelivered || self.descriptor().method(method).is_none_or(Method::is_idempotent)
    }
}

impl<S: Service> Service for Delivered<S> {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        self.service.descriptor()
    }

    async fn dispatch<C: Call>(&self, method: &str, call: &mut C) -> C::Reply {
        if !self.may_run(method) {
            let text = "the call may have run: the server that had it was lost before its answer; it is not run again";
            return call.reply::<()>(Err(RpcError::aborted(text)));
        }
        let Some(time) = self.time else { return self.service.dispatch(method, call).await };
        match timeout(time, self.service.dispatch(method, call)).await {
            Ok(reply) => reply,
            Err(_) => {
                call.reply::<()>(Err(RpcError::deadline_exceeded(format!("no reply within the call's {time:?}"))))
            }
        }
    }
}
