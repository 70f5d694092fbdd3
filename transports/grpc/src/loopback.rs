//! A call without a connection, to measure what format and envelope cost.

use std::sync::Arc;

use bytes::Bytes;
use everywire_core::{Budget, Caller, Context, Result, RpcError, Service, descriptor::Method};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    body::Body,
    call::{Around, GrpcCall},
    client::Whole,
    codec::{self, Enums, Scope},
    compression::Encoding,
    envelope::{Message, Received, frame},
    status,
};

/// A client and a server of this wire without HTTP/2 and sockets between them.
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

    async fn received(&self, framed: Bytes) -> Result<Message> {
        Received::read(Whole(Some(framed)), &self.budget).await?.into_message(Encoding::Identity, &self.budget)
    }
}

impl<S: Service> Caller for Loopback<S> {
    async fn call<A: Serialize + Send + Sync, R: DeserializeOwned + Send>(
        &self,
        method: &'static Method,
        _cx: &Context,
        args: &A,
    ) -> Result<R> {
        let enums = Enums::new(method.enums_with_data());
        let request = frame(args, enums).map_err(RpcError::internal)?;
        let message = self.received(request).await?;
        let mut call = GrpcCall::new(message, Around::nothing(&self.budget, method));
        let (head, body) = self.service.dispatch(method, &mut call).await.into_parts();
        let Body::Message(reply) = body else {
            status::of(&head.headers).transpose()?;
            return Err(RpcError::internal("a response without a message and without a status"));
        };
        let message = self.received(reply).await?;
        let scope = Scope { depth: self.budget.limits().depth, enums };
        codec::read(codec::Message::new(&message.bytes, scope)).map_err(RpcError::internal)
    }
}
