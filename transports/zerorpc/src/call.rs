//! One request: decodes its arguments and encodes the method's outcome as the reply.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use everywire_core::{
    Budget, Context, Peer, Result, RpcError, Streaming,
    descriptor::Method,
    wire::{Call, LazyContext, deadline_after, decode_again},
};
use everywire_zmtp::{Envelope, Reply};
use rmp_serde::decode;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    context, envelope,
    events::{Credit, Events},
    id::{ChannelId, MessageIds},
    msgpack::{Reader, deserializer, get_value},
};

/// Where a reply goes: to a peer, in a channel.
#[derive(Debug, Clone)]
pub(crate) struct ReplyTo {
    pub(crate) envelope: Envelope,
    pub(crate) channel: ChannelId,
}

impl ReplyTo {
    /// Whether events of the peer in `envelope` are in this channel if they name `channel`.
    pub(crate) fn is(&self, envelope: &Envelope, channel: &[u8]) -> bool {
        self.channel.as_bytes() == channel && self.envelope == *envelope
    }
}

/// One request.
pub(crate) struct Request {
    pub(crate) reply_to: ReplyTo,
    pub(crate) method: &'static Method,
    /// The arguments, as MessagePack; a slice of the read buffer, released as soon as they are decoded.
    pub(crate) args: Bytes,
    /// What few requests have.
    pub(crate) around: Option<Box<Around>>,
    /// How many items the peer takes, if the method streams.
    pub(crate) credit: Option<Arc<Credit>>,
}

/// What came with a request besides its arguments.
pub(crate) struct Around {
    /// When its caller no longer wants the reply.
    pub(crate) deadline: Option<Instant>,
    /// The header, if it is not too long: a copy, so that a call that waits doesn't keep the message it came in.
    header: Option<Box<[u8]>>,
}

impl Around {
    /// What `header` says. The time counts from now. An error if it is not a time.
    pub(crate) fn new(header: &[u8]) -> Result<Self> {
        let deadline = context::timeout(header)?.and_then(deadline_after);
        Ok(Self { deadline, header: (header.len() <= context::HEADER_BYTES).then(|| header.into()) })
    }
}

/// What the calls of one connection share.
pub(crate) struct Connection {
    pub(crate) peer: Peer,
    pub(crate) budget: Arc<Budget>,
    /// The ids of its replies.
    pub(crate) ids: MessageIds,
}

/// The call of a request.
pub(crate) struct ZerorpcCall<'a> {
    request: Request,
    connection: &'a Arc<Connection>,
    /// Whether the arguments turned out not to be MessagePack.
    unreadable: bool,
    /// Whether they turned out to be too deep.
    too_deep: bool,
    context: LazyContext,
}

impl<'a> ZerorpcCall<'a> {
    pub(crate) fn new(request: Request, connection: &'a Arc<Connection>) -> Self {
        Self { request, connection, unreadable: false, too_deep: false, context: LazyContext::default() }
    }

    pub(crate) fn method(&self) -> &'static Method {
        self.request.method
    }

    /// Whether the limit of depth was met.
    pub(crate) fn is_too_deep(&self) -> bool {
        self.too_deep
    }
}

impl Call for ZerorpcCall<'_> {
    type Reply = Reply;

    fn args<A: DeserializeOwned>(&mut self) -> Result<A> {
        let args = std::mem::take(&mut self.request.args);
        // The array or map of the arguments is one more level than their own values have.
        let limit = self.connection.budget.limits().depth;
        let depth = limit + 1;
        get_value(&args, depth).or_else(|error| {
            if let decode::Error::DepthLimitExceeded = error {
                self.too_deep = true;
                let text = format!("the arguments nest too deep; the limit depth is {limit}");
                return Err(RpcError::invalid_argument(text));
            }
            self.unreadable = Reader::new(&args).value().is_none();
            decode_again(&mut deserializer(&args, depth)).map_err(|bad| explain(bad, &error))
        })
    }

    fn args_bytes(&self) -> usize {
        self.request.args.len()
    }

    fn header_bytes(&self) -> usize {
        let header = self.request.around.as_ref().and_then(|around| around.header.as_ref());
        header.map_or(0, |header| header.len())
    }

    fn deadline(&self) -> Option<Instant> {
        self.request.around.as_ref()?.deadline
    }

    fn context(&mut self) -> Result<&mut Context> {
        let around = &self.request.around;
        self.context.get(&self.connection.peer, |cx| {
            let Some(around) = around else { return Ok(()) };
            cx.deadline = around.deadline;
            let header = around.header.as_deref().ok_or_else(context::too_long)?;
            context::read(header, cx)
        })
    }

    fn reply<R: Serialize>(&mut self, outcome: Result<R>) -> Reply {
        let reply_to = &self.request.reply_to;
        let Connection { budget, ids, .. } = &**self.connection;
        let (_, id) = ids.next();
        let channel = reply_to.channel.as_bytes();
        let body = if self.unreadable {
            envelope::unreadable(&id, channel)
        } else {
            let encoded = outcome.and_then(|reply| envelope::ok(&id, channel, &reply, budget));
            encoded.unwrap_or_else(|error| envelope::err(&id, channel, &error, budget))
        };
        Reply::new(reply_to.envelope.clone(), body)
    }

    fn stream<R: Serialize + Send + 'static>(&mut self, method: &'static Method, items: Streaming<R>) -> Reply {
        let Request { reply_to: ReplyTo { envelope, channel }, credit, .. } = &self.request;
        let events = Events::new(
            method,
            items,
            channel.clone(),
            credit.clone().unwrap_or_default(),
            Arc::clone(self.connection),
        );
        Reply::many(envelope.clone(), events)
    }
}

/// Says in words where the library names a marker: `wrong msgpack marker FixStr(1)`.
fn explain(bad: RpcError, error: &decode::Error) -> RpcError {
    let decode::Error::TypeMismatch(marker) = error else { return bad };
    let found = match marker.to_u8() {
        0x80..=0x8F | 0xDE | 0xDF => "a map",
        0x90..=0x9F | 0xDC | 0xDD => "an array",
        0xA0..=0xBF | 0xD9..=0xDB => "a string",
        0xC4..=0xC6 => "bytes",
        _ => "an extension",
    };
    let wanted = format!("invalid type: {found} where a number or a boolean is expected");
    RpcError::invalid_argument(bad.message().replace(&error.to_string(), &wanted))
}
