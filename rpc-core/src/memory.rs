//! A wire inside one process, for tests and for programs: arguments and replies pass through JSON values.

use std::{mem, pin::pin, sync::Arc, time::Instant};

use futures_util::StreamExt;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    arguments::decode_again,
    client::{Caller, DEFAULT_TIMEOUT, items_within, response_within},
    context::{Context, LazyContext, Metadata, Outgoing, Trace, deadline_after},
    descriptor::Method,
    error::{Code, Result, RpcError},
    finite::check_finite,
    listener::Peer,
    service::{Call, Service},
    streaming::{Streaming, encode_item},
};

/// Calls `method` with `args`, an array (by position) or an object (by name).
pub async fn call<S: Service>(service: &S, method: &str, args: Value) -> Result<Value> {
    let cx = Context::new();
    let mut call = MemoryCall::new(args, &Outgoing::new(&cx, DEFAULT_TIMEOUT));
    value(service.dispatch(service.services().find(method)?, &mut call).await?)
}

/// Calls `method`, which replies with a stream, in the same way.
pub async fn stream<S: Service>(service: &S, method: &str, args: Value) -> Result<Streaming<Value>> {
    let cx = Context::new();
    let mut call = MemoryCall::new(args, &Outgoing::new(&cx, DEFAULT_TIMEOUT));
    items(service.dispatch(service.services().find(method)?, &mut call).await?)
}

/// What a call is answered with.
enum Reply {
    Value(Value),
    Items(Streaming<Value>),
}

fn value(reply: Reply) -> Result<Value> {
    match reply {
        Reply::Value(value) => Ok(value),
        Reply::Items(_) => Err(RpcError::failed_precondition("the method replies with a stream")),
    }
}

fn items(reply: Reply) -> Result<Streaming<Value>> {
    match reply {
        Reply::Items(items) => Ok(items),
        Reply::Value(_) => Err(RpcError::failed_precondition("the method replies once, and not with a stream")),
    }
}

/// A client of a service in the same process.
#[derive(Debug)]
pub struct Client<S> {
    service: Arc<S>,
}

impl<S> Clone for Client<S> {
    fn clone(&self) -> Self {
        Self { service: Arc::clone(&self.service) }
    }
}

impl<S: Service> Client<S> {
    /// A client of `service`.
    pub fn new(service: Arc<S>) -> Self {
        Self { service }
    }

    async fn dispatch<A: Serialize + Sync>(&self, method: &'static Method, cx: &Context, args: &A) -> Result<Reply> {
        check_finite(args).map_err(|error| RpcError::invalid_argument(format!("{}: {error}", method.name())))?;
        let args = serde_json::to_value(args).map_err(RpcError::internal)?;
        let served = pin!(async {
            let call = MemoryCall::new(args, &Outgoing::new(cx, DEFAULT_TIMEOUT));
            let services = self.service.services();
            // A method of another service may have the same index.
            let own = services.at_path(method.path()).ok_or_else(|| services.unknown(method.name()))?;
            self.service.dispatch(own, &mut { call }).await
        });
        let reply = response_within(DEFAULT_TIMEOUT, cx, "the service", method, served).await;
        reply.map_err(RpcError::into_remote)
    }
}

impl<S: Service> Caller for Client<S> {
    async fn call<A: Serialize + Send + Sync, R: DeserializeOwned + Send>(
        &self,
        method: &'static Method,
        cx: &Context,
        args: &A,
    ) -> Result<R> {
        decode(value(self.dispatch(method, cx, args).await?)?)
    }

    async fn stream<A: Serialize + Send + Sync, R: DeserializeOwned + Send + 'static>(
        &self,
        method: &'static Method,
        cx: &Context,
        args: &A,
    ) -> Result<Streaming<R>> {
        let items =
            items(self.dispatch(method, cx, args).await?)?.map(|item| decode(item.map_err(RpcError::into_remote)?));
        Ok(items_within(cx, method, Streaming::new(items)))
    }
}

/// A reply as JSON. What JSON has no word for is an error.
fn to_value<R: Serialize>(reply: &R) -> Result<Value> {
    check_finite(reply).map_err(|error| RpcError::new(Code::Internal, format!("the reply: {error}")))?;
    serde_json::to_value(reply).map_err(RpcError::internal)
}

fn decode<R: DeserializeOwned>(value: Value) -> Result<R> {
    R::deserialize(value).map_err(RpcError::internal)
}

struct MemoryCall {
    args: Value,
    deadline: Option<Instant>,
    metadata: Metadata,
    trace: Option<Trace>,
    context: LazyContext,
}

impl MemoryCall {
    fn new(args: Value, outgoing: &Outgoing<'_>) -> Self {
        let deadline = outgoing.timeout().and_then(deadline_after);
        let (metadata, trace) = (outgoing.metadata().clone(), outgoing.trace().cloned());
        Self { args, deadline, metadata, trace, context: LazyContext::default() }
    }
}

impl Call for MemoryCall {
    type Reply = Result<Reply>;

    fn args<A: DeserializeOwned>(&mut self) -> Result<A> {
        A::deserialize(&self.args).or_else(|_| decode_again(&self.args))
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn context(&mut self) -> Result<&mut Context> {
        let Self { deadline, metadata, trace, context, .. } = self;
        context.get(&const { Peer::LOCAL.on("memory") }, |cx| {
            (cx.deadline, cx.metadata, cx.trace) = (*deadline, mem::take(metadata), trace.take());
            Ok(())
        })
    }

    fn reply<R: Serialize>(&mut self, outcome: Result<R>) -> Self::Reply {
        to_value(&outcome?).map(Reply::Value)
    }

    fn stream<R: Serialize + Send + 'static>(&mut self, method: &'static Method, items: Streaming<R>) -> Self::Reply {
        let items = items.map(move |item| encode_item(method, &item?, to_value));
        Ok(Reply::Items(Streaming::new(items)))
    }
}
