//! The items of a response.

use std::{
    collections::VecDeque,
    future::poll_fn,
    mem,
    sync::Arc,
    task::{Context, Poll, ready},
};

use everywire_core::{Code, Result, RpcError, Streaming, descriptor::Method};
use everywire_json::Received;
use futures_util::stream;
use lapin::types::ShortString;
use serde::de::{DeserializeOwned, IgnoredAny};
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

use super::{cancel::Notice, connection::Connection, pending::Response};
use crate::envelope::{Grant, Position};

/// How many items of a stream, and how many bytes of messages with them, may be on the way or unread. One message may exceed the bytes.
pub(super) const WINDOW_ITEMS: u32 = 1_024;
const WINDOW_BYTES: u32 = 1 << 20;

/// What the client has room for at the start of a stream.
pub(super) const WINDOW: Grant = Grant { items: Some(WINDOW_ITEMS), bytes: Some(WINDOW_BYTES) };

/// A call whose response has many items. Dropping it cancels the call.
pub(super) struct PendingItems {
    connection: Arc<Connection>,
    number: u64,
    responses: mpsc::Receiver<Result<Response>>,
}

impl PendingItems {
    /// The call `number` on `connection`; none if that is lost.
    pub(super) fn enter(connection: &Arc<Connection>, number: u64) -> Option<Self> {
        let responses = connection.pending().enter_items(number)?;
        Some(Self { connection: Arc::clone(connection), number, responses })
    }

    fn poll_response(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response>> {
        self.responses.poll_recv(cx).map(|response| response.unwrap_or_else(|| Err(self.connection.lost())))
    }
}

impl Drop for PendingItems {
    fn drop(&mut self) {
        self.connection.leave(self.number);
    }
}

/// A response of many items that has begun.
pub(super) struct Items<R> {
    method: &'static Method,
    pending: PendingItems,
    /// The address of the server; none only if its first response is the last one.
    server: Option<ShortString>,
    notices: PollSender<Notice>,
    ready: VecDeque<R>,
    /// What follows what is ready.
    then: Then,
    /// The bytes of the message that they came in.
    ready_bytes: u32,
    /// What was read and not granted again.
    taken: Taken,
}

enum Then {
    /// The response with this number.
    Response(u64),
    End,
    Error(RpcError),
}

#[derive(Default)]
struct Taken {
    items: u32,
    bytes: u32,
}

impl<R: DeserializeOwned> Items<R> {
    /// Waits until the stream begins.
    pub(super) async fn begin(method: &'static Method, mut pending: PendingItems) -> Result<Self> {
        let first = poll_fn(|cx| pending.poll_response(cx)).await?;
        if first.position.is_none() {
            everywire_json::reply::<IgnoredAny>(&first.body, None)?;
            return Err(RpcError::unimplemented(format!("{} does not respond with a stream", method.name())));
        }
        let server = first.server.clone();
        if server.is_none() && first.position.is_some_and(|position| !position.is_last) {
            let text = format!("{}: the server of the stream has no address for credit", method.name());
            return Err(RpcError::unavailable(text));
        }
        pending.connection.begun();
        let notices = pending.connection.notices();
        let (ready, ready_bytes, taken) = Default::default();
        let mut items = Self { method, pending, server, notices, ready, then: Then::Response(0), ready_bytes, taken };
        items.then = items.take(&first);
        Ok(items)
    }

    /// The address of the server.
    pub(super) fn server(&self) -> Option<ShortString> {
        self.server.clone()
    }

    /// The items.
    pub(super) fn into_stream(mut self) -> Streaming<R>
    where
        R: Send + 'static,
    {
        Streaming::new(stream::poll_fn(move |cx| self.poll_item(cx)))
    }

    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<R>>> {
        self.poll_grant(cx);
        loop {
            if let Some(item) = self.ready.pop_front() {
                self.taken.items = self.taken.items.saturating_add(1);
                return Poll::Ready(Some(Ok(item)));
            }
            match &self.then {
                Then::End => return Poll::Ready(None),
                Then::Error(error) => return Poll::Ready(Some(Err(error.clone()))),
                Then::Response(_) => {}
            }
            self.taken.bytes = self.taken.bytes.saturating_add(mem::take(&mut self.ready_bytes));
            self.poll_grant(cx);
            self.then = match ready!(self.pending.poll_response(cx)) {
                Ok(response) => self.take(&response),
                Err(error) => Then::Error(error),
            };
        }
    }

    /// Takes the items of the next response. Returns what follows them.
    fn take(&mut self, response: &Response) -> Then {
        let Then::Response(expected) = self.then else { return Then::End };
        let position = response.position;
        if let Some(Position { number, .. }) = position.filter(|position| position.number != expected) {
            let text = format!("{}: message {number} came in place of {expected}", self.method.name());
            return Then::Error(RpcError::new(Code::DataLoss, text));
        }
        let Received { items, unreadable } = match everywire_json::items(&response.body) {
            Ok(received) => received,
            Err(error) => return Then::Error(error),
        };
        let Some(Position { is_last, .. }) = position else {
            return self.broken("a message without a number came");
        };
        if !is_last && response.server != self.server {
            // What was granted at the old address may be lost.
            return self.broken("the server has another address");
        }
        self.ready_bytes = response.received_bytes.try_into().unwrap_or(u32::MAX);
        self.ready.extend(items);
        match unreadable {
            Some(error) => Then::Error(error),
            None if is_last => Then::End,
            None => Then::Response(expected + 1),
        }
    }

    fn broken(&self, reason: &str) -> Then {
        let text = format!("{}: the stream is broken: {reason}", self.method.name());
        Then::Error(RpcError::unavailable(text))
    }

    /// Grants again what was read, once it is half of the window.
    fn poll_grant(&mut self, cx: &mut Context<'_>) {
        let Taken { items, bytes } = self.taken;
        if !matches!(self.then, Then::Response(_)) || (items < WINDOW_ITEMS / 2 && bytes < WINDOW_BYTES / 2) {
            return;
        }
        let Some(server) = self.server.clone() else { return };
        let granted = Grant { items: Some(items), bytes: Some(bytes) };
        let notice = Notice::Credit { number: self.pending.number, server, granted };
        match self.notices.poll_reserve(cx) {
            Poll::Ready(Ok(())) if self.notices.send_item(notice).is_ok() => self.taken = Taken::default(),
            // The server would wait for ever. What has arrived is read, and then the stream is lost.
            Poll::Ready(_) => self.pending.responses.close(),
            Poll::Pending => {}
        }
    }
}
