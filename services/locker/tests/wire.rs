//! The server over real sockets, against another crate's REQ and against bytes written by hand.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are outside of test functions")]

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use everywire_core::{Budget, Limit, Limits, Result, RpcError, Transport, wire::CancellationToken};
use everywire_locker::Server;
use everywire_net::Tcp;
use everywire_zmtp::{
    SocketType,
    frames::{GREETING, put_ready},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
    task::JoinHandle,
    time::timeout,
};
use zeromq::{ReqSocket, Socket, SocketRecv, SocketSend, ZmqMessage};

/// Longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(30);

#[everywire_core::service(package = "test.v1")]
trait Gate {
    /// The `resource` says how it goes.
    async fn acquire(&self, resource: String, permits: Option<u32>) -> Result<Permit>;
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Permit {
    #[serde(serialize_with = "explode")]
    fuse: u8,
    go: bool,
}

const EXPLOSIVE: u8 = 77;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn explode<S: Serializer>(fuse: &u8, serializer: S) -> Result<S::Ok, S::Error> {
    assert_ne!(*fuse, EXPLOSIVE, "as asked");
    serializer.serialize_u8(*fuse)
}

struct Script {
    asked: Mutex<Vec<(String, Option<u32>)>>,
    calls: AtomicU32,
    /// The first call of `wait` needs one of these.
    let_go: Semaphore,
    /// Calls of `wait` that were dropped.
    dropped: AtomicU32,
}

impl Gate for Arc<Script> {
    async fn acquire(&self, resource: String, permits: Option<u32>) -> Result<Permit> {
        self.asked.lock().unwrap().push((resource.clone(), permits));
        let calls = self.calls.fetch_add(1, Ordering::SeqCst);
        match resource.as_str() {
            "error" => Err(RpcError::resource_exhausted("as asked")),
            "panic" => panic!("as asked"),
            "explode" => Ok(Permit { fuse: EXPLOSIVE, go: true }),
            "wait" if calls == 0 => {
                let _dropped = Dropped(&self.dropped);
                self.let_go.acquire().await.unwrap().forget();
                Ok(Permit { fuse: 0, go: true })
            }
            _ => Ok(Permit { fuse: 0, go: calls.is_multiple_of(2) }),
        }
    }
}

struct Dropped<'a>(&'a AtomicU32);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A server on a port of its own.
struct Running {
    address: SocketAddr,
    budget: Arc<Budget>,
    script: Arc<Script>,
    stop: CancellationToken,
    served: JoinHandle<Result<()>>,
}

impl Running {
    async fn start() -> Self {
        Self::with(Limits::default(), |server| server).await
    }

    async fn with(limits: Limits, configure: impl FnOnce(Server) -> Server) -> Self {
        let tcp = Tcp::bind("tcp://127.0.0.1:0").await.unwrap();
        let (address, stop, budget) = (tcp.address(), CancellationToken::new(), Budget::new(limits));
        let script = Arc::new(Script {
            asked: Mutex::default(),
            calls: AtomicU32::new(0),
            let_go: Semaphore::new(0),
            dropped: AtomicU32::new(0),
        });
        let service = Arc::new(GateService::new(Arc::clone(&script)));
        let wire = (tcp, configure(Server::new()));
        everywire_core::Service::services(&*service).iter().for_each(|service| wire.check(service).unwrap());
        let served = tokio::spawn(wire.serve(service, Arc::clone(&budget), stop.clone()));
        Self { address, budget, script, stop, served }
    }

    async fn req(&self) -> ReqSocket {
        let mut socket = ReqSocket::new();
        soon("a connection", socket.connect(&format!("tcp://{}", self.address))).await.unwrap();
        socket
    }

    async fn calls(&self, wanted: u32) {
        until("the call", || self.script.calls.load(Ordering::SeqCst) >= wanted).await;
    }

    async fn end(self) {
        self.stop.cancel();
        soon("the server's end", self.served).await.unwrap().unwrap();
    }
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("{what}: not within {DEADLINE:?}"))
}

async fn until(what: &str, reached: impl Fn() -> bool) {
    let reached = async {
        while !reached() {
            tokio::task::yield_now().await;
        }
    };
    soon(what, reached).await;
}

