//! How many items the callers of streams have room for.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Context,
};

use everywire_core::{Result, RpcError};
use futures_util::task::AtomicWaker;
use lapin::BasicProperties;

use crate::{
    cancel::CallId,
    envelope::{self, Grant},
};

/// The most items that a caller can have room for; what it grants beyond them is ignored. A request may name a queue that is not its
/// sender's, and no more than these are sent there.
const MOST_ITEMS: u32 = 65_536;

/// The room that the caller of one stream has left.
#[derive(Debug)]
pub(crate) struct Credit {
    left: Mutex<Left>,
    waker: AtomicWaker,
}

#[derive(Debug)]
struct Left {
    items: u32,
    /// Not limited for callers that don't say. A message may exceed it, so that every item can be sent.
    bytes: i64,
}

impl Credit {
    /// What `request` grants: one item unless it says otherwise.
    pub(crate) fn of(request: &BasicProperties) -> Self {
        let Grant { items, bytes } = envelope::grant(request);
        let left = Left { items: items.unwrap_or(1).min(MOST_ITEMS), bytes: bytes.map_or(i64::MAX, i64::from) };
        Self { left: Mutex::new(left), waker: AtomicWaker::new() }
    }

    /// Adds what the caller grants.
    fn add(&self, granted: &Grant) {
        {
            let mut left = self.lock();
            left.items = left.items.saturating_add(granted.items.unwrap_or(0)).min(MOST_ITEMS);
            left.bytes = left.bytes.saturating_add(granted.bytes.map_or(0, i64::from));
        }
        self.waker.wake();
    }

    /// How many items may be sent now. If none may, the task is woken when that changes.
    pub(crate) fn poll_items(&self, cx: &mut Context<'_>) -> usize {
        self.waker.register(cx.waker());
        let left = self.lock();
        if left.bytes > 0 { left.items as usize } else { 0 }
    }

    /// Takes what so many items cost.
    pub(crate) fn take_items(&self, items: usize) {
        let mut left = self.lock();
        left.items = left.items.saturating_sub(u32::try_from(items).unwrap_or(u32::MAX));
    }

    /// Takes what so many bytes cost.
    pub(crate) fn take_bytes(&self, bytes: usize) {
        let mut left = self.lock();
        left.bytes = left.bytes.saturating_sub_unsigned(bytes as u64);
    }

    fn lock(&self) -> MutexGuard<'_, Left> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The open streams of a connection whose callers can grant more: those that have an address.
#[derive(Default)]
pub(crate) struct OpenStreams(Mutex<HashMap<CallId, Arc<Credit>>>);

/// An open stream, until it ends.
pub(crate) struct OpenStream<'a> {
    streams: &'a OpenStreams,
    /// None if its caller can't grant more.
    id: Option<CallId>,
    credit: Arc<Credit>,
}

impl OpenStreams {
    /// Enters the stream that `request` asks for. An error if its caller could not tell its messages from those of another stream.
    pub(crate) fn open(&self, request: &BasicProperties) -> Result<OpenStream<'_>> {
        let (id, credit) = (CallId::of(request), Arc::new(Credit::of(request)));
        if let Some(id) = &id {
            match self.lock().entry(id.clone()) {
                Entry::Vacant(vacant) => drop(vacant.insert(Arc::clone(&credit))),
                Entry::Occupied(_) => {
                    return Err(RpcError::already_exists("a stream with this correlation_id is open"));
                }
            }
        }
        Ok(OpenStream { streams: self, id, credit })
    }

    /// Adds the credit in `message` to the stream that it names. Any client may send anything here.
    pub(crate) fn grant(&self, message: &BasicProperties) {
        let credit = CallId::of(message).and_then(|id| self.lock().get(&id).cloned());
        if let Some(credit) = credit {
            credit.add(&envelope::grant(message));
        } else {
            tracing::debug!("ignored credit for a stream that is not open");
        }
    }

    /// Ends what the stream of a cancelled call may send beyond the credit that it has.
    pub(crate) fn close(&self, id: &CallId) {
        self.lock().remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CallId, Arc<Credit>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenStream<'_> {
    pub(crate) fn credit(&self) -> &Credit {
        &self.credit
    }

    /// Whether its caller can grant more, if the server has an address.
    pub(crate) fn has_address(&self) -> bool {
        self.id.is_some()
    }
}

impl Drop for OpenStream<'_> {
    fn drop(&mut self) {
        let Some(id) = &self.id else { return };
        let mut streams = self.streams.lock();
        // Once it is cancelled, another one may have its id.
        if streams.get(id).is_some_and(|credit| Arc::ptr_eq(credit, &self.credit)) {
            streams.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use lapin::types::{AMQPValue, FieldTable};

    use super::*;

    fn properties(caller: &str, headers: &[(&str, AMQPValue)]) -> BasicProperties {
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert((*name).into(), value.clone());
        }
        BasicProperties::default().with_reply_to(caller.into()).with_correlation_id("1".into()).with_headers(table)
    }

    fn left(stream: &OpenStream<'_>) -> usize {
        stream.credit().poll_items(&mut Context::from_waker(Waker::noop()))
    }

    const CALLER: &str = "amq.rabbitmq.reply-to.one";

    #[test]
    fn a_caller_grants_credit_to_its_own_stream() {
        let streams = OpenStreams::default();
        let stream = streams.open(&properties(CALLER, &[])).unwrap();
        assert_eq!((left(&stream), stream.has_address()), (1, true));
        let ten = [("credit", AMQPValue::LongInt(10))];
        streams.grant(&properties("amq.rabbitmq.reply-to.two", &ten));
        streams.grant(&properties(CALLER, &ten).with_correlation_id("2".into()));
        assert_eq!(left(&stream), 1);
        streams.grant(&properties(CALLER, &ten));
        assert_eq!(left(&stream), 11);
        stream.credit().take_items(11);
        stream.credit().take_bytes(1 << 40);
        assert_eq!(left(&stream), 0);
        streams.grant(&properties(CALLER, &[("credit", AMQPValue::LongLongInt(i64::MAX))]));
        assert_eq!(left(&stream), MOST_ITEMS as usize);
        assert!(streams.open(&properties(CALLER, &[])).is_err(), "it could not tell them apart");
        stream.credit().take_items(MOST_ITEMS as usize);
        streams.close(&CallId::of(&properties(CALLER, &[])).unwrap());
        streams.grant(&properties(CALLER, &ten));
        assert_eq!(left(&stream), 0, "it was cancelled");
        let other = streams.open(&properties(CALLER, &[])).unwrap();
        drop(stream);
        assert_eq!(streams.lock().len(), 1);
        drop(other);
        assert!(streams.lock().is_empty());
        let stream = streams.open(&properties("queue", &ten)).unwrap();
        assert_eq!((left(&stream), stream.has_address()), (10, false));
    }

    #[test]
    fn credit_may_be_limited_in_bytes_too() {
        let streams = OpenStreams::default();
        let granted = [("credit", AMQPValue::LongInt(5)), ("credit_bytes", AMQPValue::LongInt(100))];
        let stream = streams.open(&properties(CALLER, &granted)).unwrap();
        stream.credit().take_items(1);
        stream.credit().take_bytes(1_000);
        assert_eq!(left(&stream), 0, "one message may exceed it");
        streams.grant(&properties(CALLER, &[("credit_bytes", AMQPValue::LongInt(900))]));
        assert_eq!(left(&stream), 0);
        streams.grant(&properties(CALLER, &[("credit_bytes", AMQPValue::LongInt(1))]));
        assert_eq!(left(&stream), 4);
    }
}
