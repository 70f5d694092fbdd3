//! What surrounds a message: its length prefix, the headers of requests and responses, the deadline.
//!
//! Specification: <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>.

use std::{fmt, future::poll_fn, pin::Pin, sync::Arc, task::Poll};

use bytes::{Buf, Bytes, BytesMut};
use everywire_core::{
    Budget, Limit, Result, RpcError,
    wire::{Encoded, FREE_BYTES, MessageBuffer, Reservation, offload},
};
use everywire_net::{encoding, http1};
use http::{HeaderMap, HeaderValue};
use hyper::body::Body as HttpBody;
use serde::Serialize;
use tonic::Status;

use crate::{
    body::Body,
    codec::{self, Enums, Output},
    compression::{self, Encoding},
};

/// The bytes of a prefix: a flag for compression, then the length of the message in four bytes.
const PREFIX: usize = 5;

/// The flag of a compressed message. Any other message has 0.
const COMPRESSED: u8 = 1;

/// The content type of every request and response.
pub(crate) const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");

/// Enough for most messages, so that they need one allocation.
const INITIAL_CAPACITY: usize = 128;

/// `message`, a request, with its prefix.
pub(crate) fn frame<T: Serialize>(message: &T, enums: Enums<'_>) -> Result<Bytes, codec::Error> {
    let mut out = Output::new(MessageBuffer::unbounded(empty_prefix()), enums);
    put_framed(message, 0, &mut out)?;
    Ok(out.buffer.into_vec().into())
}

/// `message`, a reply, with its prefix. An error if it can't be written, or if `budget` has no room for it.
pub(crate) fn frame_within<T: Serialize>(message: &T, enums: Enums<'_>, budget: &Arc<Budget>) -> Result<Bytes> {
    let mut out = Output::new(MessageBuffer::new(empty_prefix(), budget), enums);
    put_framed(message, 0, &mut out).map_err(RpcError::internal)?;
    Ok(out.buffer.finish()?.into())
}

/// Appends `message`, an item of a reply, with its prefix. If it can't be written, or if the budget has no room, some of it is there.
pub(crate) fn put<T: Serialize>(message: &T, out: &mut Output<'_>) -> Result<()> {
    let start = out.len();
    out.buffer.extend_from_slice(&[0; PREFIX]);
    put_framed(message, start, out).map_err(RpcError::internal)?;
    out.buffer.check()
}

fn empty_prefix() -> Vec<u8> {
    let mut prefix = Vec::with_capacity(INITIAL_CAPACITY);
    prefix.resize(PREFIX, 0);
    prefix
}

/// Appends `message` to its prefix, which begins at `start`.
fn put_framed<T: Serialize>(message: &T, start: usize, out: &mut Output<'_>) -> Result<(), codec::Error> {
    codec::encode(message, out)?;
    let prefix = start..start + PREFIX;
    let length = u32::try_from(out.len().saturating_sub(prefix.end)).map_err(serde::ser::Error::custom)?;
    if let Some([_, announced @ ..]) = out.get_mut(prefix) {
        announced.copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}

/// A body as it arrives: one message and the trailers.
#[derive(Debug)]
pub(crate) struct Received {
    /// The bytes, if they arrived in one piece, as nearly every message does.
    first: Bytes,
    /// The bytes, joined, if they arrived in several pieces.
    joined: Vec<u8>,
    /// The length of prefix and message, or 0 until the prefix has arrived.
    length: usize,
    reservation: Reservation,
    trailers: HeaderMap,
}

/// A message without its prefix.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) bytes: Bytes,
    /// Counts the bytes until the message is dropped.
    _reservation: Reservation,
}

