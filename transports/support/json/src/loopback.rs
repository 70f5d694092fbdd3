//! A call without a carrier: what it costs in format and envelope.

use std::sync::Arc;

use everywire_core::{Budget, Caller, Context, Result, RpcError, Service, descriptor::Method};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    call::answer,
    client::{reply, request},
};

/// A client and a server of these messages with neither HTTP, WebSocket nor a broker between them.
#[derive(Debug)]
pub struct Loopback<S> {
    service: Arc<S>,
    budget: Arc<Budget>,
}

impl<S: Service> Loopback<S> {
    /// Calls `service` within the limits of `budget`.
    pub fn new(service: Arc<S>, budget: Arc<Budget>) -> Self {
        Self { service, budget }
    }
}

impl<S: Service> Caller for Loopback<S> {
    async fn call<A: Serialize + Send + Sync, R: DeserializeOwned + Send>(
        &self,
        method: &'static Method,
        _cx: &Context,
        args: &A,
    ) -> Result<R> {
        let request = request(method.name(), args, 1)?;
        let answer = answer(&*self.service, &request, &self.budget).await;
        let answer = answer.ok_or_else(|| RpcError::internal("a call without a response"))?;
        reply(answer.as_ref(), Some(1))
    }
}
