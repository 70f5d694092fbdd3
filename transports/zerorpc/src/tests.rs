//! Sessions over an in-memory stream, event by event, where time is the test's.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use everywire_core::{
    Budget, Limit, Limits, Result, Service,
    wire::{CancellationToken, Connection, Peer, Protocol},
};
use everywire_zmtp::{
    SocketType,
    frames::{GREETING, Taken, put_frame, put_ready, take_frame},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use crate::{envelope::Event, schema, server::Server};

/// Longer than anything here may take; with paused time it costs nothing.
const DEADLINE: Duration = Duration::from_hours(1);

/// A service for this test.
#[everywire_core::service(package = "test.v1")]
trait Demo {
    /// Adds.
    async fn add(&self, a: i64, b: i64) -> Result<i64>;
    async fn wait(&self, ms: u64, note: Option<String>) -> Result<u64>;
    async fn unwritable(&self) -> Result<Unwritable>;
    async fn panic(&self) -> Result<()>;
}

#[derive(Default)]
struct Real {
    waiting: Arc<AtomicUsize>,
}

impl Demo for Real {
    async fn add(&self, a: i64, b: i64) -> Result<i64> {
        Ok(a + b)
    }

    async fn wait(&self, ms: u64, _note: Option<String>) -> Result<u64> {
        struct Waiting(Arc<AtomicUsize>);
        impl Drop for Waiting {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let _waiting = Waiting(Arc::clone(&self.waiting));
        sleep(Duration::from_millis(ms)).await;
        Ok(ms)
    }

    async fn unwritable(&self) -> Result<Unwritable> {
        Ok(Unwritable { written: true })
    }

    async fn panic(&self) -> Result<()> {
        panic!("as asked")
    }
}

#[derive(Deserialize, JsonSchema)]
struct Unwritable {
    written: bool,
}

impl Serialize for Unwritable {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        assert!(!self.written, "it can't be written");
        serializer.serialize_unit()
    }
}

struct Client {
    io: DuplexStream,
    input: BytesMut,
    served: JoinHandle<io::Result<()>>,
    stop: CancellationToken,
    budget: Arc<Budget>,
    waiting: Arc<AtomicUsize>,
}

impl Client {
    async fn connect(limits: Limits) -> Self {
        let (mut io, far) = duplex(1 << 20);
        let real = Real::default();
        let (waiting, stop, budget) = (Arc::clone(&real.waiting), CancellationToken::new(), Budget::new(limits));
        let service = DemoService::new(real);
        let shared = Server::new().start(service.services()).unwrap();
        let connection = Connection::new(far, Peer::LOCAL, &budget, stop.clone());
        let served = tokio::spawn(Server::serve(Arc::new(shared), service, connection));
        let mut hello = GREETING.to_vec();
        put_ready(&mut hello, SocketType::Dealer);
        io.write_all(&hello).await.unwrap();
        let mut answer = [0; GREETING.len() + 30];
        io.read_exact(&mut answer).await.unwrap();
        Self { io, input: BytesMut::new(), served, stop, budget, waiting }
    }

    async fn send(&mut self, payload: &[u8]) {
        let mut bytes = vec![1, 0];
        put_frame(&mut bytes, payload, false);
        self.io.write_all(&bytes).await.unwrap();
    }

    async fn payload(&mut self) -> Bytes {
        loop {
            match take_frame(&mut self.input, usize::MAX).unwrap() {
                Taken::Frame { body, more: false } => return body,
                Taken::Missing(_) => {
                    let read = timeout(DEADLINE, self.io.read_buf(&mut self.input)).await.expect("an event").unwrap();
                    assert_ne!(read, 0, "the connection is closed");
                }
                _ => {}
            }
        }
    }

    /// Reads one event and compares its channel, name and args.
    async fn expect(&mut self, case: &str, channel: &[u8], name: &str, args: &[u8]) {
        let payload = self.payload().await;
        let event = Event::decode(&payload).expect(case);
        assert_eq!((event.response_to, event.name), (Some(channel), name), "{case}");
        assert!(event.args.starts_with(args), "{case}: {:?}", Bytes::copy_from_slice(event.args));
    }
}

/// A request with the id 7, in which `tail` is the name and the args.
fn request(tail: &[u8]) -> Vec<u8> {
    [b"\x93\x82\xaamessage_id\x07\xa1v\x03", tail].concat()
}

/// An event in the channel 7.
fn event(tail: &[u8]) -> Vec<u8> {
    [b"\x93\x83\xaamessage_id\x08\xa1v\x03\xabresponse_to\x07", tail].concat()
}

const WAIT: &[u8] = b"\xa4wait\x92\xcd\x2e\xe0\xc0";
const HEARTBEAT: &[u8] = b"\xa7_zpc_hb\x91\x00";

#[tokio::test]
async fn requests_and_their_answers() {
    let mut client = Client::connect(Limits::default()).await;
    let cases: [(&str, &[u8], &str, &[u8]); 19] = [
        ("by position", b"\xa3add\x92\x03\x04", "OK", b"\x91\x07"),
        ("by name", b"\xa3add\x82\xa1b\x03\xa1a\x04", "OK", b"\x91\x07"),
        ("the largest integer", b"\xa3add\x92\x00\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", "OK", b"\x91\xcf\x7f\xff"),
        ("whole floats", b"\xa3add\x92\xcb\x40\x08\0\0\0\0\0\0\xca\x40\x80\0\0", "OK", b"\x91\x07"),
        ("2^32 as a float", b"\xa3add\x92\xcb\x41\xf0\0\0\0\0\0\0\0", "OK", b"\x91\xcf\0\0\0\x01\0\0\0\0"),
        ("half a number", b"\xa3add\x92\xcb\x40\x0c\0\0\0\0\0\0\x04", "ERR", b"\x93\xa9TypeError"),
        ("an option left out", b"\xa4wait\x91\x01", "OK", b"\x91\x01"),
        ("bytes for a string", b"\xa4wait\x92\x01\xc4\x01x", "OK", b"\x91\x01"),
        ("unknown method", b"\xa3sub\x92\x03\x04", "ERR", b"\x93\xa9NameError"),
        ("too few arguments", b"\xa3add\x91\x03", "ERR", b"\x93\xa9TypeError"),
        ("too many arguments", b"\xa3add\x93\x03\x04\x05", "ERR", b"\x93\xa9TypeError"),
        ("no arguments at all", b"\xa3add\xc0", "ERR", b"\x93\xa9TypeError"),
        ("beyond 64 bits", b"\xa3add\x92\x00\xcf\x80\x00\x00\x00\x00\x00\x00\x00", "ERR", b"\x93\xa9TypeError"),
        (
            "a string",
            b"\xa3add\x92\x03\xa14",
            "ERR",
            b"\x93\xa9TypeError\xd9\x6fargument `b`: invalid type: a string where a number",
        ),
        ("args cut off", b"\xa3add\x92\x03", "ERR", b"\x93\xaaParseError"),
        ("no args", b"\xa3add", "ERR", b"\x93\xaaParseError"),
        ("a number as name", b"\x03\x90", "ERR", b"\x93\xaaParseError"),
        ("a panic", b"\xa5panic\x90", "ERR", b"\x93\xadInternalError"),
        ("a reply that panics", b"\xaaunwritable\x90", "ERR", b"\x93\xadInternalError"),
    ];
    for (case, tail, name, args) in cases {
        client.send(&request(tail)).await;
        client.expect(case, b"\x07", name, args).await;
    }
}

#[tokio::test]
async fn the_id_comes_back_in_its_own_type() {
    let mut client = Client::connect(Limits::default()).await;
    let long = [&b"\xd9\xff"[..], &[b'x'; 255]].concat();
    for id in [&long[..], b"\xc4\x0232", b"\xa232", b"\xd9\x0232", b"\x20", b"\xcd\x00\x20", b"\xc0"] {
        client.send(&[b"\x93\x81\xaamessage_id", id, b"\xa3add\x92\x03\x04"].concat()).await;
        client.expect("id", id, "OK", b"\x91\x07").await;
    }
}

#[tokio::test]
async fn built_in_methods() {
    let mut client = Client::connect(Limits::default()).await;
    let cases: [(&str, &[u8], &[u8]); 9] = [
        ("OK", b"\xad_zerorpc_ping\x90", b"\x91\x92\xa4pong\xa4Demo"),
        ("OK", b"\xad_zerorpc_name\x90", b"\x91\xa4Demo"),
        ("OK", b"\xad_zerorpc_list\x90", b"\x91\x94\xa3add\xa4wait\xaaunwritable\xa5panic"),
        ("OK", b"\xad_zerorpc_help\x91\xa3add", b"\x91\xa5Adds."),
        ("OK", b"\xad_zerorpc_args\x91\xa4wait", b"\x91\x94\x92\xa2ms\xa4note\xc0\xc0\x91\xc0"),
        (
            "OK",
            b"\xb0_zerorpc_inspect\x90",
            b"\x91\x82\xa4name\xa4Demo\xa7methods\x84\xa3add\x82\xa4args\x92\x81\xa4name\xa1a\x81\xa4name\xa1b\xa3doc\xa5Adds.\
              \xa4wait\x82\xa4args\x92\x81\xa4name\xa2ms\x82\xa4name\xa4note\xa7default\xc0\xa3doc\xa0",
        ),
        ("ERR", b"\xad_zerorpc_help\x91\xa3sub", b"\x93\xa9NameError"),
        ("ERR", b"\xad_zerorpc_help\x90", b"\x93\xa9TypeError"),
        ("ERR", b"\xad_zerorpc_nope\x90", b"\x93\xa9NameError"),
    ];
    for (name, tail, args) in cases {
        client.send(&request(tail)).await;
        client.expect(&String::from_utf8_lossy(tail), b"\x07", name, args).await;
    }
}

#[tokio::test]
async fn what_has_no_id_to_answer_to_closes() {
    for payload in [&b"junk"[..], b"\x93\x80\xa3add\x92\x03\x04", b"\x93\xc0\xa3add\x90"] {
        let mut client = Client::connect(Limits::default()).await;
        client.send(payload).await;
        let ended = timeout(DEADLINE, client.served).await.expect("an end").unwrap();
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::InvalidData, "{payload:?}");
    }
}

