//! A reply of many items: several messages, as far as the caller has room for them.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, ready},
};

use everywire_core::{Budget, Result, RpcError, wire::Encoded};
use everywire_json::{error_response, items_response};
use everywire_net::pull::{Batch, Items};
use lapin::{BasicProperties, message::Delivery};

use crate::{
    credit::{OpenStream, OpenStreams},
    envelope::{self, Position},
};

/// The reply of many items to a call.
pub(crate) struct ReplyItems {
    /// The text of the call's id.
    pub(crate) id: Box<str>,
    pub(crate) items: Items,
}

/// The messages of one reply. The first one is made at once, with items if some are there, so that the caller knows that the stream has
/// begun.
pub(crate) struct Parts<'a> {
    id: Box<str>,
    /// None after the last one.
    items: Option<Items>,
    /// An error if there is no room to count.
    stream: Result<OpenStream<'a>>,
    /// Whether the caller can grant more than its request does.
    can_grant: bool,
    request: &'a Delivery,
    budget: &'a Arc<Budget>,
    /// The number of the next message.
    number: u64,
}

impl<'a> Parts<'a> {
    /// The messages of the `reply` to `request`. `has_address` is whether the server can be granted credit.
    pub(crate) fn open(
        reply: ReplyItems,
        streams: &'a OpenStreams,
        request: &'a Delivery,
        has_address: bool,
        budget: &'a Arc<Budget>,
    ) -> Self {
        let ReplyItems { id, items } = reply;
        let stream = streams.open(&request.properties);
        let can_grant = has_address && stream.as_ref().is_ok_and(OpenStream::has_address);
        Self { id, items: Some(items), stream, can_grant, request, budget, number: 0 }
    }

    /// The body of the next message and its properties, once there is room for it; none after the last one.
    pub(crate) async fn next(&mut self) -> Option<(Encoded, BasicProperties)> {
        let part = poll_fn(|cx| self.poll_part(cx)).await?;
        let (body, is_last) = self.body(part);
        if is_last {
            self.items = None;
        }
        if let Ok(stream) = &self.stream {
            stream.credit().take_bytes(body.len());
        }
        let position = Position { number: self.number, is_last };
        self.number += 1;
        Some((body, envelope::with_position(envelope::reply_to(self.request), position)))
    }

    /// What the next message has: items, or the error at the end.
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Batch>>> {
        let Some(items) = &mut self.items else { return Poll::Ready(None) };
        let credit = match &self.stream {
            Ok(stream) => stream.credit(),
            Err(error) => return Poll::Ready(Some(Err(error.clone()))),
        };
        let most = credit.poll_items(cx);
        let part = match items.poll_batch(most, self.budget, cx) {
            Poll::Pending if self.number == 0 => Ok(Batch::default()),
            Poll::Pending if most == 0 && !self.can_grant => ready!(poll_end_of_credit(items, self.budget, cx)),
            part => ready!(part),
        };
        credit.take_items(part.as_ref().map_or(0, Batch::len));
        Poll::Ready(Some(part))
    }

    /// The body of a message, and whether it is the last one.
    fn body(&self, part: Result<Batch>) -> (Encoded, bool) {
        let encoded = part.and_then(|batch| Ok((items_response(&self.id, &batch, self.budget)?, batch.is_last())));
        encoded.unwrap_or_else(|error| (error_response(&self.id, &error).into(), true))
    }
}

/// The last message of a stream whose caller has no more room and can't grant any: the end, if it is there, and otherwise an error.
fn poll_end_of_credit(items: &mut Items, budget: &Arc<Budget>, cx: &mut Context<'_>) -> Poll<Result<Batch>> {
    let batch = ready!(items.poll_batch(1, budget, cx))?;
    if batch.is_empty() {
        return Poll::Ready(Ok(batch));
    }
    let text = "the stream has more items than its request grants credit for, and its caller can't grant more: it needs direct \
                reply-to and a correlation_id";
    Poll::Ready(Err(RpcError::resource_exhausted(text)))
}