impl Received {
    /// Reads `body` to its end within `message_bytes` and `buffered_bytes`. A message that is too long is rejected as soon
    /// as its prefix has arrived.
    pub(crate) async fn read<B>(mut body: B, budget: &Arc<Budget>) -> Result<Self>
    where
        B: HttpBody<Data = Bytes> + Unpin,
        B::Error: fmt::Display,
    {
        let (first, joined, trailers) = Default::default();
        let mut received = Self { first, joined, length: 0, reservation: budget.reserve(), trailers };
        while !body.is_end_stream() {
            let next = poll_fn(|cx| match Pin::new(&mut body).poll_frame(cx) {
                Poll::Ready(next) => Poll::Ready(Ok(next)),
                // While the body waits, its bytes must not keep the buffer that the socket was read into.
                Poll::Pending => received.join(&[]).map_or_else(|full| Poll::Ready(Err(full)), |()| Poll::Pending),
            });
            let Some(frame) = next.await? else { break };
            let frame = frame.map_err(|error| RpcError::unavailable(format!("the message broke off: {error}")))?;
            match frame.into_data() {
                Ok(data) => received.push(data, budget)?,
                Err(frame) => received.trailers = frame.into_trailers().unwrap_or_default(),
            }
        }
        Ok(received)
    }

    fn push(&mut self, data: Bytes, budget: &Budget) -> Result<()> {
        if self.bytes().is_empty() {
            self.first = data;
        } else {
            self.join(&data)?;
        }
        let Some(length) = announced(self.bytes())? else { return Ok(()) };
        if length > budget.limits().message_bytes {
            return Err(budget.exceeded(Limit::MessageBytes, format_args!("a message of {length} bytes")));
        }
        self.length = PREFIX + length;
        if self.bytes().len() > self.length { Err(cardinality()) } else { Ok(()) }
    }

    /// Appends `more` to the bytes in `joined`, and counts them.
    fn join(&mut self, more: &[u8]) -> Result<()> {
        let first = std::mem::take(&mut self.first);
        let length = self.joined.len() + first.len() + more.len();
        if length > self.joined.capacity() {
            let room = self.length.min(2 * length).max(length);
            self.joined.reserve_exact(room - self.joined.len());
            // A connection may have many of these, so each counts from its first byte.
            self.reservation.try_resize(FREE_BYTES + room)?;
        }
        self.joined.extend_from_slice(&first);
        self.joined.extend_from_slice(more);
        Ok(())
    }

    fn bytes(&self) -> &[u8] {
        if self.joined.is_empty() { &self.first } else { &self.joined }
    }

    pub(crate) fn trailers(&self) -> &HeaderMap {
        &self.trailers
    }

    /// The message, decompressed with `encoding` if its flag is set.
    pub(crate) fn into_message(self, encoding: Encoding, budget: &Budget) -> Result<Message> {
        if announced(self.bytes())?.is_none_or(|length| self.bytes().len() != PREFIX + length) {
            return Err(cardinality());
        }
        let bytes = if self.joined.is_empty() { self.first } else { self.joined.into() };
        Message::new(bytes, self.reservation, encoding, budget)
    }
}

impl Message {
    /// The message in `bytes`, which begin with its prefix and count in `reservation`; decompressed with `encoding` if its flag is
    /// set.
    fn new(mut bytes: Bytes, reservation: Reservation, encoding: Encoding, budget: &Budget) -> Result<Self> {
        let is_compressed = bytes.first() == Some(&COMPRESSED);
        bytes.advance(PREFIX);
        let mut message = http1::Received { bytes, reservation };
        if is_compressed {
            message = encoding.decode(message, budget)?;
            // A smaller reservation is never rejected.
            let _ = message.reservation.try_resize(message.bytes.len());
        }
        Ok(Self { bytes: message.bytes, _reservation: message.reservation })
    }
}

/// The messages of a body as it arrives.
#[derive(Debug)]
pub(crate) struct Messages {
    /// What has arrived and was not taken.
    arrived: BytesMut,
    reservation: Reservation,
}

impl Messages {
    pub(crate) fn new(budget: &Arc<Budget>) -> Self {
        Self { arrived: BytesMut::new(), reservation: budget.reserve() }
    }

    /// Appends what has arrived, within `message_bytes` and `buffered_bytes`. It counts until more arrives.
    pub(crate) fn push(&mut self, data: &[u8], budget: &Budget) -> Result<()> {
        self.reservation.try_resize(self.arrived.len() + data.len())?;
        self.arrived.extend_from_slice(data);
        match announced(&self.arrived)? {
            Some(length) if length > budget.limits().message_bytes => {
                Err(budget.exceeded(Limit::MessageBytes, format_args!("a message of {length} bytes")))
            }
            _ => Ok(()),
        }
    }