#[tokio::test]
async fn what_is_too_long_or_too_deep_is_answered() {
    let mut client = Client::connect(Limits::default()).await;
    let long_id = [&b"\xda\x01\x2c"[..], &[b'x'; 300]].concat();
    client.send(&[b"\x93\x81\xaamessage_id", &long_id[..], b"\xa3add\x92\x03\x04"].concat()).await;
    client.expect("an id of 300 bytes", &long_id, "ERR", b"\x93\xa9TypeError\xd9\x22a message_id").await;

    let long_name = request(&[&b"\xda\x01\x2c"[..], &[b'x'; 300], b"\x90"].concat());
    client.send(&long_name).await;
    client.expect("a name of 300 bytes", b"\x07", "ERR", b"\x93\xa9NameError").await;

    client.send(&request(&[&b"\xa3add\x93\x03\x04"[..], &[0x91; 65], b"\xc0"].concat())).await;
    let too_deep = b"\x93\xa9TypeError\xd9\x55the arguments nest too deep; the limit depth is 64; usage";
    client.expect("65 levels in one more argument", b"\x07", "ERR", &too_deep[..]).await;
    assert_eq!(client.budget.met(Limit::Depth), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_has_heartbeats_both_ways() {
    let mut client = Client::connect(Limits { calls_in_flight: 1, ..Limits::default() }).await;
    let started = Instant::now();
    client.send(&request(b"\xa4wait\x92\xcd\xea\x60\xc0")).await;
    for beat in 1..12 {
        client.expect("heartbeat", b"\x07", "_zpc_hb", b"\x91\x00").await;
        assert_eq!(started.elapsed().as_secs(), 5 * beat);
        // They are read at the limit of calls too.
        client.send(&event(if beat % 2 == 0 { HEARTBEAT } else { b"\xa9_zpc_more\x91\x63" })).await;
    }
    client.expect("answer", b"\x07", "OK", b"\x91\xcd\xea\x60").await;
    assert_eq!(started.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_sends_heartbeats_is_not_lost() {
    let mut client = Client::connect(Limits::default()).await;
    client.send(&request(b"\xa4wait\x92\xcd\xea\x60\xc0")).await;
    for _ in 1..12 {
        client.expect("heartbeat", b"\x07", "_zpc_hb", b"\x91\x00").await;
        client.send(&event(HEARTBEAT)).await;
    }
    client.expect("answer", b"\x07", "OK", b"\x91\xcd\xea\x60").await;
    client.send(&event(HEARTBEAT)).await;
    client.send(&request(b"\xa3add\x92\x03\x04")).await;
    client.expect("after a late heartbeat", b"\x07", "OK", b"\x91\x07").await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_lost_and_its_call_cancelled() {
    let mut client = Client::connect(Limits::default()).await;
    let started = Instant::now();
    client.send(&request(b"\xa4wait\x92\xce\x7f\xff\xff\xff\xc0")).await;
    for _ in 0..2 {
        client.expect("heartbeat", b"\x07", "_zpc_hb", b"\x91\x00").await;
    }
    assert_eq!(client.waiting.load(Ordering::SeqCst), 1);
    while client.waiting.load(Ordering::SeqCst) > 0 {
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(started.elapsed().as_secs(), 15, "more than two periods");
    client.send(&request(b"\xa3add\x92\x03\x04")).await;
    client.expect("the connection lives on", b"\x07", "OK", b"\x91\x07").await;
}

#[tokio::test(start_paused = true)]
async fn a_stopping_server_refuses_new_calls_and_finishes_the_others() {
    let mut client = Client::connect(Limits::default()).await;
    client.send(&request(WAIT)).await;
    sleep(Duration::from_millis(1)).await;
    client.stop.cancel();
    sleep(Duration::from_millis(1)).await;
    client.send(&[b"\x93\x81\xaamessage_id\x09", &b"\xa3add\x92\x03\x04"[..]].concat()).await;
    client.expect("refused", b"\x09", "ERR", b"\x93\xabUnavailable").await;
    for _ in 0..2 {
        client.expect("heartbeat", b"\x07", "_zpc_hb", b"\x91\x00").await;
        client.send(&event(HEARTBEAT)).await;
    }
    client.expect("finished", b"\x07", "OK", b"\x91\xcd\x2e\xe0").await;
    timeout(DEADLINE, client.served).await.expect("an end").unwrap().unwrap();
}

#[test]
fn types_that_do_not_fit_are_refused_with_their_place() {
    use std::collections::BTreeMap;

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Deep {
        counts: Vec<BTreeMap<u64, u64>>,
    }
    #[derive(Serialize, Deserialize, JsonSchema, PartialEq, Eq, PartialOrd, Ord)]
    enum Colour {
        Red,
        Green,
    }
    fn check<T: Serialize + serde::de::DeserializeOwned + JsonSchema>() -> Result<()> {
        let mut service = everywire_core::descriptor::ServiceDescriptor::builder("test.v1", "Demo", "");
        service.method("put", "Put", "").argument::<T>("value", "T").reply::<()>("()");
        schema::check(&service.build())
    }
    let cases = [
        ("a map by number", check::<BTreeMap<u64, u64>>(), "not a string"),
        ("deep in a struct", check::<Deep>(), "`Deep.counts`: the key"),
        ("128 bits", check::<Vec<i128>>(), "128 bits"),
        ("an option of an option", check::<Option<Option<u8>>>(), "absent"),
    ];
    for (case, verdict, reason) in cases {
        let error = verdict.expect_err(case);
        assert!(error.message().starts_with("zerorpc can't carry test.v1.Demo.put, value: T: "), "{case}: {error}");
        assert!(error.message().contains(reason), "{case}: {error}");
    }
    check::<BTreeMap<String, Option<u64>>>().unwrap();
    check::<BTreeMap<Colour, f32>>().unwrap();
    check::<(char, [u8; 4])>().unwrap();
    DemoService::new(Real::default()).services().iter().try_for_each(schema::check).unwrap();
}
