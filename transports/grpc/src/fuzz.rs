//! Properties that hold for any bytes that a peer sends.
//!
//! The fuzz target `proto3` searches for bytes that break them, and the test replays the corpus that it has collected.

mod rich;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt::Debug,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, LazyLock},
    task::{Context, Poll},
};

use bytes::Bytes;
use everywire_core::{Budget, Caller, Limits, Origin, Result, RpcError, Service, descriptor::Method};
use everywire_net::context::{timeout, timeout_header};
use everywire_testing::{
    Choice, Colour, Echo, EchoClient, EchoService, Echoing, Part, Several, Specimen, assert_same, at_once,
};
use http::{HeaderMap, HeaderValue, Response};
use hyper::body::{Body, Frame};
use serde::{Serialize, de::DeserializeOwned};
use tonic::Status;

use self::rich::Rich;
use crate::{
    authority::{Frames, PREFACE},
    body::Body as Reply,
    call::{Around, GrpcCall},
    client::read_response,
    codec::{Enums, Message, Scope, read, to_vec},
    compression::Encoding,
    envelope::{self, Received, frame},
};

static SERVICE: LazyLock<EchoService<Echoing>> = LazyLock::new(|| EchoService::new(Echoing));

const DEPTH: usize = 8;
const TIMEOUT: http::HeaderName = http::HeaderName::from_static("grpc-timeout");
/// The longest message in a frame.
const FRAMED_BYTES: usize = 300;
/// The longest message that a compressed one may hold.
const DECOMPRESSED_BYTES: usize = 1_000;
/// Limits that no message here exceeds.
static AMPLE: LazyLock<Arc<Budget>> = LazyLock::new(|| Budget::new(Limits { depth: DEPTH, ..Limits::default() }));
static TIGHT: LazyLock<Arc<Budget>> = LazyLock::new(|| {
    Budget::new(Limits { message_bytes: FRAMED_BYTES, decompressed_bytes: DECOMPRESSED_BYTES, ..Limits::default() })
});
/// The longest message of an error that this crate makes.
const MESSAGE_BYTES: usize = 1 << 10;

/// Reads `data` as a message, as a body that holds one, as a response to a client, and as HTTP/2 frames.
pub fn proto3(data: &[u8]) {
    rich::compare(data);
    message::<Rich>(data);
    message::<Specimen>(data);
    message::<Several>(data);
    message::<(Vec<u64>, Vec<i32>, Vec<f32>, Vec<bool>, Vec<Colour>)>(data);
    message::<(Vec<Vec<u32>>, Option<Vec<String>>, Vec<Option<u8>>, BTreeMap<u8, Vec<u8>>)>(data);
    message::<(Vec<Vec<u8>>, Option<Vec<u8>>, Option<Part>, Option<Colour>, IpAddr)>(data);
    message::<(BTreeMap<bool, String>, BTreeMap<i32, Part>, BTreeMap<u64, Vec<u8>>)>(data);
    message::<BTreeMap<String, i64>>(data);
    message::<Vec<String>>(data);
    message::<f64>(data);
    message::<()>(data);
    call(data);
    body(data);
    response(data);
    frames(data);
}

/// The reader beneath h2 accepts any bytes, and leaves the heads of frames unchanged.
fn frames(data: &[u8]) {
    for step in [usize::MAX, 1, 6] {
        let mut bytes = data.to_vec();
        let mut frames = Frames::new();
        frames.read(&mut [0; PREFACE]);
        bytes.chunks_mut(step).for_each(|piece| frames.read(piece));
        let head = data.len().min(9);
        assert_eq!(bytes[..head], data[..head]);
    }
}

/// A value that was read stays the same when it is written and read again. The bytes get hardly longer: a negative `i32` has
/// at least five bytes and usually ten, and the one struct in a struct here takes two bytes if it was left out.
fn message<T: Serialize + DeserializeOwned + Debug>(bytes: &[u8]) {
    let scope = Scope { depth: DEPTH, enums: Enums::default() };
    match read::<T>(Message::new(bytes, scope)) {
        Ok(value) => {
            let written = to_vec(&value).expect("a value that was read can be written");
            assert!(written.len() <= 2 * bytes.len() + 2, "{value:?}");
            assert_same(&read(Message::new(&written, scope)), &Ok(value));
        }
        Err(error) => assert!(error.to_string().len() <= MESSAGE_BYTES, "{error}"),
    }
}

/// Every call has a response, and a reply that is sent again as an argument comes back unchanged.
fn call(message: &[u8]) {
    let client = EchoClient::new(Loopback);
    if let Some(value) = called::<Specimen>("specimen", message) {
        assert_same(&at_once(client.specimen(value.clone())), &Ok(value));
    }
    if let Some((a, b, c)) = called::<Several>("several", message) {
        assert_same(&at_once(client.several(a, b.clone(), c.clone())), &Ok((a, b, c)));
    }
    called::<Choice>("choice", message);
    called::<()>("nothing", message);
}

