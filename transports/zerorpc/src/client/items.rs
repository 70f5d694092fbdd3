//! The items of a response.

use std::{
    future::poll_fn,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use everywire_core::{Code, Result, RpcError, Streaming, descriptor::Method};
use futures_util::stream;
use serde::de::DeserializeOwned;

use super::{DEPTH, connection::PendingEvents, decode_value};
use crate::{
    envelope::{Event, MORE, STREAM, STREAM_DONE},
    fault,
};

/// A response of many items that has begun.
pub(crate) struct Items {
    method: &'static Method,
    events: PendingEvents,
    /// What has arrived and was not read.
    next: Option<Bytes>,
}

impl Items {
    /// Waits until the stream begins: everywire's servers say so, and others send the first item.
    pub(crate) async fn begin(method: &'static Method, mut events: PendingEvents) -> Result<Self> {
        let first = poll_fn(|cx| events.poll_next(cx)).await?;
        let mut items = Self { method, events, next: None };
        match items.event(&first)? {
            Event { name: "ERR", args, .. } => return Err(fault::read(args)),
            Event { name: MORE, .. } => {}
            _ => items.next = Some(first),
        }
        Ok(items)
    }

    /// The items.
    pub(crate) fn into_stream<R: DeserializeOwned + 'static>(mut self) -> Streaming<R> {
        Streaming::new(stream::poll_fn(move |cx| self.poll_item(cx)))
    }

    fn poll_item<R: DeserializeOwned>(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<R>>> {
        let payload = match self.next.take() {
            Some(first) => Ok(first),
            None => ready!(self.events.poll_next(cx)),
        };
        self.events.taken();
        Poll::Ready(payload.and_then(|payload| self.item(&payload)).transpose())
    }

    /// The item in an event; `None` for the end.
    fn item<R: DeserializeOwned>(&self, payload: &[u8]) -> Result<Option<R>> {
        let Event { name, args, .. } = self.event(payload)?;
        match name {
            STREAM => decode_value(args, DEPTH).map(Some).map_err(|error| self.unreadable(&error.to_string())),
            STREAM_DONE => Ok(None),
            "ERR" => Err(fault::read(args)),
            _ => Err(self.unreadable(&format!("`{}` in a stream", name.escape_debug()))),
        }
    }

    fn event<'a>(&self, payload: &'a [u8]) -> Result<Event<'a>> {
        Event::decode(payload).map_err(|_| self.unreadable("no event"))
    }

    fn unreadable(&self, reason: &str) -> RpcError {
        RpcError::new(Code::Internal, format!("{}: unreadable response: {reason}", self.method.name()))
    }
}
