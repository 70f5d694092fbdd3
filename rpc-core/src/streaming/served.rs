//! A stream as a server sends it.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    task::Poll,
};

use futures_util::{StreamExt, stream};
use tokio::time::sleep_until;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Streaming;
use crate::{
    budget::WaitingPermit,
    context::Context,
    descriptor::Method,
    error::{Result, RpcError},
    service::{Call, panicked},
};

/// What lasts until the end of a call: until its reply, or until the end of the stream that is its reply. A clone has nothing of it.
#[derive(Debug, Default)]
pub(crate) struct Guards {
    /// Cancels the context of the call.
    pub(crate) cancellation: Option<DropGuard>,
    /// Counts a call that replies with a stream.
    pub(crate) permits: Vec<WaitingPermit>,
    /// Cancelled at the end of the server's grace period.
    pub(crate) end: Option<CancellationToken>,
}

impl Clone for Guards {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// Returns `permit`, to be kept until the reply to `call`. If that is a stream, it is kept with it instead.
pub(crate) fn hold(permit: WaitingPermit, method: &Method, call: &mut impl Call) -> Result<Option<WaitingPermit>> {
    if !method.streams() {
        return Ok(Some(permit));
    }
    call.context()?.guards.permits.push(permit);
    Ok(None)
}

impl<T: 'static> Streaming<T> {
    /// The items as the reply to a call of `method`, whose context is `cx`: until its deadline, or until the end of the server. A panic
    /// is an `INTERNAL` error.
    pub(crate) fn served(mut self, method: &'static Method, cx: &mut Context) -> Self {
        let guards = mem::take(&mut cx.guards);
        let end = guards.end.clone();
        let items = Self::new(stream::poll_fn(move |cx| {
            let _until_the_end = &guards;
            catch_unwind(AssertUnwindSafe(|| self.poll_next_unpin(cx)))
                .unwrap_or_else(|panic| Poll::Ready(Some(Err(panicked(method, panic.as_ref())))))
        }));
        let items = items.until(cx.deadline.map(|deadline| sleep_until(deadline.into())), || {
            RpcError::deadline_exceeded(format!("{} did not finish by its caller's deadline", method.name()))
        });
        items.until(end.map(CancellationToken::cancelled_owned), || {
            RpcError::unavailable("the server shut down before the end of the stream")
        })
    }

    /// Ends the stream with `error` when `end` completes, if there is one.
    pub(crate) fn until<E>(mut self, end: Option<E>, error: impl FnOnce() -> RpcError + Send + 'static) -> Self
    where
        E: Future<Output = ()> + Send + 'static,
    {
        let Some(mut end) = end.map(Box::pin) else { return self };
        let mut error = Some(error);
        Self::new(stream::poll_fn(move |cx| {
            // First, because the next item may always be there at once.
            if end.as_mut().poll(cx).is_ready() {
                return Poll::Ready(error.take().map(|error| Err(error())));
            }
            self.poll_next_unpin(cx)
        }))
    }
}
