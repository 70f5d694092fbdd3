//! The client: one connection, opened when a call needs it, that carries many calls at a time.

mod connection;
mod items;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use everywire_core::{
    Caller, Code, Context, Result, RpcError, Streaming,
    descriptor::Method,
    wire::{Outgoing, decode_again, items_within},
};
use everywire_net::{Calls, Reconnecting, without_user_info};
use rmp_serde::decode;
use serde::{Serialize, de::DeserializeOwned};

use self::{connection::Connection, items::Items};
use crate::{
    envelope::{Event, STREAM, STREAM_DONE},
    fault,
    msgpack::{deserializer, get_value},
};

/// Calls in flight, and as many again that wait for other calls.
const CALLS: usize = 1_024;

/// How deep a response may nest.
const DEPTH: usize = 64;

/// A zerorpc client of one server, ours or Python's.
///
/// It reconnects by itself: a call that finds the connection lost opens a new one. Calls that wait when the connection breaks
/// are `UNAVAILABLE`, and whether they ran is not known.
///
/// While a call waits, both sides send heartbeats every 5 s; a server that is silent for 10 s is `UNAVAILABLE`.
///
/// A call that is dropped sends an event that cancels it, which everywire's servers know. Python's do not, and the protocol has none;
/// but the call's heartbeats end, which every server notices within 15 s. Its connection takes no new calls and is closed with the last
/// one on it, at once if there is no other.
///
/// Connect only to servers you trust: the `zeromq` crate reserves as much memory as a server announces.
#[derive(Debug, Clone)]
pub struct Client {
    /// Host and port.
    address: String,
    connection: Reconnecting<Connection>,
    calls: Calls,
}

impl Client {
    /// Connects to the server at `url`, such as `tcp://127.0.0.1:4243`; the scheme may also be `zerorpc`.
    ///
    /// A malformed URL is `INVALID_ARGUMENT`; a server that does not respond, `UNAVAILABLE`.
    pub async fn connect(url: &str) -> Result<Self> {
        let address = address(url)?;
        let calls = Calls::new(address, CALLS);
        let client = Self { address: address.to_owned(), connection: Reconnecting::default(), calls };
        client.connection().await?;
        Ok(client)
    }

    /// Sends the whole names of methods, such as `shop.v1.Stock.take`, as a server needs it that has several services with a method
    /// of the same name.
    #[must_use]
    pub fn qualified(self) -> Self {
        Self { calls: self.calls.qualified(), ..self }
    }

    /// Sets how long a call may take, connecting included; of a stream, how long until it begins. Default 30 s.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { calls: self.calls.timeout(timeout), ..self }
    }

    async fn connection(&self) -> Result<Arc<Connection>> {
        self.connection.get(Connection::is_open, || Connection::open(&self.address)).await
    }

    async fn exchange<A: Serialize>(&self, method: &'static Method, args: &A, outgoing: Outgoing<'_>) -> Result<Bytes> {
        let connection = self.connection().await?;
        self.connection
            .until_answered(&connection, connection.request(self.calls.name(method), args, &outgoing)?.response())
            .await
    }
}

impl Caller for Client {
    async fn call<A: Serialize + Send + Sync, R: DeserializeOwned + Send>(
        &self,
        method: &'static Method,
        cx: &Context,
        args: &A,
    ) -> Result<R> {
        let payload = self.calls.run(method, cx, |outgoing| self.exchange(method, args, outgoing)).await?;
        decode(method.name(), &payload)
    }

    async fn stream<A: Serialize + Send + Sync, R: DeserializeOwned + Send + 'static>(
        &self,
        method: &'static Method,
        cx: &Context,
        args: &A,
    ) -> Result<Streaming<R>> {
        let begun = self.calls.run(method, cx, |outgoing| async move {
            let connection = self.connection().await?;
            Items::begin(method, connection.request_events(self.calls.name(method), args, &outgoing)?).await
        });
        Ok(items_within(cx, method, begun.await?.into_stream()))
    }
}

