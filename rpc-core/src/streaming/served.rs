//! A stream as a server sends it.

use std::{
    any::Any,
    mem,
    sync::{Arc, Mutex, PoisonError, Weak},
    task::Poll,
    time::Instant,
};

use serde::Serialize;
use tokio::time::sleep_until;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Streaming;
use crate::{
    context::Context,
    descriptor::Method,
    error::{Result, RpcError},
    offload::{LONG_BYTES, offload_if},
    service::{Call, catch_panic},
    weight::is_heavier,
};

/// What lasts until the end of a call: until its reply, or until the end of the stream that is its reply.
#[derive(Debug, Default)]
pub(crate) struct Guards {
    /// Cancels the context of the call.
    _cancellation: Option<DropGuard>,
    /// What a call holds that replies with a stream, such as its permits.
    held: Vec<Box<dyn Any + Send>>,
    /// Cancelled at the end of the server's grace period.
    end: Option<CancellationToken>,
}

/// The guards of a call as its context knows them. The call owns them, as a clone of the context may outlive it.
#[derive(Debug, Clone, Default)]
pub(crate) struct KnownGuards(Weak<Mutex<Guards>>);

impl Guards {
    /// The guards of a call that `cancellation` tells of its end.
    pub(crate) fn new(cancellation: DropGuard) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self { _cancellation: Some(cancellation), ..Self::default() }))
    }
}

impl KnownGuards {
    pub(crate) fn of(guards: &Arc<Mutex<Guards>>) -> Self {
        Self(Arc::downgrade(guards))
    }

    fn with(&self, change: impl FnOnce(&mut Guards)) {
        if let Some(guards) = self.0.upgrade() {
            change(&mut guards.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

/// Returns `held`, to be kept until the reply to `call`. If that is a stream, it is kept until its end instead.
pub(crate) fn keep_until_end<T: Send + 'static>(held: T, method: &Method, call: &mut impl Call) -> Result<Option<T>> {
    if !method.streams() {
        return Ok(Some(held));
    }
    call.context()?.guards.with(|guards| guards.held.push(Box::new(held)));
    Ok(None)
}

/// Has the stream that is the reply to `call`, if it is one, end with `end`.
pub(crate) fn end_with(end: &CancellationToken, method: &Method, call: &mut impl Call) -> Result<()> {
    if method.streams() {
        call.context()?.guards.with(|guards| guards.end = Some(end.clone()));
    }
    Ok(())
}

/// Has a wire `encode` an item of the stream that `method` replies with. A long one doesn't block other tasks on the worker thread, and a
/// panic is an `INTERNAL` error. For authors of wires.
pub fn encode_item<R: Serialize, T>(method: &Method, item: &R, encode: impl FnOnce(&R) -> Result<T>) -> Result<T> {
    catch_panic(method, || offload_if(is_heavier(item, LONG_BYTES), || encode(item))).flatten()
}

/// The error at the deadline of a call of `method`.
pub(crate) fn past_deadline(method: &Method) -> RpcError {
    RpcError::deadline_exceeded(format!("{} did not finish by its caller's deadline", method.name()))
}

/// The call that a stream is the reply to.
pub(crate) struct Served {
    method: &'static Method,
    _until_the_end: Guards,
}

impl Served {
    /// What is ready of the stream. A panic is an `INTERNAL` error.
    #[inline]
    pub(crate) fn poll<T>(&self, poll: impl FnOnce() -> Poll<Option<Result<T>>>) -> Poll<Option<Result<T>>> {
        catch_panic(self.method, poll).unwrap_or_else(|panic| Poll::Ready(Some(Err(panic))))
    }
}

impl<T: 'static> Streaming<T> {
    /// The items as the reply to a call of `method`, whose context is `cx`: until `deadline`, or until the end of the server. A panic
    /// is an `INTERNAL` error.
    pub(crate) fn served(mut self, method: &'static Method, deadline: Option<Instant>, cx: &Context) -> Self {
        let mut guards = Guards::default();
        cx.guards.with(|known| guards = mem::take(known));
        let end = guards.end.clone();
        self.served = Some(Served { method, _until_the_end: guards });
        let deadline = deadline.map(|deadline| sleep_until(deadline.into()));
        self.until(deadline, move || past_deadline(method)).until(end.map(CancellationToken::cancelled_owned), || {
            RpcError::unavailable("the server shut down before the end of the stream")
        })
    }
}
