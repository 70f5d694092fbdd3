//! The engine over an in-memory stream, where time is the test's.

mod limits;

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use everywire_core::{
    Budget, Limits,
    wire::{CancellationToken, Connection, Io},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use crate::{
    Engine, Envelope, Peer, Reply, Session, SocketType,
    frames::{GREETING, put_frame, put_ready, violation},
};

/// Longer than anything here may take; with paused time it costs nothing.
const DEADLINE: Duration = Duration::from_hours(1);

fn connection<IO: Io>(io: IO, budget: &Arc<Budget>, stop: &CancellationToken) -> Connection<IO> {
    let address = SocketAddr::from(([127, 0, 0, 1], 4243));
    Connection::new(io, address.into(), budget, stop.clone())
}

/// Does what the message says.
#[derive(Default)]
struct Script {
    received: Arc<AtomicUsize>,
    running: Arc<()>,
}

impl Session for Script {
    type Call = Pin<Box<dyn Future<Output = Reply> + Send>>;
    type Request = Self::Call;
    type Channel = Envelope;

    fn receive(
        &mut self,
        envelope: Envelope,
        body: &[Bytes],
        peer: &mut Peer<'_, Self>,
    ) -> io::Result<Option<(Envelope, Self::Call)>> {
        self.received.fetch_add(1, Ordering::SeqCst);
        let body = body.concat();
        let (verb, rest) = body.split_at_checked(5).unwrap_or((&body, &[]));
        let millis = std::str::from_utf8(rest).ok().and_then(|text| text.parse().ok()).unwrap_or_default();
        let running = Arc::clone(&self.running);
        let reply = Reply::new(envelope.clone(), body.clone());
        let to = envelope.clone();
        let call: Self::Call = match verb {
            b"close" => return Err(violation("as asked")),
            b"push:" => {
                peer.output.push(&envelope, rest);
                return Ok(None);
            }
            b"long:" => Box::pin(async move { Reply::new(to, vec![b'x'; usize::try_from(millis).unwrap()]) }),
            b"drain" => Box::pin(async { Reply::new(to, b"yes".to_vec()) }),
            b"yield" => Box::pin(async {
                tokio::task::yield_now().await;
                reply
            }),
            b"wait:" => Box::pin(async move {
                sleep(Duration::from_millis(millis)).await;
                drop(running);
                reply
            }),
            b"panic" => Box::pin(async {
                tokio::task::yield_now().await;
                panic!("as asked")
            }),
            _ => Box::pin(async { reply }),
        };
        if verb == b"drain" && !peer.is_draining() {
            peer.output.push(&envelope, b"no");
            return Ok(None);
        }
        Ok(Some((envelope, call)))
    }

    fn call(&mut self, request: Self::Call) -> Self::Call {
        request
    }

    fn tick(&mut self, peer: &mut Peer<'_, Self>) {
        peer.retain(|envelope, output| {
            output.push(envelope, b"tick");
            true
        });
    }
}

/// The other end of a connection that an engine serves.
struct Client {
    io: DuplexStream,
    served: JoinHandle<io::Result<()>>,
    stop: CancellationToken,
    budget: Arc<Budget>,
    received: Arc<AtomicUsize>,
    running: Arc<()>,
    writes: Arc<AtomicUsize>,
}

impl Client {
    /// Connects, and says nothing yet.
    fn start(limits: Limits) -> Self {
        Self::start_with(SocketType::Router, limits)
    }

    fn start_with(socket: SocketType, limits: Limits) -> Self {
        let (io, far) = duplex(4 << 10);
        let script = Script::default();
        let (received, running) = (Arc::clone(&script.received), Arc::clone(&script.running));
        let writes = Arc::default();
        let far = Counted { io: far, writes: Arc::clone(&writes) };
        let (stop, budget) = (CancellationToken::new(), Budget::new(limits));
        let (connection, engine) = (connection(far, &budget, &stop), Engine::new("test", socket));
        let served = tokio::spawn(async move { engine.serve(connection, script).await });
        Self { io, served, stop, budget, received, running, writes }
    }

    /// Connects and shakes hands.
    async fn connect(limits: Limits) -> Self {
        let mut client = Self::start(limits);
        client.send(&hello(SocketType::Dealer)).await;
        client.expect(&hello(SocketType::Router)).await;
        client
    }

    /// The same as a REQ that is connected to a REP.
    async fn rep(limits: Limits) -> Self {
        let mut client = Self::start_with(SocketType::Rep, limits);
        client.send(&hello(SocketType::Req)).await;
        client.expect(&hello(SocketType::Rep)).await;
        client
    }

    async fn send(&mut self, bytes: &[u8]) {
        timeout(DEADLINE, self.io.write_all(bytes)).await.expect("the server reads").expect("the server is there");
    }

    async fn expect(&mut self, bytes: &[u8]) {
        let mut found = vec![0; bytes.len()];
        let read = timeout(DEADLINE, self.io.read_exact(&mut found)).await;
        read.expect("an answer").expect("a whole answer");
        assert_eq!(Bytes::from(found), Bytes::copy_from_slice(bytes));
    }

    /// How the connection ended, and whether the peer saw its end.
    async fn end(mut self) -> io::Result<()> {
        let mut rest = Vec::new();
        timeout(DEADLINE, self.io.read_to_end(&mut rest)).await.expect("the end of the stream").unwrap();
        timeout(DEADLINE, self.served).await.expect("the end of the connection").unwrap()
    }
}

fn hello(socket: SocketType) -> Vec<u8> {
    let mut bytes = GREETING.to_vec();
    put_ready(&mut bytes, socket);
    bytes
}

/// A message as REQ sends it.
fn message(body: &str) -> Vec<u8> {
    frames(&["", body])
}

fn frames(frames: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (index, frame) in frames.iter().enumerate() {
        put_frame(&mut bytes, frame.as_bytes(), index + 1 < frames.len());
    }
    bytes
}

#[tokio::test]
async fn a_conversation_as_bytes() {
    for socket in [SocketType::Req, SocketType::Dealer] {
        let mut client = Client::start(Limits::default());
        client.send(&hello(socket)).await;
        client.expect(&hello(SocketType::Router)).await;
        client.send(b"\x01\x00\x00\x05hello").await;
        client.expect(b"\x01\x00\x00\x05hello").await;
        drop(client.io);
        client.served.await.unwrap().expect("a peer that leaves is no error");
    }
}

#[tokio::test]
async fn envelopes_go_back_as_they_came() {
    let mut client = Client::connect(Limits::default()).await;
    let cases: [&[&str]; 4] = [&["", "body"], &["proxy", "", "body"], &["outer", "inner", "", "body"], &["bare"]];
    for case in cases {
        client.send(&frames(case)).await;
        client.expect(&frames(case)).await;
    }
    client.send(&frames(&["", "one", "two"])).await;
    client.expect(&message("onetwo")).await;
    let longest = "x".repeat(255);
    client.send(&frames(&[&longest, &longest, &longest, "", "body"])).await;
    client.expect(&frames(&[&longest, &longest, &longest, "", "body"])).await;
    for too_long in [&[&"x".repeat(256), "", "body"][..], &[&longest, &longest, &longest, &longest, "", "body"]] {
        let mut client = Client::connect(Limits::default()).await;
        client.send(&frames(too_long)).await;
        assert_eq!(client.end().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}

#[tokio::test]
async fn bytes_may_come_one_at_a_time() {
    let mut client = Client::start(Limits::default());
    let script = [hello(SocketType::Dealer), message("one"), b"\x04\x0b\x04PING\0\0ctxt".to_vec(), message("two")];
    for byte in script.concat() {
        client.send(&[byte]).await;
    }
    client.expect(&hello(SocketType::Router)).await;
    client.expect(&[message("one"), b"\x04\x09\x04PONGctxt".to_vec(), message("two")].concat()).await;
}

#[tokio::test]
async fn replies_of_one_read_are_one_write() {
    let mut client = Client::connect(Limits::default()).await;
    let before = client.writes.load(Ordering::SeqCst);
    let burst = message("ready").repeat(100);
    client.send(&burst).await;
    client.expect(&burst).await;
    assert_eq!(client.writes.load(Ordering::SeqCst) - before, 1);
}

#[tokio::test]
async fn calls_that_all_wait_are_all_answered() {
    let mut client = Client::connect(Limits::default()).await;
    for count in [1, 1, 100] {
        let burst = message("yield").repeat(count);
        client.send(&burst).await;
        client.expect(&burst).await;
    }
}

#[tokio::test]
async fn a_short_call_overtakes_a_long_one() {
    tokio::time::pause();
    let mut client = Client::connect(Limits::default()).await;
    client.send(&[message("wait:90"), message("wait:10"), message("ready")].concat()).await;
    client.expect(&[message("ready"), message("wait:10"), message("wait:90")].concat()).await;
}

#[tokio::test]
async fn whoever_breaks_the_protocol_is_closed() {
    let ready = || hello(SocketType::Dealer);
    let long = |length: u64| [b"\x02", &length.to_be_bytes()[..]].concat();
    let cases = [
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("the 73 bytes: greeting and a frame of 2^45", [&GREETING[..], &long(1 << 45)].concat()),
        ("MORE without end", [ready(), b"\x01\x01x".repeat(64)].concat()),
        ("reserved flags", [ready(), b"\x10\x00".to_vec()].concat()),
        ("a command with MORE", [ready(), b"\x05\x00".to_vec()].concat()),
        ("a long PING", [ready(), b"\x06\0\0\0\0\x01\0\0\0".to_vec()].concat()),
        ("a message before READY", [&GREETING[..], b"\0\0"].concat()),
        ("another ROUTER", hello(SocketType::Router)),
        ("what the session refuses", [ready(), message("close")].concat()),
    ];
    for (case, bytes) in cases {
        let mut client = Client::start(Limits::default());
        // The server may close before all is sent; that is the point.
        let _ = client.io.write_all(&bytes).await;
        let error = client.end().await.expect_err(case);
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{case}: {error}");
    }
}

#[tokio::test]
async fn a_peer_that_can_not_be_spoken_to_is_counted_and_not_left_waiting() {
    let (engine, budget) = (Engine::new("test", SocketType::Router), Budget::new(Limits::default()));
    let with = |at: usize, bytes: &[u8]| [&GREETING[..at], bytes].concat();
    let mut subscriber = GREETING.to_vec();
    subscriber.extend(b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03SUB");
    let cases = [
        // libzmq 3.2 sends its revision once it has seen that of the server, and nothing more.
        ("ZMTP 2.0", with(10, b"\x01"), "before 3.0"),
        ("PLAIN", with(12, &[&b"PLAIN"[..], &[0; 47]].concat()), "security"),
        ("a subscriber", subscriber, "socket type"),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec(), "greeting"),
    ];
    for ((case, bytes, reason), count) in cases.into_iter().zip(1..) {
        let (mut io, far) = duplex(1 << 10);
        io.write_all(&bytes).await.unwrap();
        let serving = engine.serve(connection(far, &budget, &CancellationToken::new()), Script::default());
        let error = timeout(DEADLINE, serving).await.expect(case).expect_err(case);
        assert!(error.to_string().contains(reason), "{case}: {error}");
        assert_eq!(engine.rejected(), count, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn ticks_come_while_calls_wait() {
    let mut client = Client::connect(Limits { calls_in_flight: 1, ..Limits::default() }).await;
    let started = Instant::now();
    client.send(&message("wait:12000")).await;
    client.expect(&[message("tick"), message("tick"), message("wait:12000")].concat()).await;
    assert_eq!(started.elapsed().as_secs(), 12);
    sleep(Duration::from_mins(1)).await;
    client.send(&message("push:no tick before")).await;
    client.expect(&message("no tick before")).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_calls_finish() {
    let mut client = Client::connect(Limits::default()).await;
    client.send(&[message("drain"), message("wait:1000")].concat()).await;
    client.expect(&message("no")).await;
    client.stop.cancel();
    sleep(Duration::from_millis(1)).await;
    client.send(&message("drain")).await;
    client.expect(&[message("yes"), message("wait:1000")].concat()).await;
    client.end().await.unwrap();

    let idle = Client::connect(Limits::default()).await;
    let greeting = Client::start(Limits::default());
    for client in [idle, greeting] {
        client.stop.cancel();
        client.end().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_answers_what_has_arrived() {
    let mut client = Client::connect(Limits { calls_in_flight: 1, ..Limits::default() }).await;
    client.send(&message("wait:1000")).await;
    sleep(Duration::from_millis(1)).await;
    client.send(&message("drain")).await;
    client.stop.cancel();
    // This one answers while it is received, so it is not held back behind the other.
    client.expect(&[message("no"), message("wait:1000")].concat()).await;
    client.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn calls_end_with_their_connection() {
    for aborted in [true, false] {
        let mut client = Client::connect(Limits::default()).await;
        client.send(&[message("wait:1000000"), message("ready")].concat()).await;
        client.expect(&message("ready")).await;
        let Client { io, served, running, .. } = client;
        assert_eq!(Arc::strong_count(&running), 3, "session, call and this test");
        if aborted {
            served.abort();
        } else {
            drop(io);
        }
        let _ = timeout(DEADLINE, served).await.expect("the end of the connection");
        while Arc::strong_count(&running) > 1 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_call_that_panics_ends_its_connection() {
    let mut client = Client::connect(Limits::default()).await;
    client.send(&message("panic")).await;
    assert!(client.end().await.is_err());
}

/// Counts the writes.
struct Counted {
    io: DuplexStream,
    writes: Arc<AtomicUsize>,
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl Io for Counted {}