    /// Reads the next message if it is whole, decompressed with `encoding` if its flag is set, and takes it.
    pub(crate) fn take<T>(
        &mut self,
        encoding: Encoding,
        budget: &Arc<Budget>,
        read: impl FnOnce(&[u8]) -> Result<T>,
    ) -> Result<Option<T>> {
        let length = announced(&self.arrived)?.map(|length| PREFIX + length);
        let Some(length) = length.filter(|length| *length <= self.arrived.len()) else { return Ok(None) };
        if self.arrived[0] == COMPRESSED {
            let bytes = self.arrived.split_to(length).freeze();
            let message = Message::new(bytes, budget.reserve(), encoding, budget)?;
            return read(&message.bytes).map(Some);
        }
        // In place: a stream may have many short messages.
        let message = read(&self.arrived[PREFIX..length]);
        self.arrived.advance(length);
        message.map(Some)
    }

    /// Whether no part of a message has arrived.
    pub(crate) fn is_empty(&self) -> bool {
        self.arrived.is_empty()
    }
}

/// The length that the prefix announces, once the prefix is there.
fn announced(bytes: &[u8]) -> Result<Option<usize>> {
    match *bytes {
        [0 | COMPRESSED, a, b, c, d, ..] => Ok(usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()),
        [0 | COMPRESSED, ..] | [] => Ok(None),
        _ => Err(RpcError::new(everywire_core::Code::Internal, "the body does not begin with a message's prefix")),
    }
}

/// The code is the one that gRPC's page on status codes gives for this error.
fn cardinality() -> RpcError {
    RpcError::unimplemented("the body is not exactly one whole message")
}

/// The trailers of success.
pub(crate) fn success() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
    trailers
}

/// The response that carries `message`, which has its prefix.
pub(crate) fn response(message: Bytes) -> http::Response<Body> {
    with_body(Body::Message(message))
}

/// The response with this body, which is not empty.
pub(crate) fn with_body(body: Body) -> http::Response<Body> {
    let mut response = http::Response::new(body);
    response.headers_mut().insert(http::header::CONTENT_TYPE, CONTENT_TYPE);
    response
}

/// The same response for a client that asks for gzip. A long message is compressed if that makes it shorter and `budget` has
/// room for both.
pub(crate) fn gzip_response(message: Bytes, budget: &Arc<Budget>) -> http::Response<Body> {
    let is_long = message.len() > compression::THRESHOLD;
    let gzip = is_long.then(|| offload(message.len(), || gzip(&message, budget)));
    let smaller = gzip.and_then(Result::ok).filter(|gzip| gzip.len() < message.len());
    let is_smaller = smaller.is_some();
    let mut response = response(smaller.map_or(message, Bytes::from));
    let headers = response.headers_mut();
    headers.insert(compression::ACCEPT_ENCODING, compression::ACCEPTED);
    if is_smaller {
        headers.insert(compression::ENCODING, compression::GZIP);
    }
    response
}

/// Compresses `framed`, a message with its prefix.
fn gzip(framed: &[u8], budget: &Arc<Budget>) -> Result<Encoded> {
    let mut gzip = encoding::gzip(&framed[PREFIX..], MessageBuffer::new(vec![COMPRESSED; PREFIX], budget));
    // A message that grows is not sent, so a length that does not fit never leaves the server.
    let length = u32::try_from(gzip.len() - PREFIX).unwrap_or(u32::MAX);
    gzip[1..PREFIX].copy_from_slice(&length.to_be_bytes());
    gzip.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_a_prefix() {
        assert_eq!(frame(&7i64, Enums::default()).as_deref(), Ok(&[0, 0, 0, 0, 2, 8, 7][..]));
        assert_eq!(frame(&(), Enums::default()).as_deref(), Ok(&[0; 5][..]));
        let long = frame(&"x".repeat(70_000), Enums::default()).unwrap();
        assert_eq!(long[..5], [0, 0, 1, 0x11, 0x74]);
    }
}
