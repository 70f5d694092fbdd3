//! The items of a stream as a wire encodes them.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use everywire_core::{
    Budget, Result, RpcError, Streaming,
    descriptor::Method,
    wire::{MessageBuffer, encode_item},
};
use futures_util::StreamExt;
use serde::Serialize;

use super::Batch;

/// How many bytes of items that are ready are sent together, and how many items.
pub const BATCH_BYTES: usize = 64 << 10;

/// A stream whose items are encoded as they are asked for.
pub struct Items {
    source: Box<dyn Source>,
    /// The error behind the items of the last batch.
    failed: Option<RpcError>,
}

/// Items of any type.
trait Source: Send {
    /// Appends the next item to `out`.
    fn poll_next(&mut self, out: &mut MessageBuffer<'_>, cx: &mut Context<'_>) -> Poll<Option<Result<()>>>;

    /// Ready with the error if the stream is ended before its last item.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<RpcError>;
}

struct Encoding<R, E> {
    method: &'static Method,
    items: Streaming<R>,
    encode: E,
}

impl<R, E> Source for Encoding<R, E>
where
    R: Serialize + Send + 'static,
    E: Fn(&R, &mut MessageBuffer<'_>) -> Result<()> + Send,
{
    fn poll_next(&mut self, out: &mut MessageBuffer<'_>, cx: &mut Context<'_>) -> Poll<Option<Result<()>>> {
        let item = ready!(self.items.poll_next_unpin(cx));
        let start = out.len();
        let appended = item.map(|item| {
            encode_item(self.method, &item?, |item| (self.encode)(item, out))?;
            out.check()
        });
        if let Some(Err(_)) = appended {
            out.rewind(start);
        }
        Poll::Ready(appended)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<RpcError> {
        self.items.poll_end(cx)
    }
}

impl Items {
    /// The `items` that `method` replies with. `encode` appends one.
    pub fn new<R, E>(method: &'static Method, items: Streaming<R>, encode: E) -> Self
    where
        R: Serialize + Send + 'static,
        E: Fn(&R, &mut MessageBuffer<'_>) -> Result<()> + Send + 'static,
    {
        Self { source: Box::new(Encoding { method, items, encode }), failed: None }
    }

    /// The items that are ready, at least one unless the stream has ended, and at most `most`. An error comes after the items before it.
    /// With room for none, it is ready only with an error: the one behind the last items, or that of [`Streaming::poll_end`].
    pub fn poll_batch(&mut self, most: usize, budget: &Arc<Budget>, cx: &mut Context<'_>) -> Poll<Result<Batch>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        if most == 0 {
            return self.poll_end(cx).map(Err);
        }
        let (mut out, mut ends, mut is_last) = (MessageBuffer::new(Vec::new(), budget), Vec::new(), false);
        while out.len() < BATCH_BYTES && ends.len() < most {
            match self.source.poll_next(&mut out, cx) {
                Poll::Ready(Some(Ok(()))) => ends.push(out.len()),
                Poll::Ready(Some(Err(error))) if ends.is_empty() => return Poll::Ready(Err(error)),
                Poll::Ready(Some(Err(error))) => {
                    self.failed = Some(error);
                    break;
                }
                Poll::Ready(None) => {
                    is_last = true;
                    break;
                }
                Poll::Pending if ends.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(out.finish().map(|bytes| Batch::new(bytes, ends, is_last)))
    }

    /// The items that are there at once. If there is an error instead, the next batch is that.
    pub(super) fn first_batch(&mut self, budget: &Arc<Budget>) -> Batch {
        match self.poll_batch(BATCH_BYTES, budget, &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(first)) => first,
            Poll::Ready(Err(error)) => {
                self.failed = Some(error);
                Batch::default()
            }
            Poll::Pending => Batch::default(),
        }
    }

    /// Ready with the error if the stream is ended before its last item, as by the deadline of its call.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<RpcError> {
        self.source.poll_end(cx)
    }
}

impl fmt::Debug for Items {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items").field("failed", &self.failed).finish_non_exhaustive()
    }
}
