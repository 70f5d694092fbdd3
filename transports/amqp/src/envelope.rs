//! The properties of a message, which stand around its JSON-RPC body.

use std::sync::Arc;

use bytes::Bytes;
use everywire_core::{Budget, Limit, Result, RpcError, wire::Outgoing};
use everywire_json::CANCEL;
use everywire_net::{encoding::Encoding, http1::Received};
use lapin::{
    BasicProperties,
    message::Delivery,
    types::{AMQPValue, FieldTable, ShortString},
};

use crate::{
    context,
    fields::{DEPTH, Flaw, UNREADABLE},
};

/// The property `content_type` of every message.
const CONTENT_TYPE: &str = "application/json";

/// The queue of replies that is not declared: the broker delivers them to the channel that sent the request. In the `reply_to` of a
/// message, the broker replaces this name by the address of the channel, which has to consume it.
pub(crate) const DIRECT_REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// The `type` of a message that grants credit for items of a stream.
const CREDIT: &str = "$/credit";

/// The header with how many items may be sent: of a request, as a first grant, and of [`CREDIT`].
const ITEMS: &str = "credit";

/// The header with how many bytes of bodies may be sent.
const BYTES: &str = "credit_bytes";

/// The header of a request that grants credit which says how long the stream may take, in milliseconds.
const TIMEOUT: &str = "timeout_ms";

/// The header of a stream's replies that numbers them, from 0 on.
const NUMBER: &str = "seq";

/// The header of a stream's replies that says whether it is the last one.
const IS_LAST: &str = "end";

/// What a caller grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) items: Option<u32>,
    pub(crate) bytes: Option<u32>,
}

/// The place of a reply in its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) number: u64,
    pub(crate) is_last: bool,
}

/// The properties of the request with this `number`. It waits in the queue for as long as the call has time.
pub(crate) fn request(number: u64, outgoing: &Outgoing<'_>) -> BasicProperties {
    let millis = u32::try_from(outgoing.time_left().as_millis()).unwrap_or(u32::MAX);
    let properties = BasicProperties::default()
        .with_content_type(CONTENT_TYPE.into())
        .with_correlation_id(number.to_string().into())
        .with_expiration(millis.to_string().into())
        .with_reply_to(DIRECT_REPLY_TO.into());
    match context::headers(outgoing) {
        Some(headers) => properties.with_headers(headers),
        None => properties,
    }
}

/// Adds to the properties of a request that its reply has many items, and how many the client has room for. The expiration is then only
/// the time that the request may wait in the queue.
pub(crate) fn with_grant(request: BasicProperties, outgoing: &Outgoing<'_>, granted: Grant) -> BasicProperties {
    let mut headers = request.headers().clone().unwrap_or_default();
    put_grant(&mut headers, granted);
    if let Some(time) = outgoing.timeout_ms() {
        headers.insert(TIMEOUT.into(), AMQPValue::LongLongInt(time.try_into().unwrap_or(i64::MAX)));
    }
    request.with_headers(headers)
}

fn put_grant(headers: &mut FieldTable, Grant { items, bytes }: Grant) {
    for (name, granted) in [(ITEMS, items), (BYTES, bytes)] {
        if let Some(granted) = granted {
            headers.insert(name.into(), AMQPValue::LongLongInt(granted.into()));
        }
    }
}

/// The number of the request that a reply, or a request that the broker returns, belongs to.
pub(crate) fn number(properties: &BasicProperties) -> Option<u64> {
    properties.correlation_id().as_ref().and_then(|id| id.as_str().parse().ok())
}

/// The properties of the reply to `request`.
pub(crate) fn reply_to(request: &Delivery) -> BasicProperties {
    let properties = BasicProperties::default().with_content_type(CONTENT_TYPE.into());
    match request.properties.correlation_id() {
        Some(id) => properties.with_correlation_id(id.clone()),
        None => properties,
    }
}

/// Adds the place in its stream to the properties of a reply.
pub(crate) fn with_position(reply: BasicProperties, position: Position) -> BasicProperties {
    let mut headers = FieldTable::default();
    headers.insert(NUMBER.into(), AMQPValue::LongLongInt(position.number.cast_signed()));
    headers.insert(IS_LAST.into(), AMQPValue::Boolean(position.is_last));
    reply.with_headers(headers)
}

/// The place of a reply in its stream; none if it is not of a stream.
pub(crate) fn position(reply: &BasicProperties) -> Option<Position> {
    let headers = reply.headers().as_ref()?;
    let number = integer(headers, NUMBER)?;
    let is_last = matches!(headers.inner().get(IS_LAST), Some(AMQPValue::Boolean(true)));
    Some(Position { number, is_last })
}

/// The properties of the message that grants more of the reply to the request with this `number`.
pub(crate) fn credit(number: u64, granted: Grant) -> BasicProperties {
    let mut headers = FieldTable::default();
    put_grant(&mut headers, granted);
    BasicProperties::default()
        .with_type(CREDIT.into())
        .with_correlation_id(number.to_string().into())
        .with_reply_to(DIRECT_REPLY_TO.into())
        .with_headers(headers)
}

pub(crate) fn is_credit(properties: &BasicProperties) -> bool {
    properties.kind().as_ref().is_some_and(|kind| kind.as_str() == CREDIT)
}