/// The reply. If the response is an error, it is short and comes from the server.
fn called<R: DeserializeOwned>(name: &str, message: &[u8]) -> Option<R> {
    let method = method(name);
    let length = u32::try_from(message.len()).expect("a fuzzer's input is short");
    let framed = [&[0], &length.to_be_bytes()[..], message].concat();
    match at_once(answered(method, &framed)) {
        Ok(reply) => Some(reply),
        Err(error) => {
            assert_eq!(error.origin(), Origin::Remote, "{error}");
            assert!(error.message().len() <= MESSAGE_BYTES, "{error}");
            None
        }
    }
}

/// What a client reads in the server's response to a framed message.
async fn answered<R: DeserializeOwned>(method: &'static Method, framed: &[u8]) -> Result<R> {
    let message =
        Received::read(Pieces::new(framed, usize::MAX), &AMPLE).await?.into_message(Encoding::Gzip, &AMPLE)?;
    let mut call = GrpcCall::new(message, Around::nothing(&AMPLE, method));
    let (head, body) = SERVICE.dispatch(method, &mut call).await.into_parts();
    let (rest, trailers) = match &body {
        Reply::Message(message) => (&message[..], Some(envelope::success())),
        _ => (&[][..], None),
    };
    read_response(method, Response::from_parts(head, Pieces { rest, step: usize::MAX, trailers }), &AMPLE).await
}

fn method(name: &str) -> &'static Method {
    SERVICE.services().find(name).expect("a method of the service")
}

/// A body reads the same in pieces of any size.
fn body(data: &[u8]) {
    let read = |step| {
        let received = at_once(Received::read(Pieces::new(data, step), &TIGHT))?;
        received.into_message(Encoding::Gzip, &TIGHT).map(|message| message.bytes)
    };
    let whole = read(usize::MAX);
    assert_same(&read(1), &whole);
    assert_same(&read(6), &whole);
    if let Ok(message) = whole {
        let is_compressed = data[0] == 1;
        assert!(message.len() <= if is_compressed { DECOMPRESSED_BYTES } else { FRAMED_BYTES });
        assert!(is_compressed || data.ends_with(&message));
    }
}

/// A client accepts any response, here three lines of headers and a body. If it can't read one, its error is short.
fn response(data: &[u8]) {
    let mut lines = data.splitn(4, |byte| *byte == b'\n');
    let names = [Status::GRPC_STATUS, Status::GRPC_MESSAGE, Status::GRPC_STATUS_DETAILS];
    let pairs = names.into_iter().zip(&mut lines);
    let headers: HeaderMap =
        pairs.filter_map(|(name, value)| Some((name, HeaderValue::from_bytes(value).ok()?))).collect();
    let rest = lines.next().unwrap_or_default();
    for early in [true, false] {
        let trailers = (!early).then(|| headers.clone());
        let mut response = Response::new(Pieces { rest, step: 5, trailers });
        if early {
            *response.headers_mut() = headers.clone();
        }
        response.headers_mut().insert(http::header::CONTENT_TYPE, envelope::CONTENT_TYPE);
        match at_once(read_response::<_, Specimen>(method("specimen"), response, &AMPLE)) {
            Err(error) if error.origin() == Origin::Local => assert!(error.message().len() <= MESSAGE_BYTES, "{error}"),
            _ => {}
        }
    }
    if let Some(value) = headers.get(Status::GRPC_STATUS)
        && let Ok(Some(time)) = timeout(&HeaderMap::from_iter([(TIMEOUT, value.clone())]))
    {
        let again = timeout(&HeaderMap::from_iter([(TIMEOUT, timeout_header(time))]));
        assert!(again.is_ok_and(|again| again.is_some_and(|again| again <= time)), "{time:?}");
    }
}

/// A client and a server without a connection between them.
struct Loopback;

impl Caller for Loopback {
    async fn call<A: Serialize + Send + Sync, R: DeserializeOwned + Send>(
        &self,
        method: &'static Method,
        _cx: &everywire_core::Context,
        args: &A,
    ) -> Result<R> {
        let request = frame(args, Enums::new(method.enums_with_data())).map_err(RpcError::internal)?;
        answered(method, &request).await
    }
}

/// A body that arrives in pieces of `step` bytes.
struct Pieces<'a> {
    rest: &'a [u8],
    step: usize,
    trailers: Option<HeaderMap>,
}

impl<'a> Pieces<'a> {
    fn new(rest: &'a [u8], step: usize) -> Self {
        Self { rest, step, trailers: None }
    }
}

impl Body for Pieces<'_> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(self.trailers.take().map(Frame::trailers).map(Ok));
        }
        let (next, rest) = self.rest.split_at(self.step.min(self.rest.len()));
        self.rest = rest;
        Poll::Ready(Some(Ok(Frame::data(Bytes::copy_from_slice(next)))))
    }
}

#[cfg(test)]
#[test]
fn the_corpus_breaks_nothing() {
    everywire_testing::replay("proto3", proto3);
}
