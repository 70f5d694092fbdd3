//! What holds whatever a peer sends.
//!
//! The fuzz target of the same name looks for bytes that break it; the test replays those that it has found.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    io::{self, Cursor},
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use everywire_core::{
    Budget, Caller, Limits, Origin, Result, RpcError, Service,
    descriptor::Method,
    wire::{CancellationToken, Connection, MessageBuffer, Peer, Protocol},
};
use everywire_testing::{Choice, Echo, EchoClient, EchoService, Echoing, Several, Specimen, assert_same, at_once};
use everywire_zmtp::{
    SocketType,
    frames::{GREETING, GREETING_BYTES, Taken, put_frame, put_ready, take_frame},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned, de::IgnoredAny};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    runtime::{Builder, Runtime},
};

use crate::{
    client,
    envelope::{self, Event, Malformed},
    id::MessageIds,
    msgpack::Reader,
    positional::put_args,
    server::Server,
};

/// The longest message of an error that this crate makes.
const MESSAGE_BYTES: usize = 1 << 10;

/// Reads `payload` as MessagePack, as an event to a server, and as a response to a client.
pub fn zerorpc(payload: &[u8]) {
    skip(payload);
    event(payload);
    answer::<Specimen>(payload);
    answer::<Vec<Choice>>(payload);
    answer::<Several>(payload);
    answer::<(u64, f32, char, bool)>(payload);
    answer::<BTreeMap<String, Option<f64>>>(payload);
    answer::<()>(payload);
}

/// A value that the library reads is as long for our reader.
fn skip(bytes: &[u8]) {
    let mut deserializer = rmp_serde::Deserializer::new(Cursor::new(bytes));
    if IgnoredAny::deserialize(&mut deserializer).is_ok() {
        let length = deserializer.position();
        assert_eq!(Reader::new(bytes).value().map(<[u8]>::len), usize::try_from(length).ok());
    }
}

/// Each request has one answer in its channel, or the connection closes; and what the client reads in the answer can be
/// sent again, with the same answer.
fn event(payload: &[u8]) {
    let (served, answers) = ask(payload);
    let id = match Event::decode(payload) {
        Ok(Event { response_to: Some(_), .. }) => {
            assert!(served.is_ok() && answers.is_empty());
            return;
        }
        Ok(Event { message_id, .. }) | Err(Malformed { message_id }) => message_id,
    };
    let Some(channel) = id else {
        assert!(answers.is_empty() && served.is_err_and(|error| error.kind() == io::ErrorKind::InvalidData));
        return;
    };
    served.expect("a request that can be answered closes nothing");
    let [answer] = &answers[..] else { panic!("{} answers", answers.len()) };
    assert_eq!(Event::decode(answer).expect("an answer is an event").response_to, Some(channel));
    assert!(answer.len() <= 8 * payload.len() + 2 * MESSAGE_BYTES, "the answer is out of proportion");

    let client = EchoClient::new(Loopback);
    if let Err(error) = client::decode::<IgnoredAny>("any", answer) {
        assert_eq!(error.origin(), Origin::Remote, "{error}");
        assert!(error.message().len() <= MESSAGE_BYTES, "{error}");
    }
    if let Ok(value) = client::decode::<Specimen>("specimen", answer) {
        assert_same(&at_once(client.specimen(value.clone())), &Ok(value));
    }
    if let Ok(value) = client::decode::<Choice>("choice", answer) {
        assert_same(&at_once(client.choice(value.clone())), &Ok(value));
    }
    if let Ok((a, b, c)) = client::decode::<Several>("several", answer) {
        assert_same(&at_once(client.several(a, b.clone(), c.clone())), &Ok((a, b, c)));
    }
}

/// What a client reads in an answer is the same after it was written again; what it can't read is a short error.
fn answer<T: Serialize + DeserializeOwned + Debug>(payload: &[u8]) {
    match client::decode::<T>("any", payload) {
        Ok(value) => {
            let budget = Budget::new(Limits::default());
            let written = envelope::ok(&MessageIds::new().next().1, b"\x07", &value, &budget);
            assert_same(&client::decode("any", &written.expect("what MessagePack brought it can carry")), &Ok(value));
        }
        Err(error) if error.origin() == Origin::Local => {
            assert!(error.message().len() <= MESSAGE_BYTES, "{} bytes", error.message().len());
        }
        Err(_) => {}
    }
}

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().expect("it needs no resources");
}

/// Sends one payload to a server: how the connection ended, and the payloads of the answers.
fn ask(payload: &[u8]) -> (io::Result<()>, Vec<Bytes>) {
    let mut request = GREETING.to_vec();
    put_ready(&mut request, SocketType::Dealer);
    put_frame(&mut request, b"", true);
    put_frame(&mut request, payload, false);
    let mut answer = BytesMut::new();
    let served = RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let (mut near, far) = duplex(1 << 20);
            near.write_all(&request).await.expect("the request has room");
            let budget = Budget::new(Limits { depth: 8, ..Limits::default() });
            let stop = CancellationToken::new();
            let connection = Connection::new(far, Peer::LOCAL, &budget, stop.clone());
            let service = EchoService::new(Echoing);
            let shared = Server::new().start(service.services()).expect("any service suits");
            // The first has done all that it can when it waits for more, and then the second one stops it.
            let serving = Server::serve(Arc::new(shared), service, connection);
            let (served, ()) = tokio::join!(biased; serving, async { stop.cancel() });
            while near.read_buf(&mut answer).await.expect("the answer is there") > 0 {}
            served
        })
    });
    let mut answer = answer.split_off(GREETING_BYTES);
    let mut payloads = Vec::new();
    while let taken @ (Taken::Frame { .. } | Taken::Command(_)) = take_frame(&mut answer, usize::MAX).expect("frames") {
        // READY comes first, and a delimiter before each payload.
        if let Taken::Frame { body, more: false } = taken {
            payloads.push(body);
        }
    }
    (served, payloads)
}

/// A client and a server without the sockets between them.
struct Loopback;

impl Caller for Loopback {
    async fn call<A: Serialize + Send + Sync, R: DeserializeOwned + Send>(
        &self,
        method: &'static Method,
        _cx: &everywire_core::Context,
        args: &A,
    ) -> Result<R> {
        let mut request = MessageBuffer::unbounded(envelope::event(&MessageIds::new().next().1, None, method.name()));
        put_args(&mut request, args).map_err(RpcError::internal)?;
        let (_, answers) = ask(&request);
        client::decode(method.name(), answers.first().expect("an answer"))
    }
}

#[cfg(test)]
#[test]
fn the_corpus_breaks_nothing() {
    everywire_testing::replay("zerorpc", zerorpc);
}
