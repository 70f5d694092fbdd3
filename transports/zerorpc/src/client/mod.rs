//! The client: a connection when one is needed, many calls on it at a time.

mod connection;

use std::time::Duration;

use bytes::Bytes;
use everywire_core::{
    Caller, Code, DEFAULT_TIMEOUT, Result, RpcError,
    descriptor::Method,
    wire::{CallSlots, answer_within, decode_again},
};
use everywire_net::Shared;
use serde::{Serialize, de::DeserializeOwned};

use self::connection::Connection;
use crate::{
    envelope::Event,
    fault,
    msgpack::{deserializer, get_value},
};

/// A zerorpc client of one server, ours or Python's.
///
/// It connects again by itself: a call that finds the connection lost makes a new one. Calls that wait when the
/// connection breaks fail with `UNAVAILABLE`, as nobody knows whether they ran.
///
/// While a call waits, both sides send heartbeats every 5 s; a server that is silent for 10 s is `UNAVAILABLE`.
///
/// The protocol has no word for giving a call up. A call that is dropped ends its heartbeats, by which the server notices
/// within 15 s; and its connection takes no new calls and is closed with the last one on it, at once if there is no
/// other.
///
/// Connect to servers you trust: the `zeromq` crate below reserves as much memory as a server announces.
#[derive(Debug)]
pub struct Client {
    /// Host and port.
    address: String,
    timeout: Duration,
    connection: Shared<Connection>,
    slots: CallSlots,
}

/// Calls in flight, and as many again that wait for other calls.
const CALLS: usize = 1_024;
/// How deep an answer may nest.
const DEPTH: usize = 64;

impl Client {
    /// Connects to the server at `url`, such as `tcp://127.0.0.1:4243`; the scheme may also be `zerorpc`.
    ///
    /// A malformed URL is `INVALID_ARGUMENT`; a server that does not answer, `UNAVAILABLE`.
    pub async fn connect(url: &str) -> Result<Self> {
        let client = Self {
            address: address(url)?.to_owned(),
            timeout: DEFAULT_TIMEOUT,
            connection: Shared::default(),
            slots: CallSlots::new(CALLS),
        };
        client.connection.get(Connection::is_open, || Connection::open(&client.address)).await?;
        Ok(client)
    }

    /// Sets how long a call may take, from its start to its answer. Default 30 s.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    async fn exchange<A: Serialize>(&self, method: &Method, args: &A) -> Result<Bytes> {
        let _slot = self.slots.take(method).await?;
        let connection = self.connection.get(Connection::is_open, || Connection::open(&self.address)).await?;
        self.connection.answered(&connection, connection.request(method.name(), args)?.answer()).await
    }
}

impl Caller for Client {
    async fn call<A: Serialize + Send + Sync, R: DeserializeOwned>(
        &self,
        method: &'static Method,
        args: &A,
    ) -> Result<R> {
        let answer = self.exchange(method, args);
        let payload = answer_within(self.timeout, &self.address, method, answer).await?;
        decode(method.name(), &payload)
    }
}

/// The reply, or the error, in an answer.
pub(crate) fn decode<R: DeserializeOwned>(method: &str, payload: &[u8]) -> Result<R> {
    let unreadable = |reason: String| RpcError::new(Code::Internal, format!("{method}: unreadable answer: {reason}"));
    let event = Event::decode(payload).map_err(|_| unreadable("no event".to_owned()))?;
    match event.name {
        // The array around the value is one more level.
        "OK" => match get_value::<(R,)>(event.args, DEPTH + 1) {
            Ok((reply,)) => Ok(reply),
            Err(error) => match decode_again(&mut deserializer(event.args, DEPTH + 1)) {
                Ok((reply,)) => Ok(reply),
                Err(_) => Err(unreadable(error.to_string())),
            },
        },
        "ERR" => Err(fault::read(event.args)),
        "STREAM" | "STREAM_DONE" => {
            Err(RpcError::unimplemented(format!("{method} answers with a stream, which this client does not read")))
        }
        _ => Err(unreadable("neither OK nor ERR".to_owned())),
    }
}

/// Host and port of a URL.
fn address(url: &str) -> Result<&str> {
    let malformed = || {
        RpcError::invalid_argument(format!(
            "zerorpc: `{}` is not a valid URL; expected tcp://HOST:PORT",
            url.escape_debug()
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
    }

    #[test]
    fn answers() {
        let answer = |name: &str, args: &[u8]| {
            [b"\x93\x81\xaamessage_id\x01", &[0xA0 | u8::try_from(name.len()).unwrap()][..], name.as_bytes(), args]
                .concat()
        };
        for (seven, value) in [("an integer", &b"\x91\x07"[..]), ("a float", b"\x91\xcb\x40\x1c\0\0\0\0\0\0")] {
            assert_eq!(decode::<i64>("add", &answer("OK", value)), Ok(7), "{seven}");
        }
        let cases = [
            ("two values", answer("OK", b"\x92\x07\x08"), Code::Internal, Origin::Local),
            ("another type", answer("OK", b"\x91\xa1x"), Code::Internal, Origin::Local),
            ("no event", b"\x93".to_vec(), Code::Internal, Origin::Local),
            ("another event", answer("HELLO", b"\x90"), Code::Internal, Origin::Local),
            ("a stream", answer("STREAM", b"\x07"), Code::Unimplemented, Origin::Local),
            ("an error", answer("ERR", b"\x93\xa8NotFound\xa1x\xc0"), Code::NotFound, Origin::Remote),
        ];
        for (case, payload, code, origin) in cases {
            let error = decode::<i64>("add", &payload).expect_err(case);
            assert_eq!((error.code(), error.origin()), (code, origin), "{case}: {error}");
        }
    }
}