/// The answer to `message`, of one frame.
async fn ask(socket: &mut ReqSocket, message: impl Into<ZmqMessage>) -> String {
    soon("the request", socket.send(message.into())).await.unwrap();
    let answer = soon("the answer", socket.recv()).await.unwrap().into_vec();
    let [word] = &answer[..] else { panic!("{answer:?}") };
    String::from_utf8(word.to_vec()).unwrap()
}

fn message(frames: &[&str]) -> ZmqMessage {
    ZmqMessage::try_from(frames.iter().map(|frame| Bytes::copy_from_slice(frame.as_bytes())).collect::<Vec<_>>())
        .unwrap()
}

/// A DEALER of bytes.
struct Raw(TcpStream);

impl Raw {
    async fn connect(address: SocketAddr) -> Self {
        let mut raw = Self(TcpStream::connect(address).await.unwrap());
        let mut hello = GREETING.to_vec();
        put_ready(&mut hello, SocketType::Dealer);
        raw.send(&hello).await;
        let mut expected = GREETING.to_vec();
        put_ready(&mut expected, SocketType::Rep);
        raw.expect(&expected).await;
        raw
    }

    async fn send(&mut self, bytes: &[u8]) {
        soon("a write", self.0.write_all(bytes)).await.unwrap();
    }

    async fn expect(&mut self, bytes: &[u8]) {
        let mut found = vec![0; bytes.len()];
        soon("an answer", self.0.read_exact(&mut found)).await.expect("a whole answer");
        assert_eq!(Bytes::from(found), Bytes::copy_from_slice(bytes));
    }

    async fn expect_end(mut self) {
        let mut rest = Vec::new();
        soon("the end", self.0.read_to_end(&mut rest)).await.unwrap();
        assert_eq!(rest, b"");
    }
}

#[tokio::test]
async fn go_and_sorry_as_bytes() {
    let server = Running::start().await;
    let mut raw = Raw::connect(server.address).await;
    raw.send(b"\x01\x00\x00\x09let me go").await;
    raw.expect(b"\x01\x00\x00\x02go").await;
    raw.send(b"\x01\x00\x00\x09let me go").await;
    raw.expect(b"\x01\x00\x00\x05sorry").await;
    // What ZMQ_REQ_CORRELATE puts in front: the request's number.
    raw.send(b"\x01\x04\x00\x00\x00\x07\x01\x00\x00\x09let me go").await;
    raw.expect(b"\x01\x04\x00\x00\x00\x07\x01\x00\x00\x02go").await;
    server.end().await;
    raw.expect_end().await;
}

#[tokio::test]
async fn any_message_is_one_request() {
    let server = Running::start().await;
    let mut req = server.req().await;
    let long = "x".repeat(1 << 20);
    let messages: [&[&str]; 6] = [&["let me go"], &[""], &["\0\u{ff}"], &["", ""], &["a", "", "b"], &[&long]];
    for (index, frames) in messages.into_iter().enumerate() {
        let expected = if index % 2 == 0 { "go" } else { "sorry" };
        assert_eq!(ask(&mut req, message(frames)).await, expected, "message {index}");
    }
    let asked = std::mem::take(&mut *server.script.asked.lock().unwrap());
    assert_eq!(asked, vec![("locker".to_owned(), None); messages.len()]);
    drop(req);
    server.end().await;
}

#[tokio::test]
async fn the_resource_is_the_servers() {
    let server = Running::with(Limits::default(), |server| server.resource("tickets")).await;
    let mut req = server.req().await;
    assert_eq!(ask(&mut req, "let me go").await, "go");
    assert_eq!(*server.script.asked.lock().unwrap(), [("tickets".to_owned(), None)]);
    drop(req);
    server.end().await;
}

#[tokio::test]
async fn whatever_goes_wrong_is_sorry() {
    for resource in ["error", "panic", "explode"] {
        let server = Running::with(Limits::default(), |server| server.resource(resource)).await;
        let mut req = server.req().await;
        for round in 0..3 {
            assert_eq!(ask(&mut req, "let me go").await, "sorry", "{resource}, round {round}");
        }
        drop(req);
        server.end().await;
    }
}

