//! HTTP/1 within the limits, over real sockets: raw bytes, to a server that answers each body with itself.
#![expect(clippy::unwrap_used, reason = "a test that fails may panic anywhere")]

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use everywire_core::{
    Budget, Limit, Limits, Service, Transport,
    descriptor::Services,
    service,
    wire::{CancellationToken, Connection, Io, Protocol},
};
use everywire_net::{
    Tcp, WebOrigins,
    http1::{not_post, not_received, receive, serve},
};
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinHandle,
    time::{sleep, timeout},
};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// A limit that a test waits for.
const SHORT: Duration = Duration::from_millis(200);

struct Running {
    address: SocketAddr,
    budget: Arc<Budget>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

async fn start(limits: Limits) -> Running {
    start_with(limits, WebOrigins::default()).await
}

async fn start_with(limits: Limits, origins: WebOrigins) -> Running {
    let tcp = Tcp::bind("127.0.0.1:0").await.unwrap();
    let (address, budget, stop) = (tcp.address(), Budget::new(limits), CancellationToken::new());
    let service = Arc::new(NothingService::new(Nobody));
    let serving = (tcp, Echo { origins }).serve(service, Arc::clone(&budget), stop.clone());
    Running { address, budget, stop, serving: tokio::spawn(async { serving.await.unwrap() }) }
}

/// The service that is served: its methods are not called.
#[service(package = "test.v1")]
trait Nothing {
    async fn nothing(&self) -> everywire_core::Result<()>;
}

struct Nobody;

impl Nothing for Nobody {
    async fn nothing(&self) -> everywire_core::Result<()> {
        Ok(())
    }
}

/// Answers each body with itself.
struct Echo {
    origins: WebOrigins,
}

impl Protocol for Echo {
    const NAME: &'static str = "test";
    const SCHEME: &'static str = "http";
    type Shared = Self;

    fn start(self, _: &Services) -> everywire_core::Result<Self> {
        Ok(self)
    }

    async fn serve<S: Service>(shared: Arc<Self>, _: S, connection: Connection<impl Io>) -> io::Result<()> {
        let Connection { io, budget, stop, .. } = connection;
        let echo = async |request: Request<Incoming>| {
            if request.method() != Method::POST {
                return not_post("test");
            }
            match receive(request.into_body(), &budget, &stop).await {
                Ok(body) => Response::new(Full::from(body.bytes)),
                Err(error) => not_received(&error),
            }
        };
        serve(io, &budget, &shared.origins, &stop, echo).await.map_err(io::Error::other)
    }
}

impl Running {
    async fn connect(&self) -> Peer {
        Peer(TcpStream::connect(self.address).await.unwrap())
    }

    /// Connects from one of the addresses that loopback has besides 127.0.0.1.
    async fn connect_from(&self, last: u8) -> Peer {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).unwrap();
        Peer(socket.connect(self.address).await.unwrap())
    }

    /// Sends one request, after which the server is asked to close, and returns its answer in lower case.
    async fn ask(&self, line: &str, headers: &str, body: &str) -> String {
        let mut peer = self.connect().await;
        let closes = if line.ends_with("1.0") { "" } else { "connection: close\r\n" };
        peer.send(format!("{line}\r\n{closes}{headers}\r\n{body}")).await;
        peer.rest().await.to_lowercase()
    }
}

struct Peer(TcpStream);

impl Peer {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within(self.0.write_all(bytes.as_ref())).await.unwrap();
    }

    /// The next bytes, as they are expected.
    async fn expect(&mut self, expected: &str) {
        let mut bytes = vec![0; expected.len()];
        within(self.0.read_exact(&mut bytes)).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&bytes), expected);
    }

    async fn is_answered(&mut self) {
        self.send(post("hi")).await;
        self.is_echoed("hi").await;
    }

    async fn is_echoed(&mut self, body: &str) {
        self.expect(&format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\ndate: ", body.len())).await;
        let mut rest = [0; "Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n".len()];
        within(self.0.read_exact(&mut rest)).await.unwrap();
        self.expect(body).await;
    }

    /// Everything until the server closes; a reset is a failure.
    async fn rest(&mut self) -> String {
        let mut rest = String::new();
        within(self.0.read_to_string(&mut rest)).await.unwrap();
        rest
    }
}