/// What a request or a message with credit grants.
pub(crate) fn grant(properties: &BasicProperties) -> Grant {
    let headers = properties.headers().as_ref();
    let granted = |name| Some(integer(headers?, name)?.try_into().unwrap_or(u32::MAX));
    Grant { items: granted(ITEMS), bytes: granted(BYTES) }
}

/// How long a call may take, in milliseconds. The expiration of a request that grants credit is only the time in the queue.
pub(crate) fn timeout_ms(request: &BasicProperties) -> Option<u64> {
    match request.headers() {
        Some(headers) if headers.inner().contains_key(ITEMS) => integer(headers, TIMEOUT),
        _ => request.expiration().as_ref()?.as_str().parse().ok(),
    }
}

/// A header that is an integer, of whichever type, and not negative.
fn integer(headers: &FieldTable, name: &str) -> Option<u64> {
    match *headers.inner().get(name)? {
        AMQPValue::ShortShortInt(value) => value.try_into().ok(),
        AMQPValue::ShortShortUInt(value) => Some(value.into()),
        AMQPValue::ShortInt(value) => value.try_into().ok(),
        AMQPValue::ShortUInt(value) => Some(value.into()),
        AMQPValue::LongInt(value) => value.try_into().ok(),
        AMQPValue::LongUInt(value) => Some(value.into()),
        AMQPValue::LongLongInt(value) => value.try_into().ok(),
        AMQPValue::Timestamp(value) => Some(value),
        _ => None,
    }
}

/// The properties of the message that cancels the request with this `number`: its `type` is [`CANCEL`], and it has no body.
pub(crate) fn cancellation(number: u64) -> BasicProperties {
    BasicProperties::default()
        .with_type(CANCEL.into())
        .with_correlation_id(number.to_string().into())
        .with_reply_to(DIRECT_REPLY_TO.into())
}

pub(crate) fn is_cancellation(properties: &BasicProperties) -> bool {
    properties.kind().as_ref().is_some_and(|kind| kind.as_str() == CANCEL)
}

/// What follows [`DIRECT_REPLY_TO`] if a queue is the address of a channel. The broker makes those up, and nobody can guess one.
pub(crate) fn address(queue: &ShortString) -> Option<&str> {
    queue.as_str().strip_prefix(DIRECT_REPLY_TO)?.strip_prefix('.')
}

pub(crate) fn is_address(queue: &ShortString) -> bool {
    address(queue).is_some()
}

/// The address in the reply of a server that accepts cancellations.
pub(crate) fn server(reply: &BasicProperties) -> Option<ShortString> {
    reply.reply_to().clone().filter(is_address)
}

/// How many bytes a message takes: its body as it arrived, and its headers in memory, where a short one takes many times its length in a
/// frame.
pub(crate) fn bytes(message: &Delivery) -> usize {
    message.data.len() + message.properties.headers().as_ref().map_or(0, table_bytes)
}

fn table_bytes(table: &FieldTable) -> usize {
    let entry = |(name, value): (&ShortString, _)| size_of::<ShortString>() + name.as_str().len() + value_bytes(value);
    table.inner().iter().map(entry).sum()
}

/// Recursion ends here, because headers nest only so deep as [`DEPTH`].
fn value_bytes(value: &AMQPValue) -> usize {
    let owned = match value {
        AMQPValue::LongString(text) => text.len(),
        AMQPValue::ByteArray(bytes) => bytes.len(),
        AMQPValue::FieldTable(table) => table_bytes(table),
        AMQPValue::FieldArray(values) => values.as_slice().iter().map(value_bytes).sum(),
        _ => 0,
    };
    size_of::<AMQPValue>() + owned
}

/// The error of a message from which something was removed before lapin read it.
pub(crate) fn unreadable(properties: &BasicProperties, budget: &Budget) -> Option<RpcError> {
    let AMQPValue::ShortShortUInt(number) = properties.headers().as_ref()?.inner().get(UNREADABLE)? else {
        return None;
    };
    Some(match Flaw::from_number(*number) {
        Flaw::TooDeep => {
            let text = format!("the headers nest more than {DEPTH} levels deep");
            budget.record(Limit::Depth, &text);
            RpcError::resource_exhausted(text)
        }
        Flaw::TooLong => RpcError::resource_exhausted("the properties are longer than a frame"),
        Flaw::Malformed => RpcError::invalid_argument("the properties are not UTF-8, or a header has an unknown type"),
    })
}

/// The decoded body of a message, or `None` if it is not compressed.
pub(crate) fn decoded(delivery: &Delivery, budget: &Arc<Budget>) -> Result<Option<Received>> {
    match coding(&delivery.properties, &delivery.data)? {
        Encoding::Identity => Ok(None),
        encoding => {
            let received = Received { bytes: Bytes::copy_from_slice(&delivery.data), reservation: budget.reserve() };
            encoding.decode(received, budget).map(Some)
        }
    }
}

/// The coding of `body`, from the property `content_encoding`. Some clients put the name of a character set there, so a body that
/// looks like JSON is read as JSON.
fn coding(properties: &BasicProperties, body: &[u8]) -> Result<Encoding> {
    let Some(name) = properties.content_encoding() else { return Ok(Encoding::Identity) };
    let json = body.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(body).trim_ascii_start();
    match Encoding::named(name.as_str()) {
        Some(encoding) => Ok(encoding),
        None if json.starts_with(b"{") || json.starts_with(b"[") => Ok(Encoding::Identity),
        None => {
            Err(RpcError::unimplemented("the body is not JSON, and its content_encoding is none of gzip and deflate"))
        }
    }
}