#[tokio::test]
async fn answers_keep_the_order_of_the_requests() {
    let server = Running::with(Limits::default(), |server| server.resource("wait")).await;
    let mut raw = Raw::connect(server.address).await;
    raw.send(b"\x01\x01a\x01\x00\x00\x03one\x01\x01b\x01\x00\x00\x03two\x00\x05three").await;
    server.calls(1).await;
    server.script.let_go.add_permits(1);
    raw.expect(b"\x01\x01a\x01\x00\x00\x02go\x01\x01b\x01\x00\x00\x05sorry\x00\x02go").await;
    server.end().await;
}

#[tokio::test]
async fn clients_do_not_wait_for_one_another() {
    let server = Running::with(Limits::default(), |server| server.resource("wait")).await;
    let (mut first, mut second) = (server.req().await, server.req().await);
    soon("a request", first.send("let me go".into())).await.unwrap();
    server.calls(1).await;
    assert_eq!(ask(&mut second, "let me go").await, "sorry");
    server.script.let_go.add_permits(1);
    assert_eq!(soon("an answer", first.recv()).await.unwrap().into_vec(), ["go"]);
    drop((first, second));
    server.end().await;
}

#[tokio::test]
async fn a_stop_answers_everybody() {
    let server = Running::with(Limits::default(), |server| server.resource("wait")).await;
    let mut raw = Raw::connect(server.address).await;
    raw.send(b"\x01\x00\x00\x03one").await;
    server.calls(1).await;
    raw.send(b"\x01\x00\x00\x03two").await;
    server.stop.cancel();
    server.script.let_go.add_permits(1);
    raw.expect(b"\x01\x00\x00\x02go\x01\x00\x00\x05sorry").await;
    raw.expect_end().await;
    assert_eq!(server.script.calls.load(Ordering::SeqCst), 1, "no new call");
    soon("the server's end", server.served).await.unwrap().unwrap();
}

#[tokio::test]
async fn limits_are_kept() {
    let limits = Limits { message_bytes: 100, ..Limits::default() };
    let server = Running::with(limits, |server| server).await;
    let mut raw = Raw::connect(server.address).await;
    raw.send(&[&b"\x01\x00\x00\x64"[..], &[b'x'; 100]].concat()).await;
    raw.expect(b"\x01\x00\x00\x02go").await;
    raw.send(b"\x01\x00\x00\x65").await;
    raw.expect_end().await;
    server.end().await;
}

#[tokio::test]
async fn whoever_leaves_is_noticed_while_its_call_waits() {
    let server = Running::with(Limits::default(), |server| server.resource("wait")).await;
    let mut raw = Raw::connect(server.address).await;
    raw.send(b"\x01\x00\x00\x03one\x01\x00\x00\x03two").await;
    server.calls(1).await;
    assert_eq!(server.script.dropped.load(Ordering::SeqCst), 0);
    drop(raw);
    until("the end of the call", || server.script.dropped.load(Ordering::SeqCst) == 1).await;
    assert_eq!(server.budget.met(Limit::CallsInFlight), 0, "one call at a time is no limit that was met");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_never_reads_is_let_go() {
    let limits = Limits { message_time: Duration::from_millis(300), unsent_bytes: 1_000, ..Limits::default() };
    let server = Running::with(limits, |server| server).await;
    let mut raw = Raw::connect(server.address).await;
    // Words are short; an address that comes back with each makes it take fewer until the server can write no more.
    let requests = [&b"\x01\xff"[..], &[b'x'; 255], b"\x01\x00\x00\x00"].concat().repeat(1_000);
    let asking = async { while raw.0.write_all(&requests).await.is_ok() {} };
    soon("the end of the connection", asking).await;
    assert_eq!(server.budget.met(Limit::MessageTime), 1);
    assert!(server.budget.met(Limit::UnsentBytes) > 0, "before, it paused");
    server.end().await;
}

#[tokio::test]
async fn whoever_says_nothing_is_let_go() {
    let limits = Limits { idle_time: Duration::from_millis(100), ..Limits::default() };
    let server = Running::with(limits, |server| server).await;
    let mut raw = Raw::connect(server.address).await;
    raw.send(b"\x01\x00\x00\x09let me go").await;
    raw.expect(b"\x01\x00\x00\x02go").await;
    raw.expect_end().await;
    assert_eq!(server.budget.met(Limit::IdleTime), 1);
    server.end().await;
}
