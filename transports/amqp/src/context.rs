//! What travels with a call over a broker: the property `expiration`, and the table of headers.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use everywire_core::{
    Budget, Context, Peer, Result, Service,
    wire::{Outgoing, deadline_after},
};
use everywire_json::Endpoint;
use everywire_net::pull::Items;
use lapin::{
    BasicProperties,
    message::Delivery,
    types::{AMQPValue, FieldTable},
};

use crate::{envelope, items::ReplyItems};

/// What the requests in one message are addressed to.
pub(crate) struct Message<'a, S> {
    pub(crate) service: &'a S,
    pub(crate) budget: &'a Arc<Budget>,
    pub(crate) delivery: &'a Delivery,
    pub(crate) deadline: Option<Instant>,
    /// The reply of many items to its call, if it has one.
    pub(crate) items: Mutex<Option<ReplyItems>>,
}

impl<S: Service> Endpoint for Message<'_, S> {
    type Service = S;

    fn service(&self) -> &S {
        self.service
    }

    fn budget(&self) -> &Arc<Budget> {
        self.budget
    }

    fn peer(&self) -> &Peer {
        static PEER: Peer = Peer::LOCAL.on("amqp");
        &PEER
    }

    fn header_bytes(&self) -> usize {
        // The message of a call that waits is acknowledged, so nothing but the budget bounds how many there are.
        envelope::bytes(self.delivery)
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn is_redelivered(&self) -> bool {
        self.delivery.redelivered
    }

    fn send_items(&self, id: &str, items: Items) -> bool {
        *self.items.lock().unwrap_or_else(PoisonError::into_inner) = Some(ReplyItems { id: id.into(), items });
        true
    }

    fn read_context(&self, cx: &mut Context) -> Result<()> {
        let Some(headers) = self.delivery.properties.headers() else { return Ok(()) };
        cx.receive(headers.inner().iter().filter_map(|(name, value)| Some((name.as_str(), text(value)?))))
    }
}

fn text(value: &AMQPValue) -> Option<&str> {
    match value {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok(),
        AMQPValue::ShortString(text) => Some(text.as_str()),
        _ => None,
    }
}

/// When the caller of a request no longer wants the reply. The time in the request counts from now, because how long the request
/// waited in the queue is not known.
pub(crate) fn deadline(properties: &BasicProperties) -> Option<Instant> {
    deadline_after(Duration::from_millis(envelope::timeout_ms(properties)?))
}

/// Trace and metadata as headers, if there are any. Of several entries with one name, the last is sent.
pub(crate) fn headers(outgoing: &Outgoing<'_>) -> Option<FieldTable> {
    let mut table = FieldTable::default();
    for (name, value) in outgoing.entries() {
        table.insert(name.into(), AMQPValue::LongString((*value).into()));
    }
    (!table.inner().is_empty()).then_some(table)
}
