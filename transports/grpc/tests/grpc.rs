//! The wire over real sockets: our server, our client, and requests written by hand.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic anywhere")]

use std::{collections::BTreeMap, future::poll_fn, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use everywire_grpc::{Client, Server};
use futures_util::future::join_all;
use http::{HeaderMap, Request, StatusCode};
use hyper::body::{Body as _, Frame};
use rpc_core::{Budget, CancellationToken, Code, Limits, Origin, Result, RpcError, Transport};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, mpsc},
    task::JoinHandle,
    time::timeout,
};
use tonic::{body::Body, transport::Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower::Service;

/// No wait of a test is longer.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Everything {
    int: i64,
    uint: u64,
    float: f64,
    text: String,
    maybe: Option<u32>,
    after: bool,
    colour: Colour,
    parts: Vec<Part>,
    counts: BTreeMap<String, Part>,
    bytes: Vec<u8>,
    pair: (i8, String),
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Part {
    number: Option<i64>,
    labels: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
enum Colour {
    #[default]
    Red,
    Green,
}

/// What the tests call.
#[rpc_core::service(package = "test.v1")]
trait Demo {
    /// Adds.
    async fn add(&self, a: i64, b: i64) -> Result<i64>;
    /// Gives back what it gets.
    async fn echo(&self, value: Everything) -> Result<Everything>;
    /// Gives back a text.
    async fn text(&self, value: String) -> Result<String>;
    /// Fails.
    async fn fail(&self, code: i32, message: String) -> Result<()>;
    /// Panics.
    async fn panic(&self) -> Result<()>;
    /// Answers when it is let go.
    async fn wait(&self) -> Result<u32>;
    /// The present or a default.
    async fn maybe(&self, first: Option<u64>, second: Option<u64>) -> Result<Option<u64>>;
}

struct Tester {
    go: Arc<Notify>,
    events: mpsc::UnboundedSender<&'static str>,
}

/// Tells when it is dropped.
struct Guard(mpsc::UnboundedSender<&'static str>);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.send("ended");
    }
}

impl Demo for Tester {
    async fn add(&self, a: i64, b: i64) -> Result<i64> {
        a.checked_add(b).ok_or_else(|| RpcError::out_of_range("beyond 64 bits"))
    }

    async fn echo(&self, value: Everything) -> Result<Everything> {
        Ok(value)
    }

    async fn text(&self, value: String) -> Result<String> {
        Ok(value)
    }

    async fn fail(&self, code: i32, message: String) -> Result<()> {
        let error = RpcError::new(Code::from_number(code).unwrap(), message);
        Err(error.with_data(serde_json::json!({"why": [1, "ü"]})))
    }

    async fn panic(&self) -> Result<()> {
        panic!("on purpose")
    }

    async fn wait(&self) -> Result<u32> {
        let _guard = Guard(self.events.clone());
        let _ = self.events.send("waiting");
        self.go.notified().await;
        Ok(1)
    }

    async fn maybe(&self, first: Option<u64>, second: Option<u64>) -> Result<Option<u64>> {
        Ok(first.or(second))
    }
}

/// A server that runs, and what the tests need of it.
struct Running {
    address: SocketAddr,
    go: Arc<Notify>,
    events: mpsc::UnboundedReceiver<&'static str>,
    stop: CancellationToken,
    serving: JoinHandle<Result<()>>,
}

impl Running {
    async fn start() -> Self {
        Self::at("127.0.0.1:0", Limits::default()).await
    }

    async fn at(address: &str, limits: Limits) -> Self {
        let server = Server::bind(address).await.unwrap();
        let (address, go, stop) = (server.address(), Arc::new(Notify::new()), CancellationToken::new());
        let (sender, events) = mpsc::unbounded_channel();
        let service = Arc::new(DemoService::new(Tester { go: Arc::clone(&go), events: sender }));
        server.check(DemoService::descriptor()).unwrap();
        let serving = tokio::spawn(server.serve(service, Budget::new(limits), stop.clone()));
        Self { address, go, events, stop, serving }
    }

    async fn client(&self) -> DemoClient<Client> {
        DemoClient::new(Client::connect(&format!("http://{}", self.address)).await.unwrap())
    }

    async fn event(&mut self) -> &'static str {
        within(self.events.recv()).await.expect("an event")
    }
}

async fn within<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("it takes too long")
}