/// The reply, or the error, in a response.
pub(crate) fn decode<R: DeserializeOwned>(method: &str, payload: &[u8]) -> Result<R> {
    let unreadable = |reason: String| RpcError::new(Code::Internal, format!("{method}: unreadable response: {reason}"));
    let event = Event::decode(payload).map_err(|_| unreadable("no event".to_owned()))?;
    match event.name {
        // The array around the value is one more level.
        "OK" => match decode_value(event.args, DEPTH + 1) {
            Ok((reply,)) => Ok(reply),
            Err(error) => Err(unreadable(error.to_string())),
        },
        "ERR" => Err(fault::read(event.args)),
        STREAM | STREAM_DONE => Err(RpcError::unimplemented(format!(
            "{method} responds with a stream; call it by a method that returns `Result<Streaming<T>>`"
        ))),
        _ => Err(unreadable("neither OK nor ERR".to_owned())),
    }
}

/// Reads a value, at most so deep.
fn decode_value<R: DeserializeOwned>(value: &[u8], depth: usize) -> Result<R, decode::Error> {
    get_value(value, depth).or_else(|error| decode_again(&mut deserializer(value, depth)).map_err(|_| error))
}

/// Host and port of a URL.
fn address(url: &str) -> Result<&str> {
    let malformed = || {
        RpcError::invalid_argument(format!(
            "zerorpc: `{}` is not a valid URL; expected tcp://HOST:PORT",
            without_user_info(url).escape_debug()
        ))
    };
    let rest = url.strip_prefix("tcp://").or_else(|| url.strip_prefix("zerorpc://")).ok_or_else(malformed)?;
    let address = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = address.rsplit_once(':').ok_or_else(malformed)?;
    let valid = !host.is_empty() && !host.contains(['/', ' ', '@']) && port.parse::<u16>().is_ok_and(|port| port != 0);
    if valid { Ok(address) } else { Err(malformed()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use everywire_core::Origin;

    #[test]
    fn urls() {
        for url in ["tcp://127.0.0.1:4243", "zerorpc://127.0.0.1:4243", "tcp://127.0.0.1:4243/"] {
            assert_eq!(address(url).unwrap(), "127.0.0.1:4243", "{url}");
        }
        assert_eq!(address("tcp://[::1]:1").unwrap(), "[::1]:1");
        for url in ["", "nonsense", "127.0.0.1:4243", "http://a:1", "tcp://a", "tcp://:1", "tcp://a:0", "tcp://a:99999"]
        {
            let error = address(url).expect_err(url);
            assert_eq!(error.code(), Code::InvalidArgument, "{url}");
            assert!(error.message().contains(url), "{error}");
        }
        let error = address("tcp://user:secret@a:1").unwrap_err();
        assert!(error.message().contains("`tcp://a:1`"), "no password is shown: {error}");
    }

    #[test]
    fn responses() {
        let response = |name: &str, args: &[u8]| {
            [b"\x93\x81\xaamessage_id\x01", &[0xA0 | u8::try_from(name.len()).unwrap()][..], name.as_bytes(), args]
                .concat()
        };
        for (seven, value) in [("an integer", &b"\x91\x07"[..]), ("a float", b"\x91\xcb\x40\x1c\0\0\0\0\0\0")] {
            assert_eq!(decode::<i64>("add", &response("OK", value)), Ok(7), "{seven}");
        }
        let cases = [
            ("two values", response("OK", b"\x92\x07\x08"), Code::Internal, Origin::Local),
            ("another type", response("OK", b"\x91\xa1x"), Code::Internal, Origin::Local),
            ("no event", b"\x93".to_vec(), Code::Internal, Origin::Local),
            ("another event", response("HELLO", b"\x90"), Code::Internal, Origin::Local),
            ("a stream", response("STREAM", b"\x07"), Code::Unimplemented, Origin::Local),
            ("an error", response("ERR", b"\x93\xa8NotFound\xa1x\xc0"), Code::NotFound, Origin::Remote),
        ];
        for (case, payload, code, origin) in cases {
            let error = decode::<i64>("add", &payload).expect_err(case);
            assert_eq!((error.code(), error.origin()), (code, origin), "{case}: {error}");
        }
    }
}
