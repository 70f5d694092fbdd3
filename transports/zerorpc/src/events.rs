//! A reply of many items: an event for each, and one for the end.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use everywire_core::{
    Result, Streaming,
    descriptor::Method,
    wire::{Encoded, encode_item},
};
use futures_util::{Stream, StreamExt, task::AtomicWaker};
use serde::Serialize;

use crate::{call::Connection, envelope, id::ChannelId};

/// How many events the peer of a channel has room for. It grants one with its request, and more with `_zpc_more`.
#[derive(Debug)]
pub(crate) struct Credit {
    events: AtomicU32,
    waker: AtomicWaker,
}

impl Default for Credit {
    fn default() -> Self {
        Self { events: AtomicU32::new(1), waker: AtomicWaker::new() }
    }
}

impl Credit {
    /// Adds what the peer grants.
    pub(crate) fn grant(&self, events: u32) {
        self.events.update(Relaxed, Relaxed, |granted| granted.saturating_add(events));
        self.waker.wake();
    }

    /// Takes one as soon as there is one.
    fn poll_take(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        let taken = self.events.try_update(Relaxed, Relaxed, |granted| granted.checked_sub(1));
        if taken.is_ok() { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// The events of a stream: `STREAM` with each item, then `STREAM_DONE`, or `ERR` with the error that ends it. The first is a `_zpc_more` of
/// zero: it tells our client that the stream has begun, and others ignore it.
pub(crate) struct Events<R> {
    method: &'static Method,
    /// None after the last event.
    items: Option<Streaming<R>>,
    channel: ChannelId,
    credit: Arc<Credit>,
    has_begun: bool,
    /// Whether the next event is paid for.
    may_send: bool,
    connection: Arc<Connection>,
}

impl<R> Events<R> {
    pub(crate) fn new(
        method: &'static Method,
        items: Streaming<R>,
        channel: ChannelId,
        credit: Arc<Credit>,
        connection: Arc<Connection>,
    ) -> Self {
        Self { method, items: Some(items), channel, credit, has_begun: false, may_send: false, connection }
    }
}

impl<R: Serialize> Events<R> {
    /// The event of an item, or of the end.
    fn event(&mut self, item: Option<Result<R>>) -> Encoded {
        let Connection { ids, budget, .. } = &*self.connection;
        let ((_, id), channel) = (ids.next(), self.channel.as_bytes());
        let encode = |item: &R| envelope::item(&id, channel, item, budget);
        let event = item.map(|item| encode_item(self.method, &item?, encode));
        if !matches!(event, Some(Ok(_))) {
            self.items = None;
        }
        match event {
            Some(Ok(event)) => event,
            Some(Err(error)) => envelope::err(&id, channel, &error, budget),
            None => envelope::done(&id, channel).into(),
        }
    }
}

impl<R: Serialize + 'static> Stream for Events<R> {
    type Item = Encoded;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Encoded>> {
        let this = &mut *self;
        if !std::mem::replace(&mut this.has_begun, true) {
            let id = this.connection.ids.next().1;
            return Poll::Ready(Some(envelope::more(&id, this.channel.as_bytes(), 0).into()));
        }
        let Some(items) = &mut this.items else { return Poll::Ready(None) };
        // Before the item, so that nothing is made that nobody has room for. Only an end that the method does not decide needs none.
        if !this.may_send && this.credit.poll_take(cx).is_pending() {
            let error = ready!(items.poll_end(cx));
            return Poll::Ready(Some(this.event(Some(Err(error)))));
        }
        this.may_send = true;
        let item = ready!(items.poll_next_unpin(cx));
        this.may_send = false;
        Poll::Ready(Some(this.event(item)))
    }
}