#[tokio::test]
async fn values_at_the_edges_come_back() {
    let server = Running::start().await;
    let client = server.client().await;
    for (a, b) in [(3, 4), (i64::MIN, 0), (i64::MAX, 0), (i64::MIN, i64::MAX), (0, 0)] {
        assert_eq!(client.add(a, b).await, Ok(a + b));
    }
    for text in ["", "a", "ü漢字😀", "\0\u{1}\r\n\u{7f}", "<&>\"'"] {
        assert_eq!(client.text(text.into()).await.as_deref(), Ok(text));
    }
    let long = "ß".repeat(1 << 19);
    assert_eq!(client.text(long.clone()).await, Ok(long));
    for (first, second) in [(None, None), (Some(0), None), (None, Some(u64::MAX)), (Some(1), Some(2))] {
        assert_eq!(client.maybe(first, second).await, Ok(first.or(second)));
    }
    let rich = Everything {
        int: i64::MIN,
        uint: u64::MAX,
        float: f64::INFINITY,
        text: "text".into(),
        maybe: Some(0),
        after: true,
        colour: Colour::Green,
        parts: vec![Part::default(), Part { number: Some(-1), labels: vec![String::new(), "x".repeat(300)] }],
        counts: [(String::new(), Part::default()), ("b".into(), Part { number: Some(0), labels: vec![] })].into(),
        bytes: (0..=255).collect(),
        pair: (-128, "second".into()),
    };
    assert_eq!(client.echo(rich.clone()).await, Ok(rich));
    assert_eq!(client.echo(Everything::default()).await, Ok(Everything::default()));
    assert!(client.echo(Everything { float: f64::NAN, ..Default::default() }).await.unwrap().float.is_nan());
}

#[tokio::test]
async fn errors_arrive_as_they_were() {
    let server = Running::start().await;
    let client = server.client().await;
    for &code in Code::ALL {
        for message in ["", "größer % <b>\n😀"] {
            let error = client.fail(code.number(), message.into()).await.unwrap_err();
            assert_eq!((error.code(), error.message(), error.origin()), (code, message, Origin::Remote));
            assert_eq!(error.data(), Some(&serde_json::json!({"why": [1, "ü"]})));
        }
    }
    let error = client.panic().await.unwrap_err();
    assert_eq!((error.code(), error.origin()), (Code::Internal, Origin::Remote));
    assert_eq!(client.add(i64::MAX, 1).await.unwrap_err().code(), Code::OutOfRange);
    assert_eq!(client.add(1, 1).await, Ok(2), "the server lives on");
}

#[tokio::test]
async fn nobody_there_is_unavailable_and_a_bad_url_an_invalid_argument() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = DemoClient::new(Client::connect(&format!("http://{nobody}")).await.unwrap());
    let error = within(client.add(1, 2)).await.unwrap_err();
    assert_eq!((error.code(), error.origin()), (Code::Unavailable, Origin::Local));
    assert!(error.message().contains(&nobody.to_string()), "{error}");
    for url in ["", "127.0.0.1:1", "http://127.0.0.1", "ftp://127.0.0.1:1", "http://a:1/b", "https://a:1", "http://:1"]
    {
        let error = Client::connect(url).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{url}");
        assert!(error.message().contains(&format!("`{url}`")), "{error}");
    }
}

#[tokio::test]
async fn many_calls_share_a_connection_and_late_ones_are_cut_off() {
    let mut server = Running::start().await;
    let address = format!("grpc://{}", server.address);
    let client = DemoClient::new(Client::connect(&address).await.unwrap());
    let calls = join_all((0..500).map(|number| client.add(number, 1)));
    assert_eq!(within(calls).await, (1..=500).map(Ok).collect::<Vec<_>>());

    let hasty = Client::connect(&address).await.unwrap().timeout(Duration::from_millis(100));
    let error = within(DemoClient::new(hasty).wait()).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
    assert!(error.message().contains("wait") && error.message().contains("100"), "{error}");
    assert_eq!((server.event().await, server.event().await), ("waiting", "ended"));
}

#[tokio::test]
async fn a_dropped_call_is_cancelled() {
    let mut server = Running::start().await;
    let client = server.client().await;
    let call = tokio::spawn(async move { client.wait().await });
    assert_eq!(server.event().await, "waiting");
    call.abort();
    assert_eq!(server.event().await, "ended");
}

