//! Events: the MessagePack array `[header, name, args]` around every request, reply and heartbeat.
//!
//! A channel is one call. Its first event, the request, has a `message_id`; each later event of the channel, in either
//! direction, carries that id as `response_to`, in the MessagePack type in which it came: to Python, the bytes `"7f"` and
//! the string `"7f"` are different channels. Ids are therefore kept as their MessagePack bytes and never decoded.

use std::{sync::Arc, time::Duration};

use everywire_core::{
    Budget, Result, RpcError,
    wire::{Encoded, MessageBuffer, Outgoing},
};
use rmp_serde::encode;
use serde::Serialize;

use crate::{
    context, fault,
    id::MessageId,
    msgpack::{Reader, get_value, put_text, put_value},
};

/// An event that came in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Event<'a> {
    /// The event's own id, as MessagePack; in a request, the channel's.
    pub(crate) message_id: Option<&'a [u8]>,
    /// The id of the channel, as MessagePack; absent in a request.
    pub(crate) response_to: Option<&'a [u8]>,
    /// The method of a request; `OK`, `ERR` and so on otherwise.
    pub(crate) name: &'a str,
    /// The arguments, as MessagePack. What they are is not checked yet.
    pub(crate) args: &'a [u8],
    /// The header, as MessagePack, if it has more keys than the protocol knows.
    pub(crate) header: &'a [u8],
}

/// A payload that is not an event, with the id to reply to if it could be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed<'a> {
    pub(crate) message_id: Option<&'a [u8]>,
}

/// The period of heartbeats while a call waits, in both directions.
pub(crate) const PERIOD: Duration = Duration::from_secs(5);
/// A peer is lost after two whole periods of silence, which the third tick proves.
pub(crate) const LOST_AFTER: u8 = 3;

/// The heartbeat of an open channel.
pub(crate) const HEARTBEAT: &str = "_zpc_hb";
/// The end of a channel whose caller no longer wants the reply. The protocol has no such event; a server that does not know it
/// ignores it.
pub(crate) const CANCEL: &str = "_ew_cancel";
/// Credit for more events in a channel. There is credit for one from the start, and a call that does not stream needs no more.
pub(crate) const MORE: &str = "_zpc_more";
/// An item of a stream: the value itself, without an array around it.
pub(crate) const STREAM: &str = "STREAM";
/// The end of a stream.
pub(crate) const STREAM_DONE: &str = "STREAM_DONE";

