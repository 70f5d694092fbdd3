//! The body of a response of many items.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use everywire_core::{
    Budget, Result, Streaming,
    descriptor::Method,
    wire::{MessageBuffer, encode_item},
};
use futures_util::StreamExt;
use h2::Reason;
use http::HeaderMap;
use hyper::body::{Body as HttpBody, Frame};
use serde::Serialize;
use tonic::Status;

use crate::{
    body::Messages,
    codec::{Enums, Output},
    envelope, status,
};

/// When a frame is long enough. Items that are there at the same time share one: some clients take many short frames for an attack.
const FRAME_BYTES: usize = 16 << 10;

/// Items as messages, and the trailers.
pub(crate) struct Items<R> {
    method: &'static Method,
    /// None after the last item.
    rest: Option<Streaming<R>>,
    trailers: Option<HeaderMap>,
    budget: Arc<Budget>,
}

impl<R: Serialize + 'static> Items<R> {
    pub(crate) fn new(method: &'static Method, items: Streaming<R>, budget: &Arc<Budget>) -> Self {
        Self { method, rest: Some(items), trailers: None, budget: Arc::clone(budget) }
    }

    /// Writes the next messages. There are none if the next item is not ready, and at the end.
    fn next_messages(&mut self, cx: &mut Context<'_>) -> Bytes {
        let mut out =
            Output::new(MessageBuffer::new(Vec::new(), &self.budget), Enums::new(self.method.enums_with_data()));
        while let Some(items) = &mut self.rest
            && out.len() < FRAME_BYTES
            && let Poll::Ready(item) = items.poll_next_unpin(cx)
        {
            let start = out.len();
            let written = item.map(|item| encode_item(self.method, &item?, |item| envelope::put(item, &mut out)));
            let end = match written {
                Some(Ok(())) => continue,
                Some(Err(error)) => {
                    out.buffer.rewind(start);
                    status::trailers(&error)
                }
                None => envelope::success(),
            };
            (self.rest, self.trailers) = (None, Some(end));
        }
        out.buffer.finish().map(Bytes::from).unwrap_or_default()
    }
}

impl<R: Serialize + 'static> HttpBody for Items<R> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let messages = self.next_messages(cx);
        if !messages.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(messages))));
        }
        if self.rest.is_some() {
            return Poll::Pending;
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }
}

impl<R: Serialize + 'static> Messages for Items<R> {
    /// At the deadline of the call, for example.
    fn poll_end(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reason> {
        let Some(items) = &mut self.rest else { return Poll::Pending };
        items.poll_end(cx).map(|_| Reason::CANCEL)
    }
}