#[tokio::test]
async fn the_client_reconnects() {
    let server = Running::start().await;
    let client = server.client().await;
    assert_eq!(client.add(1, 2).await, Ok(3));
    server.stop.cancel();
    within(server.serving).await.unwrap().unwrap();
    assert_eq!(within(client.add(1, 2)).await.unwrap_err().code(), Code::Unavailable);
    let server = Running::at(&server.address.to_string(), Limits::default()).await;
    let again = async {
        while client.add(1, 2).await != Ok(3) {
            tokio::task::yield_now().await;
        }
    };
    within(again).await;
    drop(server);
}

#[tokio::test]
async fn a_stop_finishes_calls_in_flight_and_takes_no_more() {
    let mut server = Running::start().await;
    let client = Arc::new(server.client().await);
    let in_flight = tokio::spawn({
        let client = Arc::clone(&client);
        async move { client.wait().await }
    });
    assert_eq!(server.event().await, "waiting");
    let channel = Endpoint::from_shared(format!("http://{}", server.address)).unwrap().connect().await.unwrap();
    let request = HealthCheckRequest { service: "test.v1.Demo".into() };
    let mut watch = HealthClient::new(channel).watch(request).await.unwrap().into_inner();
    assert_eq!(within(watch.message()).await.unwrap().unwrap().status, 1, "SERVING");

    server.stop.cancel();
    assert_eq!(within(watch.message()).await.unwrap().unwrap().status, 2, "NOT_SERVING");
    assert_eq!(within(watch.message()).await.unwrap_err().code(), tonic::Code::Unavailable, "the stream ends");
    let refused = within(client.add(1, 2)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    server.go.notify_one();
    assert_eq!(within(in_flight).await.unwrap(), Ok(1));
    within(server.serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn dropping_the_server_ends_its_calls() {
    let mut server = Running::start().await;
    let client = server.client().await;
    let call = tokio::spawn(async move { client.wait().await });
    assert_eq!(server.event().await, "waiting");
    server.serving.abort();
    assert_eq!(server.event().await, "ended");
    let error = within(call).await.unwrap().unwrap_err();
    assert_eq!((error.code(), error.origin()), (Code::Unavailable, Origin::Local), "{error}");
}

#[tokio::test]
async fn silent_and_foreign_peers_are_closed() {
    let limits = Limits { handshake_time: Duration::from_millis(50), connections: 2, ..Default::default() };
    let server = Running::at("127.0.0.1:0", limits).await;
    for greeting in ["", "PRI * HT", "GET / HTTP/1.1\r\nhost: a\r\n\r\n"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(greeting.as_bytes()).await.unwrap();
        let mut answer = vec![];
        let _ = within(stream.read_to_end(&mut answer)).await;
        assert!(answer.is_empty(), "{greeting:?}: {answer:?}");
    }
    assert_eq!(server.client().await.add(1, 2).await, Ok(3), "the places are free again");
}

/// A body in pieces.
struct Pieces(Vec<Bytes>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<std::result::Result<Frame<Bytes>, Self::Error>>> {
        let next = (!self.0.is_empty()).then(|| self.0.remove(0));
        std::task::Poll::Ready(next.map(|piece| Ok(Frame::data(piece))))
    }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    trailers: HeaderMap,
}

/// Sends a request as it is.
async fn send(address: SocketAddr, path: &str, headers: &[(&'static str, &str)], pieces: &[&[u8]]) -> Answer {
    let mut channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let body = Body::new(Pieces(pieces.iter().map(|piece| Bytes::copy_from_slice(piece)).collect()));
    let mut request = Request::post(path).body(body).unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    poll_fn(|context| channel.poll_ready(context)).await.unwrap();
    let (head, mut body) = within(channel.call(request)).await.unwrap().into_parts();
    let mut answer = Answer { status: head.status, headers: head.headers, body: vec![], trailers: HeaderMap::new() };
    while let Some(frame) = within(poll_fn(|context| Pin::new(&mut body).poll_frame(context))).await {
        match frame.unwrap().into_data() {
            Ok(data) => answer.body.extend(data),
            Err(frame) => answer.trailers = frame.into_trailers().unwrap(),
        }
    }
    answer
}

const GRPC: (&str, &str) = ("content-type", "application/grpc");

#[tokio::test]
async fn the_bytes_of_add() {
    let server = Running::start().await;
    let request = [0, 0, 0, 0, 4, 8, 3, 16, 4];
    for pieces in [vec![&request[..]], vec![&request[..1], &request[1..7], &[], &request[7..]]] {
        for content_type in ["application/grpc", "application/grpc+proto", "application/grpc; charset=utf-8"] {
            let answer = send(server.address, "/test.v1.Demo/Add", &[("content-type", content_type)], &pieces).await;
            assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &[0, 0, 0, 0, 2, 8, 7][..]));
            assert_eq!(answer.headers["content-type"], "application/grpc");
            assert_eq!((answer.trailers.len(), &answer.trailers["grpc-status"]), (1, &"0".parse().unwrap()));
        }
    }
    let zero = send(server.address, "/test.v1.Demo/Add", &[GRPC], &[&[0; 5]]).await;
    assert_eq!(zero.body, [0; 5], "zero is left out");
}

/// Path, headers and body; the code, and a part of the message.
type Case<'a> = (&'a str, &'a [(&'static str, &'a str)], &'a [u8], Code, &'a str);

#[tokio::test]
async fn malformed_requests_are_told_what_is_wrong() {
    let limits = Limits { message_bytes: 64, ..Default::default() };
    let server = Running::at("127.0.0.1:0", limits).await;
    let good: &[u8] = &[0, 0, 0, 0, 2, 8, 3];
    let add = "/test.v1.Demo/Add";
    let timeout = |value| [GRPC, ("grpc-timeout", value)];
    #[rustfmt::skip]
    let cases: &[Case] = &[
        (add, &[GRPC], &[], Code::Unimplemented, "not exactly one"),
        (add, &[GRPC], &[0, 0, 0], Code::Unimplemented, "not exactly one"),
        (add, &[GRPC], &[0, 0, 0, 0, 3, 8, 3], Code::Unimplemented, "not exactly one"),
        (add, &[GRPC], &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0], Code::Unimplemented, "not exactly one"),
        (add, &[GRPC], &[1, 0, 0, 0, 0], Code::Unimplemented, "compressed"),
        (add, &[GRPC], &[7, 0, 0, 0, 0], Code::Internal, "prefix"),
        (add, &[GRPC], &[0, 0xff, 0xff, 0xff, 0xff], Code::ResourceExhausted, "the limit is 64"),
        (add, &[GRPC], &[0, 0, 0, 0, 2, 0x0a, 0], Code::InvalidArgument, "argument `a`: "),
        (add, &[GRPC], &[0, 0, 0, 0, 1, 8], Code::InvalidArgument, "usage: add(a: i64, b: i64) -> i64"),
        (add, &timeout("1"), good, Code::InvalidArgument, "grpc-timeout"),
        (add, &timeout("123456789S"), good, Code::InvalidArgument, "grpc-timeout"),
        ("/test.v1.Demo/Nothing", &[GRPC], good, Code::Unimplemented, "no method `Nothing` in test.v1.Demo; it has add, "),
        ("/test.v2.Demo/Add", &[GRPC], good, Code::Unimplemented, "no service `test.v2.Demo`"),
        ("/", &[GRPC], good, Code::Unimplemented, "no service ``"),
    ];
    for (path, headers, body, code, text) in cases {
        let answer = send(server.address, path, headers, &[body]).await;
        let status = tonic::Status::from_header_map(&answer.headers).expect("the headers are the answer");
        assert_eq!(i32::from(status.code()), code.number(), "{path} {headers:?} {body:?}: {status}");
        assert!(status.message().contains(text), "{path} {headers:?} {body:?}: {status}");
    }
    let answer = send(server.address, add, &[("content-type", "application/json")], &[good]).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(send(server.address, add, &timeout("20M"), &[good]).await.body, [0, 0, 0, 0, 2, 8, 3]);
}

#[tokio::test]
async fn a_message_that_never_ends_is_given_up() {
    struct Endless(bool);
    impl hyper::body::Body for Endless {
        type Data = Bytes;
        type Error = std::convert::Infallible;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            _context: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<std::result::Result<Frame<Bytes>, Self::Error>>> {
            if std::mem::replace(&mut self.0, true) {
                return std::task::Poll::Pending;
            }
            std::task::Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0, 0, 0, 0, 4, 8])))))
        }
    }
    let limits = Limits { message_time: Duration::from_millis(50), ..Default::default() };
    let server = Running::at("127.0.0.1:0", limits).await;
    let mut channel = Endpoint::from_shared(format!("http://{}", server.address)).unwrap().connect().await.unwrap();
    let mut request = Request::post("/test.v1.Demo/Add").body(Body::new(Endless(false))).unwrap();
    request.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    poll_fn(|context| channel.poll_ready(context)).await.unwrap();
    let answer = within(channel.call(request)).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "4");
}