impl<'a> Event<'a> {
    /// Reads an event.
    pub(crate) fn decode(payload: &'a [u8]) -> Result<Self, Malformed<'a>> {
        let mut reader = Reader::new(payload);
        let mut event = Self { message_id: None, response_to: None, name: "", args: &[], header: &[] };
        match event.read(&mut reader) {
            Some(()) => Ok(event),
            None => Err(Malformed { message_id: event.message_id }),
        }
    }

    /// How many more events the peer takes, if this says so: `_zpc_more` and `[number]`.
    pub(crate) fn granted(&self) -> Option<u32> {
        let (events,): (u64,) = get_value(self.args, 1).ok().filter(|_| self.name == MORE)?;
        Some(u32::try_from(events).unwrap_or(u32::MAX))
    }

    fn read(&mut self, reader: &mut Reader<'a>) -> Option<()> {
        let parts = reader.array()?;
        let header = reader.rest();
        let mut has_others = false;
        for _ in 0..reader.map()? {
            let (key, value) = (reader.text_or_empty()?, reader.value()?);
            match key {
                b"message_id" => self.message_id = Some(value),
                b"response_to" => self.response_to = Some(value),
                b"v" => {}
                _ => has_others = true,
            }
        }
        if has_others {
            self.header = &header[..header.len() - reader.rest().len()];
        }
        if parts != 3 {
            return None;
        }
        self.name = std::str::from_utf8(reader.text()?).ok()?;
        self.args = Some(reader.rest()).filter(|args| !args.is_empty())?;
        Some(())
    }
}

/// Starts a request: everything before its args, which the caller appends.
pub(crate) fn request(id: &MessageId, method: &str, outgoing: &Outgoing<'_>) -> Vec<u8> {
    let entries = context::entries(outgoing);
    if entries.is_empty() {
        return event(id, None, method);
    }
    let count = u16::try_from(2 + entries.len()).expect("metadata is bounded");
    let mut event = Vec::with_capacity(512);
    event.extend_from_slice(b"\x93\xde");
    event.extend_from_slice(&count.to_be_bytes());
    event.extend_from_slice(b"\xaamessage_id\xc4\x20");
    event.extend_from_slice(id.as_bytes());
    event.extend_from_slice(b"\xa1v\x03");
    for (name, value) in &entries {
        put_text(&mut event, name);
        value.put(&mut event);
    }
    put_text(&mut event, method);
    event
}

/// Starts an event: everything before its args, which the caller appends.
pub(crate) fn event(id: &MessageId, response_to: Option<&[u8]>, name: &str) -> Vec<u8> {
    const TWO: &[u8] = b"\x93\x82\xaamessage_id\xc4\x20";
    const THREE: &[u8] = b"\x93\x83\xaamessage_id\xc4\x20";
    let mut event = Vec::with_capacity(192);
    event.extend_from_slice(if response_to.is_some() { THREE } else { TWO });
    event.extend_from_slice(id.as_bytes());
    event.extend_from_slice(b"\xa1v\x03");
    if let Some(channel) = response_to {
        event.extend_from_slice(b"\xabresponse_to");
        event.extend_from_slice(channel);
    }
    put_text(&mut event, name);
    event
}

/// The reply with a value. An error if it can't be written, or if `budget` has no room for it.
pub(crate) fn ok<R: Serialize>(id: &MessageId, channel: &[u8], value: &R, budget: &Arc<Budget>) -> Result<Encoded> {
    let mut start = event(id, Some(channel), "OK");
    start.push(0x91);
    encoded(MessageBuffer::new(start, budget), |out| put_value(out, value))
}

/// An item of a stream, under the same conditions.
pub(crate) fn item<R: Serialize>(id: &MessageId, channel: &[u8], value: &R, budget: &Arc<Budget>) -> Result<Encoded> {
    encoded(MessageBuffer::new(event(id, Some(channel), STREAM), budget), |out| put_value(out, value))
}

/// The end of a stream.
pub(crate) fn done(id: &MessageId, channel: &[u8]) -> Vec<u8> {
    let mut event = event(id, Some(channel), STREAM_DONE);
    event.push(0xC0);
    event
}

/// The reply with a value that is MessagePack already.
pub(crate) fn ok_encoded(id: &MessageId, channel: &[u8], value: &[u8]) -> Vec<u8> {
    let mut event = event(id, Some(channel), "OK");
    event.push(0x91);
    event.extend_from_slice(value);
    event
}

/// The reply with an error; or with a short one if `budget` has no room for it.
#[cold]
pub(crate) fn err(id: &MessageId, channel: &[u8], error: &RpcError, budget: &Arc<Budget>) -> Encoded {
    let start = || event(id, Some(channel), "ERR");
    encoded(MessageBuffer::new(start(), budget), |out| fault::put(out, error))
        .or_else(|full| encoded(MessageBuffer::unbounded(start()), |out| fault::put(out, &full)))
        .unwrap_or_default()
}

/// The reply to a request that can't be read.
#[cold]
pub(crate) fn unreadable(id: &MessageId, channel: &[u8]) -> Encoded {
    let start = event(id, Some(channel), "ERR");
    encoded(MessageBuffer::unbounded(start), fault::put_unreadable).unwrap_or_default()
}

fn encoded(
    mut out: MessageBuffer<'_>,
    write: impl FnOnce(&mut MessageBuffer<'_>) -> Result<(), encode::Error>,
) -> Result<Encoded> {
    write(&mut out).map_err(RpcError::internal)?;
    out.finish()
}

/// The heartbeat of a channel; its argument is for peers of protocol 2.
pub(crate) fn heartbeat(id: &MessageId, channel: &[u8]) -> Vec<u8> {
    let mut event = event(id, Some(channel), HEARTBEAT);
    event.extend_from_slice(&[0x91, 0]);
    event
}

/// Grants credit for so many more events. A server sends one of zero when a stream begins.
pub(crate) fn more(id: &MessageId, channel: &[u8], events: u32) -> Vec<u8> {
    let mut event = event(id, Some(channel), MORE);
    event.extend_from_slice(&[0x91, 0xCE]);
    event.extend_from_slice(&events.to_be_bytes());
    event
}

/// The event that cancels the call of a channel.
pub(crate) fn cancel(id: &MessageId, channel: &[u8]) -> Vec<u8> {
    let mut event = event(id, Some(channel), CANCEL);
    event.push(0x90);
    event
}

#[cfg(test)]
mod tests {
    use everywire_core::Limits;
    use proptest::{prelude::*, sample::Index};

    use super::*;

    /// `msgpack.Packer(use_bin_type=True).pack(({'message_id': b'..32..', 'v': 3}, 'add', (3, 4)))` in Python.
    const PYTHON_REQUEST: &[u8] =
        b"\x93\x82\xaamessage_id\xc4\x200123456789abcdef0123456789abcdef\xa1v\x03\xa3add\x92\x03\x04";
    const ID: MessageId = MessageId::new(*b"0123456789abcdef0123456789abcdef");
    const CHANNEL: &[u8] = b"\xc4\x200123456789abcdef0123456789abcdef";

    #[test]
    fn a_request_of_python_is_read_and_written() {
        let event = Event::decode(PYTHON_REQUEST).unwrap();
        let expected =
            Event { message_id: Some(CHANNEL), response_to: None, name: "add", args: b"\x92\x03\x04", header: &[] };
        assert_eq!(event, expected);
        let mut written = super::event(&ID, None, "add");
        written.extend_from_slice(event.args);
        assert_eq!(written, PYTHON_REQUEST);
        assert_eq!(ID.encoded(), CHANNEL);
    }

    #[test]
    fn a_reply_as_bytes() {
        let golden = [
            &b"\x93\x83\xaamessage_id\xc4\x200123456789abcdef0123456789abcdef\xa1v\x03\xabresponse_to"[..],
            b"\xa27f",
            b"\xa2OK\x91\x07",
        ]
        .concat();
        let budget = Budget::new(Limits::default());
        assert_eq!(*ok(&ID, b"\xa27f", &7, &budget).unwrap(), *golden);
        assert_eq!(ok_encoded(&ID, b"\xa27f", b"\x07"), golden);
        let event = Event::decode(&golden).unwrap();
        assert_eq!((event.response_to, event.name, event.args), (Some(&b"\xa27f"[..]), "OK", &b"\x91\x07"[..]));
        assert!(heartbeat(&ID, CHANNEL).ends_with(b"\xa7_zpc_hb\x91\x00"));
    }

    #[test]
    fn header_keys_come_in_any_order_and_type() {
        let cases: [(&str, &[u8]); 4] = [
            ("other keys", b"\x93\x83\xa5trace\x81\xa1a\x90\xa1v\x02\xaamessage_id\x07\xa1m\x90"),
            ("bytes as keys", b"\x93\x81\xc4\x0amessage_id\x07\xa1m\x90"),
            ("bytes as name", b"\x93\x81\xaamessage_id\x07\xc4\x01m\x90"),
            ("long forms", b"\xdc\x00\x03\xde\x00\x01\xd9\x0amessage_id\x07\xd9\x01m\xdc\x00\x00"),
        ];
        for (case, bytes) in cases {
            let event = Event::decode(bytes).expect(case);
            assert_eq!((event.message_id, event.name), (Some(&b"\x07"[..]), "m"), "{case}");
        }
    }

    #[test]
    fn what_is_no_event_keeps_the_id_it_shows() {
        for (case, bytes) in [("nothing", &b""[..]), ("text", b"hello"), ("no header", b"\x93\xc0\xa1m\x90")] {
            assert_eq!(Event::decode(bytes), Err(Malformed { message_id: None }), "{case}");
        }
        let cases: [(&str, &[u8]); 5] = [
            ("two parts", b"\x92\x81\xaamessage_id\x07\xa1m"),
            ("a number as name", b"\x93\x81\xaamessage_id\x07\x01\x90"),
            ("no args", b"\x93\x81\xaamessage_id\x07\xa1m"),
            ("no UTF-8 in the name", b"\x93\x81\xaamessage_id\x07\xa1\xff\x90"),
            ("an endless header", b"\x93\xdf\xff\xff\xff\xff\xaamessage_id\x07"),
        ];
        for (case, bytes) in cases {
            assert_eq!(Event::decode(bytes), Err(Malformed { message_id: Some(b"\x07") }), "{case}");
        }
    }

    proptest! {
        #[test]
        fn no_payload_breaks_the_reader(payload: Vec<u8>, cut: Index, flipped: Index, bit in 0_u32..8) {
            let _ = Event::decode(&payload);
            let mut request = PYTHON_REQUEST.to_vec();
            request[flipped.index(PYTHON_REQUEST.len())] ^= 1 << bit;
            let _ = Event::decode(&request);
            prop_assert!(Event::decode(&PYTHON_REQUEST[..cut.index(PYTHON_REQUEST.len() - 3)]).is_err());
        }
    }
}
