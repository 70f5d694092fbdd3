//! One request: its arguments to the method, the method's outcome to the answer.

use bytes::Bytes;
use everywire_core::{
    Result, RpcError,
    descriptor::Method,
    wire::{Call, decode_again},
};
use everywire_zmtp::{Envelope, Reply};
use rmp_serde::decode;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    envelope::{self, ChannelId, MessageId},
    fault,
    msgpack::{Reader, deserializer, get_value},
};

/// Who asked, and in which channel.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    pub(crate) envelope: Envelope,
    pub(crate) channel: ChannelId,
}

/// One request.
pub(crate) struct ZerorpcCall {
    /// The id of the answer.
    id: MessageId,
    asker: Asker,
    method: &'static Method,
    /// The arguments, as MessagePack; a part of the read buffer, let go as soon as they are decoded.
    args: Bytes,
    /// How deep the arguments may nest.
    depth: usize,
    /// Whether the arguments turned out to be no MessagePack.
    unreadable: bool,
    /// Whether they turned out to be too deep.
    too_deep: bool,
}

impl ZerorpcCall {
    pub(crate) fn new(id: MessageId, asker: Asker, method: &'static Method, args: Bytes, depth: usize) -> Self {
        Self { id, asker, method, args, depth, unreadable: false, too_deep: false }
    }

    pub(crate) fn method(&self) -> &'static Method {
        self.method
    }

    /// Whether the limit of depth was met.
    pub(crate) fn is_too_deep(&self) -> bool {
        self.too_deep
    }
}

impl Call for ZerorpcCall {
    type Reply = Reply;

    fn args<A: DeserializeOwned>(&mut self) -> Result<A> {
        let args = std::mem::take(&mut self.args);
        // The array or map of the arguments is one more level than their own values have.
        let depth = self.depth + 1;
        get_value(&args, depth).or_else(|error| {
            if let decode::Error::DepthLimitExceeded = error {
                self.too_deep = true;
                let limit = self.depth;
                let text = format!("the arguments nest too deep; the limit depth is {limit}");
                return Err(RpcError::invalid_argument(text));
            }
            self.unreadable = Reader::new(&args).value().is_none();
            decode_again(&mut deserializer(&args, depth)).map_err(|bad| explain(bad, &error))
        })
    }

    fn args_bytes(&self) -> usize {
        self.args.len()
    }

    fn reply<R: Serialize>(&mut self, outcome: Result<R>) -> Reply {
        let Self { id, asker, unreadable, .. } = self;
        let channel = asker.channel.as_bytes();
        let encode = |value| envelope::ok(id, channel, &value).map_err(RpcError::internal);
        let body = match outcome.and_then(encode) {
            _ if *unreadable => envelope::err(id, channel, fault::put_unreadable),
            Ok(answer) => answer,
            Err(error) => envelope::err(id, channel, |args| fault::put(args, &error)),
        };
        Reply { envelope: asker.envelope.clone(), body }
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
