//! The stop under load: what was begun is answered, and no peer holds it up.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use everywire::{Caller, Code, Result, RpcError};
use everywire_toolkit::{Toolkit, ToolkitClient};
use tokio::{
    io::AsyncWriteExt,
    net::TcpSocket,
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{Clients, Log, signal};
use crate::{
    harness::{Wires, on_every_wire, soon},
    program::Serving,
};

/// Clients of each wire, and calls that each has in flight.
const CLIENTS: usize = 3;
const CALLS: usize = 8;
/// Each caller has done so many calls when the stop begins.
const UNDER_WAY: usize = 5;
/// Longer than an answer takes while anybody serves.
const PATIENCE: Duration = Duration::from_secs(10);

/// Counts the calls that it runs.
#[everywire::service(package = "test.v1")]
trait Count {
    /// Counts a call over the wire with this number, which takes so many milliseconds.
    async fn count(&self, wire: u32, ms: u64) -> Result<u64>;
}

#[derive(Default)]
struct Counter([AtomicU64; 8]);

impl Count for Arc<Counter> {
    async fn count(&self, wire: u32, ms: u64) -> Result<u64> {
        let count = self.0[usize::try_from(wire).unwrap()].fetch_add(1, SeqCst) + 1;
        if ms > 0 {
            sleep(Duration::from_millis(ms)).await;
        }
        Ok(count)
    }
}

/// Calls until an error: how many answers came before it.
async fn count_on(client: &impl Count, wire: u32) -> (u64, RpcError) {
    let mut answers = 0;
    loop {
        let ms = if answers % 8 == 7 { 20 } else { 0 };
        match timeout(PATIENCE, client.count(wire, ms)).await {
            Ok(Ok(_)) => answers += 1,
            Ok(Err(error)) => return (answers, error),
            Err(_) => return (answers, RpcError::deadline_exceeded("nobody serves")),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_that_was_begun_is_answered() {
    let counter = Arc::new(Counter::default());
    let mut wires = Wires::serve(CountService::new(Arc::clone(&counter))).await;
    let mut calling = JoinSet::new();
    let mut numbers = BTreeMap::new();
    for _ in 0..CLIENTS {
        on_every_wire!(wires, |wire, caller| {
            if wire == "memory" {
                return;
            }
            let next = numbers.len();
            let number = u32::try_from(*numbers.entry(wire).or_insert(next)).unwrap();
            let client = Arc::new(CountClient::new(caller));
            for _ in 0..CALLS {
                let client = Arc::clone(&client);
                calling.spawn(async move { (wire, count_on(&*client, number).await) });
            }
        });
    }
    let counts = || numbers.iter().map(|(wire, number)| (*wire, counter.0[*number].load(SeqCst))).collect();
    let under_way = async || {
        while BTreeMap::values(&counts()).any(|count| *count < 300) {
            sleep(Duration::from_millis(1)).await;
        }
    };
    soon("calls on every wire", under_way()).await;
    let stopped = wires.stop();
    let mut answers: BTreeMap<&str, u64> = BTreeMap::new();
    while let Some(ended) = soon("the calls", calling.join_next()).await {
        let (wire, (answered, error)) = ended.unwrap();
        // A queue keeps its requests for the next server.
        let expected = if wire == "amqp" { Code::DeadlineExceeded } else { Code::Unavailable };
        assert_eq!(error.code(), expected, "{wire}: {error}");
        *answers.entry(wire).or_default() += answered;
    }
    soon("the stop", stopped).await.unwrap().unwrap();
    println!("answered: {answers:?}");
    assert_eq!(answers, counts(), "answered and begun");
}

/// A permit for each of the first locks of every caller.
static TAKEN: Semaphore = Semaphore::const_new(0);

/// Takes locks until an error; the tokens that came before it.
async fn lock_on<C: Caller>(client: &ToolkitClient<C>, owner: String) -> (Vec<u64>, RpcError) {
    let mut tokens = Vec::new();
    loop {
        let name = format!("{owner} {}", tokens.len());
        match client.lock(name, 60_000, None, Some(owner.clone())).await {
            Ok(grant) => {
                tokens.push(grant.token);
                // Only the first few, so that no caller's many stand for another's none.
                TAKEN.add_permits(usize::from(tokens.len() <= UNDER_WAY));
            }
            Err(error) => return (tokens, error),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_loses_no_call_of_any_wire() {
    let mut serving = Serving::start(&[]).await;
    let mut log = Log::of(&mut serving.child);
    let mut calling = JoinSet::new();
    for number in 0..CLIENTS * CALLS {
        let Clients { xmlrpc, jsonrpc, websocket, grpc, zerorpc, .. } = Clients::of(&serving).await;
        calling.spawn(async move { ("xmlrpc", lock_on(&xmlrpc, format!("xmlrpc {number}")).await) });
        calling.spawn(async move { ("jsonrpc", lock_on(&jsonrpc, format!("jsonrpc {number}")).await) });
        calling.spawn(async move { ("websocket", lock_on(&websocket, format!("websocket {number}")).await) });
        calling.spawn(async move { ("grpc", lock_on(&grpc, format!("grpc {number}")).await) });
        calling.spawn(async move { ("zerorpc", lock_on(&zerorpc, format!("zerorpc {number}")).await) });
    }
    let all = u32::try_from(calling.len() * UNDER_WAY).unwrap();
    soon("locks on every wire", TAKEN.acquire_many(all)).await.unwrap().forget();
    signal(&serving.child, "-TERM").await;
    let mut tokens = Vec::new();
    while let Some(ended) = soon("the calls", calling.join_next()).await {
        let (wire, (some, error)) = ended.unwrap();
        assert!(error.code() == Code::Unavailable, "{wire}: {error}");
        tokens.extend(some);
    }
    assert!(soon("the end", serving.child.wait()).await.unwrap().success());
    log.line("shutting down").await;
    assert_eq!(log.rest().await, "");
    tokens.sort_unstable();
    println!("{} locks", tokens.len());
    let all: Vec<_> = (1..).take(tokens.len()).collect();
    assert!(tokens == all, "each lock that was taken was answered");
}

/// A request with as many bytes of body as it says, or fewer.
fn http(length: usize, body: &str) -> Vec<u8> {
    let head = "POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length";
    format!("{head}: {length}\r\n\r\n{body}").into()
}

/// A WebSocket's text frame with a mask of zeros.
fn text_frame(body: &str) -> Vec<u8> {
    [&[0x81, 0x80 | u8::try_from(body.len()).unwrap(), 0, 0, 0, 0], body.as_bytes()].concat()
}

/// A frame of HTTP/2 in the first stream, or in stream 0.
fn http2_frame(kind: u8, flags: u8, stream: u8, body: &[u8]) -> Vec<u8> {
    [&[0, 0, u8::try_from(body.len()).unwrap(), kind, flags, 0, 0, 0, stream], body].concat()
}

/// What peers begin with who then send nothing more and read nothing, by the wire's name.
fn beginnings() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let xml_ids = "<methodCall><methodName>next_ids</methodName><params><param><value><int>100000</int></value></param></params></methodCall>";
    let json_ids = r#"{"jsonrpc":"2.0","id":1,"method":"next_ids","params":[100000]}"#;
    let upgrade = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), http2_frame(4, 0, 0, b"")].concat();
    // The method and the scheme by their numbers; path, content type and te as text.
    let headers = b"\x83\x86\x04\x1d/everywire.v1.Toolkit/NextIds\x0f\x10\x10application/grpc\0\x02te\x08trailers";
    let headers = http2_frame(1, 4, 1, headers);
    let grpc_ids = http2_frame(0, 1, 1, b"\0\0\0\0\x04\x08\xa0\x8d\x06");
    // A signature, version 3.0, the mechanism NULL; then READY.
    let greeting = [b"\xff\0\0\0\0\0\0\0\0\x7f\x03\0NULL".as_slice(), &[0; 48]].concat();
    let ready = [&greeting, b"\x04\x1c\x05READY\x0bSocket-Type\0\0\0\x06DEALER".as_slice()].concat();
    let zerorpc_ids = b"\x01\0\0\x21\x93\x82\xaamessage_id\xa1x\xa1v\x03\xa8next_ids\x91\xce\0\x01\x86\xa0";
    vec![
        ("silent", "XML-RPC", vec![]),
        ("half a head", "XML-RPC", b"POST / HTTP/1.1\r\nho".to_vec()),
        ("half a body", "XML-RPC", http(9, "half")),
        ("deaf", "XML-RPC", http(xml_ids.len(), xml_ids).repeat(4)),
        ("silent", "JSON-RPC", vec![]),
        ("half a head", "JSON-RPC", b"POST / HTTP/1.1\r\nho".to_vec()),
        ("half a body", "JSON-RPC", http(9, "half")),
        ("deaf", "JSON-RPC", http(json_ids.len(), json_ids).repeat(4)),
        ("idle", "JSON-RPC over WebSocket", upgrade.to_vec()),
        ("half a frame", "JSON-RPC over WebSocket", [upgrade.as_slice(), &text_frame("whole")[..8]].concat()),
        ("deaf", "JSON-RPC over WebSocket", [upgrade.to_vec(), text_frame(json_ids).repeat(4)].concat()),
        ("silent", "gRPC", vec![]),
        ("idle", "gRPC", preface.clone()),
        ("half a frame", "gRPC", [&*preface, &headers[..20]].concat()),
        ("half a message", "gRPC", [&*preface, &headers, &http2_frame(0, 0, 1, b"\0\0\0\0\x04")].concat()),
        ("deaf", "gRPC", [&*preface, &headers, &grpc_ids].concat()),
        ("silent", "zerorpc", vec![]),
        ("half a greeting", "zerorpc", greeting[..20].to_vec()),
        ("idle", "zerorpc", ready.clone()),
        ("half a message", "zerorpc", [&*ready, &zerorpc_ids[..20]].concat()),
        ("deaf", "zerorpc", [&*ready, &zerorpc_ids.repeat(8)].concat()),
        ("silent", "locker", vec![]),
        ("half a greeting", "locker", greeting[..20].to_vec()),
        ("half a message", "locker", [&*ready, b"\x01\0\0\x09half"].concat()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_peer_holds_up_the_stop() {
    let mut rows = JoinSet::new();
    for (name, wire, bytes) in beginnings() {
        rows.spawn(async move {
            let row = format!("{wire}, {name}");
            // Whoever waited for a greeting, a head or a call would wait for longer than the grace time.
            let flags = ["--message-time", "1s", "--handshake-time", "1min", "--idle-time", "1min", "--grace", "20s"];
            let mut serving = Serving::start(&flags).await;
            let mut log = Log::of(&mut serving.child);
            let address = serving.address(wire.split(' ').next().unwrap()).parse().unwrap();
            let socket = TcpSocket::new_v4().unwrap();
            // So that few replies fill what the system holds of them.
            socket.set_recv_buffer_size(4 << 10).unwrap();
            let mut peer = soon(&row, socket.connect(address)).await.unwrap();
            peer.write_all(&bytes).await.unwrap();
            if name == "deaf" {
                assert_eq!(soon(&row, peer.peek(&mut [0])).await.unwrap(), 1, "{row}: an answer begins");
            }
            Clients::of(&serving).await;
            signal(&serving.child, "-TERM").await;
            log.line("shutting down").await;
            let began = Instant::now();
            let status = soon("the end", serving.child.wait()).await.unwrap();
            println!("{row}: {:?}", began.elapsed());
            assert!(status.success(), "{row}: {status}: {}", log.rest().await);
        });
    }
    while let Some(ended) = rows.join_next().await {
        ended.unwrap();
    }
}