fn post(body: &str) -> String {
    format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// The beginning of a request whose body has 9 bytes.
const HALF: &str = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf";

async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.expect("took too long")
}

#[tokio::test]
async fn a_thousand_requests_in_one_write_are_answered_in_order() {
    let running = start(Limits::default()).await;
    let mut peer = running.connect().await;
    let all: String = (0..1_000).map(|number| post(&number.to_string())).collect();
    // Who writes all before it reads, and gets more answers than the sockets hold, would wait for ever on any server.
    peer.send(all).await;
    for number in 0..1_000 {
        peer.is_echoed(&number.to_string()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_refused_while_it_sends_gets_to_read_why() {
    const ALL: usize = 100 << 20;
    let running = start(Limits { message_bytes: 1 << 20, ..Limits::default() }).await;
    let piece = vec![b'x'; 1 << 20];
    let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat();
    let long = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {ALL}\r\n\r\n");
    let chunked = "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    let behind = format!("{}{long}", post("hi"));
    for (name, head, piece) in
        [("a length", &*long, &piece), ("chunks", chunked, &chunk), ("behind another request", &*behind, &piece)]
    {
        let mut peer = running.connect().await;
        peer.send(head).await;
        // A client of the simple kind: it writes all of its request before it reads.
        for _ in 0..ALL >> 20 {
            peer.send(piece).await;
        }
        if name == "behind another request" {
            peer.is_echoed("hi").await;
        }
        let answer = peer.rest().await;
        assert!(answer.starts_with("HTTP/1.1 413 Payload Too Large\r\n"), "{name}: {answer}");
        assert!(answer.ends_with("the body is too long; the limit message_bytes is 1048576"), "{name}: {answer}");
    }
    assert_eq!(running.budget.met(Limit::MessageBytes), 3);
}

#[tokio::test]
async fn who_never_stops_sending_is_listened_to_for_two_seconds() {
    let running = start(Limits { message_bytes: 10, ..Limits::default() }).await;
    let mut peer = running.connect().await;
    let began = Instant::now();
    peer.send(format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", u64::MAX / 2)).await;
    within(async { while peer.0.write_all(&[0; 4 << 10]).await.is_ok() {} }).await;
    let time = began.elapsed();
    assert!((1..8).contains(&time.as_secs()), "{time:?}");
}

#[tokio::test]
async fn a_head_has_the_time_of_a_greeting_and_a_kept_connection_that_of_idling() {
    let running = start(Limits { handshake_time: SHORT, idle_time: 5 * SHORT, ..Limits::default() }).await;
    let met = || [Limit::HandshakeTime, Limit::IdleTime].map(|limit| running.budget.met(limit));
    let mut kept = running.connect().await;
    kept.is_answered().await;
    sleep(2 * SHORT).await;
    kept.is_answered().await;
    let began = Instant::now();
    assert_eq!(kept.rest().await, "");
    assert!(began.elapsed() > 4 * SHORT, "{:?}", began.elapsed());
    assert_eq!(met(), [0, 1]);

    let mut silent = running.connect().await;
    assert_eq!(silent.rest().await, "");
    let mut half = running.connect().await;
    half.is_answered().await;
    half.send("POST / HTTP/1.1\r\nho").await;
    let began = Instant::now();
    assert_eq!(half.rest().await, "");
    assert!(began.elapsed() < 4 * SHORT, "{:?}", began.elapsed());
    assert_eq!(met(), [2, 1]);

    let mut dripping = running.connect().await;
    let (mut reading, mut writing) = dripping.0.split();
    let drip = async {
        while writing.write_all(b"x").await.is_ok() {
            sleep(SHORT / 10).await;
        }
    };
    let mut end = [0];
    tokio::select! {
        () = drip => {}
        ended = within(reading.read(&mut end)) => assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}"),
    }
    assert_eq!(met(), [3, 1]);
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_a_408() {
    let running = start(Limits { message_time: SHORT, ..Limits::default() }).await;
    let mut peer = running.connect().await;
    peer.send(HALF).await;
    let answer = peer.rest().await;
    assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
    assert!(answer.ends_with("the message did not arrive in time; the limit message_time is 200ms"), "{answer}");
}

#[tokio::test]
async fn a_head_beyond_64_kib_is_a_431() {
    let running = start(Limits::default()).await;
    let mut peer = running.connect().await;
    peer.send(format!("POST / HTTP/1.1\r\nhost: {}", "x".repeat(64 << 10))).await;
    let answer = peer.rest().await;
    assert!(answer.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"), "{answer}");
}

#[tokio::test]
async fn the_stop_refuses_what_has_not_arrived() {
    let running = start(Limits::default()).await;
    let mut idle = running.connect().await;
    idle.is_answered().await;
    let mut silent = running.connect().await;
    let mut half_body = running.connect().await;
    half_body.send(HALF).await;
    let mut half_head = running.connect().await;
    half_head.send("POST / HTTP/1.1\r\nho").await;
    // Sockets are served in the order of their connections, so all of the above is there.
    running.connect().await.is_answered().await;
    let began = Instant::now();
    running.stop.cancel();
    let answer = half_body.rest().await;
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
    assert!(answer.ends_with("the server is shutting down"), "{answer}");
    for (name, peer) in [("idle", &mut idle), ("silent", &mut silent), ("half a head", &mut half_head)] {
        assert_eq!(peer.rest().await, "", "{name}");
    }
    within(running.serving).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[tokio::test]
async fn one_connection_too_many_is_closed_at_once_and_loopback_may_have_all() {
    let running = start(Limits { connections_per_address: 1, connections: 3, ..Limits::default() }).await;
    let mut first = running.connect().await;
    let mut second = running.connect().await;
    first.is_answered().await;
    second.is_answered().await;
    let mut other = running.connect_from(2).await;
    other.is_answered().await;
    assert_eq!(running.connect_from(3).await.rest().await, "", "all places are taken");
    let met = [Limit::ConnectionsPerAddress, Limit::Connections].map(|limit| running.budget.met(limit));
    assert_eq!(met, [0, 1]);
    first.is_answered().await;
    drop((first, other));
    within(async {
        loop {
            let mut next = running.connect_from(4).await;
            // Its place is free once the server has seen the other one's end.
            if next.0.write_all(post("hi").as_bytes()).await.is_ok() && matches!(next.0.read(&mut [0]).await, Ok(1)) {
                break;
            }
        }
    })
    .await;
}

/// The head of a POST whose host is `x` and whose body is `hi`.
const HI: &str = "host: x\r\ncontent-length: 2\r\n";

fn status_of(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}

#[tokio::test]
async fn a_head_that_breaks_http_is_rejected() {
    let running = start(Limits::default()).await;
    #[rustfmt::skip]
    let cases = [
        ("POST / HTTP/1.1", HI, "hi", 200),
        ("POST / HTTP/1.1", "content-length: 2\r\n", "hi", 400),
        ("POST / HTTP/1.1", "host: x\r\nhost: x\r\ncontent-length: 2\r\n", "hi", 400),
        ("POST / HTTP/1.1", "host: x\r\nHOST: y\r\ncontent-length: 2\r\n", "hi", 400),
        ("POST / HTTP/1.1", "host: x, y\r\ncontent-length: 2\r\n", "hi", 400),
        ("POST / HTTP/1.1", "host: http://x/\r\ncontent-length: 2\r\n", "hi", 400),
        ("POST / HTTP/1.1", "host: me@x\r\ncontent-length: 2\r\n", "hi", 400),
        ("POST / HTTP/1.1", "host: \u{e4}\r\ncontent-length: 2\r\n", "hi", 400),
        ("POST / HTTP/1.1", "host:\r\ncontent-length: 2\r\n", "hi", 200),
        ("POST / HTTP/1.1", "host: my_host.local:4242\r\ncontent-length: 2\r\n", "hi", 200),
        ("POST / HTTP/1.1", "host: [fe80::1%25eth0]:4242\r\ncontent-length: 2\r\n", "hi", 200),
        ("POST / HTTP/1.0", "content-length: 2\r\n", "hi", 200),
        ("POST / HTTP/1.0", HI, "hi", 200),
        ("POST / HTTP/1.0", "host: x\r\nhost: y\r\ncontent-length: 2\r\n", "hi", 400),
        ("POST http://x:4242/ HTTP/1.1", HI, "hi", 200),
        ("POST http://x:4242 HTTP/1.1", HI, "hi", 200),
        ("POST http://x:4242/ HTTP/1.1", "content-length: 2\r\n", "hi", 400),
        ("POST / HTTP/1.1", "host: x\r\ntransfer-encoding: chunked\r\n", "2\r\nhi\r\n0\r\n\r\n", 200),
        ("POST / HTTP/1.1", "host: x\r\ntransfer-encoding: Chunked\r\n", "2\r\nhi\r\n0\r\n\r\n", 200),
        ("POST / HTTP/1.1", "host: x\r\ntransfer-encoding: gzip, chunked\r\n", "2\r\nhi\r\n0\r\n\r\n", 501),
        ("POST / HTTP/1.1", "host: x\r\ntransfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n", "2\r\nhi\r\n0\r\n\r\n", 501),
        ("POST / HTTP/1.1", "host: x\r\ntransfer-encoding: chunked, chunked\r\n", "2\r\nhi\r\n0\r\n\r\n", 501),
        ("POST / HTTP/1.1", "host: x\r\ntransfer-encoding: gzip\r\n", "hi", 400),
        ("POST / HTTP/1.0", "host: x\r\ntransfer-encoding: chunked\r\n", "2\r\nhi\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1", "host: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n", "hi", 100),
        ("POST / HTTP/1.0", "host: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n", "hi", 200),
        ("POST / HTTP/1.1", "expect: 100-continue\r\ncontent-length: 2\r\n", "", 400),
        ("GET / HTTP/1.1", "host: x\r\n", "", 405),
        ("HEAD / HTTP/1.1", "host: x\r\n", "", 405),
        ("PUT / HTTP/1.1", HI, "hi", 405),
        ("TRACE / HTTP/1.1", "host: x\r\n", "", 405),
        ("CONNECT x:80 HTTP/1.1", "host: x:80\r\n", "", 405),
        ("GET / HTTP/1.0", "", "", 405),
        ("OPTIONS / HTTP/1.1", "host: x\r\n", "", 204),
        ("OPTIONS * HTTP/1.1", "host: x\r\n", "", 204),
        ("OPTIONS http://x HTTP/1.1", "host: x\r\n", "", 204),
        ("OPTIONS / HTTP/1.0", "", "", 204),
        ("OPTIONS / HTTP/1.1", "", "", 400),
    ];
    for (line, headers, body, status) in cases {
        let answer = running.ask(line, headers, body).await;
        assert_eq!(status_of(&answer), status, "{line} {headers}: {answer}");
        assert_eq!(answer.contains("allow: post, options\r\n"), matches!(status, 204 | 405), "{line}: {answer}");
        assert_eq!(answer.ends_with("\r\n\r\nhi"), matches!(status, 100 | 200), "{line} {headers}: {answer}");
    }
}

#[tokio::test]
async fn pages_that_are_allowed_may_call_and_read_the_answer() {
    let origins = WebOrigins::default().allow_origin("https://app.example").unwrap();
    let origins = origins.allow_host("rpc.example").unwrap();
    let running = start_with(Limits::default(), origins).await;
    let reads = "access-control-allow-origin: https://app.example\r\n";
    #[rustfmt::skip]
    let cases = [
        ("POST / HTTP/1.1", "host: x\r\norigin: https://app.example\r\n", 200, reads),
        ("POST / HTTP/1.0", "origin: https://app.example\r\n", 200, reads),
        ("GET / HTTP/1.1", "host: x\r\norigin: https://app.example\r\n", 405, reads),
        ("POST / HTTP/1.1", "host: x\r\norigin: https://evil.example\r\n", 403, ""),
        ("POST / HTTP/1.1", "host: x\r\norigin: null\r\n", 403, ""),
        ("POST / HTTP/1.1", "host: rpc.example:1\r\norigin: http://rpc.example:1\r\n", 200, ""),
        ("POST / HTTP/1.1", "host: evil.example\r\norigin: http://evil.example\r\n", 403, ""),
        ("POST / HTTP/1.1", "host: rpc.example:1\r\norigin: http://rpc.example:1\r\norigin: https://evil.example\r\n", 403, ""),
        ("POST http://evil.example/ HTTP/1.1", "host: rpc.example\r\norigin: http://rpc.example\r\n", 403, ""),
        ("POST http://rpc.example/ HTTP/1.1", "host: x\r\norigin: http://rpc.example\r\n", 200, ""),
        ("POST / HTTP/1.0", "origin: http://rpc.example\r\n", 403, ""),
        ("OPTIONS / HTTP/1.1", "host: x\r\norigin: https://evil.example\r\naccess-control-request-method: POST\r\n", 403, ""),
    ];
    for (line, headers, status, expected) in cases {
        let answer = running.ask(line, &format!("{headers}content-length: 2\r\n"), "hi").await;
        assert_eq!(status_of(&answer), status, "{line} {headers}: {answer}");
        assert!(answer.contains("vary: origin\r\n"), "{line} {headers}: {answer}");
        assert!(answer.contains(expected), "{line} {headers}: {answer}");
        assert!(!expected.is_empty() || !answer.contains("access-control"), "{line} {headers}: {answer}");
    }
    let plain = running.ask("POST / HTTP/1.1", HI, "hi").await;
    assert!(!plain.contains("vary") && !plain.contains("access-control"), "{plain}");
}

#[tokio::test]
async fn a_preflight_says_what_a_page_may_do_and_keeps_the_connection() {
    let origins = WebOrigins::default().allow_origin("https://app.example").unwrap();
    let running = start_with(Limits::default(), origins).await;
    let mut peer = running.connect().await;
    let preflight =
        "OPTIONS / HTTP/1.1\r\nhost: x\r\norigin: https://app.example\r\naccess-control-request-method: POST\r\n";
    let asked =
        "access-control-request-headers: content-type,x-trace\r\naccess-control-request-private-network: true\r\n";
    for (more, expected) in [
        ("", ""),
        (asked, "access-control-allow-headers: content-type,x-trace\r\naccess-control-allow-private-network: true\r\n"),
    ] {
        peer.send(format!("{preflight}{more}\r\n")).await;
        peer.expect(&format!(
            "HTTP/1.1 204 No Content\r\nallow: POST, OPTIONS\r\naccess-control-allow-methods: POST\r\n\
             access-control-max-age: 7200\r\n{expected}vary: Origin\r\n\
             access-control-allow-origin: https://app.example\r\ndate: "
        ))
        .await;
        let mut rest = [0; "Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n".len()];
        within(peer.0.read_exact(&mut rest)).await.unwrap();
    }
    peer.is_answered().await;
}
