//! The client side of one wire.

use std::{pin::Pin, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::sleep_until,
};
use tokio_util::sync::CancellationToken;

use crate::{
    context::Context,
    descriptor::Method,
    error::{Result, RpcError},
    streaming::Streaming,
};

/// How long a client waits for a response by default.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// A client of one wire: it carries any method of any service.
///
/// A generated client such as `ToolkitClient<C: Caller>` turns it back into the service's own trait. A `Caller` around a `Caller` is
/// a layer of a client: the repository's `examples/rust/client_layer.rs` tries calls again.
///
/// # Notes for implementers
/// `args` serializes as a struct whose fields are the arguments, in order and by name; wires with positions use the
/// order. An error that the server sent has the origin [`Remote`](crate::Origin::Remote), one that the client found itself
/// [`Local`](crate::Origin::Local): `UNAVAILABLE` without a connection, `DEADLINE_EXCEEDED` without a response in time,
/// `INTERNAL` for a response that can't be read. Dropping the future of a call cancels the call. Many calls may be in flight
/// at the same time. [`Outgoing`](crate::wire::Outgoing) says what of the context travels.
pub trait Caller: Send + Sync + 'static {
    /// Calls `method` with `args` and waits for its reply. `cx` says until when it is wanted, and what else travels.
    fn call<A: Serialize + Send + Sync, R: DeserializeOwned + Send>(
        &self,
        method: &'static Method,
        cx: &Context,
        args: &A,
    ) -> impl Future<Output = Result<R>> + Send;

    /// Calls `method` with `args` and waits until its reply of many items begins. Only for a method that [streams](Method::streams).
    /// Dropping the items ends the call.
    fn stream<A: Serialize + Send + Sync, R: DeserializeOwned + Send + 'static>(
        &self,
        method: &'static Method,
        _cx: &Context,
        _args: &A,
    ) -> impl Future<Output = Result<Streaming<R>>> + Send {
        let text = format!("{}: this client has no streams", method.name());
        async { Err(RpcError::unimplemented(text)) }
    }
}

/// Limits how many calls a client has in flight; further calls wait for a slot. Calls that [wait](Method::waits) for other
/// calls have as many slots of their own, so that they never keep out the call that ends their wait. For the clients of wires.
#[derive(Debug)]
pub struct CallSlots {
    running: Semaphore,
    waiting: Semaphore,
}

impl CallSlots {
    /// As many slots as `calls`, at least one, and as many again for calls that wait.
    pub fn new(calls: usize) -> Self {
        let slots = || Semaphore::new(calls.clamp(1, Semaphore::MAX_PERMITS));
        Self { running: slots(), waiting: slots() }
    }

    /// Takes a slot for a call of `method`, as soon as one is free.
    pub async fn take(&self, method: &Method) -> Result<SemaphorePermit<'_>> {
        let slots = if method.waits() { &self.waiting } else { &self.running };
        slots.acquire().await.map_err(|_| RpcError::cancelled("the client is closed"))
    }
}

/// Waits for the `response` of `peer` to a call of `method`. After `timeout`, or at the deadline of `cx`, drops the call and
/// returns `DEADLINE_EXCEEDED`; when `cx` is cancelled, `CANCELLED`. For the clients of wires.
///
/// The future is pinned by the caller, because an async function that takes it by value has room for it twice.
pub async fn response_within<R>(
    timeout: Duration,
    cx: &Context,
    peer: &str,
    method: &Method,
    response: Pin<&mut impl Future<Output = Result<R>>>,
) -> Result<R> {
    let timeout = time_for(timeout, cx);
    let late = || {
        let method = method.name();
        Err(RpcError::deadline_exceeded(format!("{method}: no response from {peer} within {timeout:?}")))
    };
    if timeout.is_zero() {
        let text = format!("{}: the deadline of the call has passed; nothing was sent", method.name());
        return Err(RpcError::deadline_exceeded(text));
    }
    let response = tokio::time::timeout(timeout, response);
    let Some(cancellation) = cx.cancellation_ref() else {
        return response.await.unwrap_or_else(|_| late());
    };
    match cancellation.run_until_cancelled(response).await {
        Some(response) => response.unwrap_or_else(|_| late()),
        None => Err(RpcError::cancelled(format!("{}: the caller cancelled the call", method.name()))),
    }
}

/// The `items` of the response to a call of `method`. They end with `DEADLINE_EXCEEDED` at the deadline of `cx`, and with `CANCELLED` when
/// it is cancelled. For the clients of wires.
pub fn items_within<R: 'static>(cx: &Context, method: &'static Method, items: Streaming<R>) -> Streaming<R> {
    let items = items.until(cx.deadline.map(|deadline| sleep_until(deadline.into())), || {
        RpcError::deadline_exceeded(format!("{}: the deadline of the call has passed", method.name()))
    });
    items.until(cx.cancellation_ref().cloned().map(CancellationToken::cancelled_owned), || {
        RpcError::cancelled(format!("{}: the caller cancelled the call", method.name()))
    })
}

/// The time for a call: what `cx` leaves of `timeout`.
fn time_for(timeout: Duration, cx: &Context) -> Duration {
    cx.time_left().map_or(timeout, |left| left.min(timeout))
}
