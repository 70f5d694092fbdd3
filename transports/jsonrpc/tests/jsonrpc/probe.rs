//! The service under test, a running server of it, and hand-written peers.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, atomic::AtomicU32, atomic::Ordering::SeqCst},
    time::Duration,
};

use everywire_core::{Budget, Code, Limits, Result, RpcError, Streaming, Transport, wire::CancellationToken};
use everywire_jsonrpc::Server;
use everywire_net::Tcp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Semaphore, watch},
    task::JoinHandle,
};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) enum Colour {
    Red,
    Green,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Inner {
    pub(crate) name: String,
    pub(crate) colours: Vec<Colour>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Everything {
    pub(crate) signed: Vec<i64>,
    pub(crate) unsigned: Vec<u64>,
    pub(crate) float: f64,
    pub(crate) yes: bool,
    pub(crate) texts: Vec<String>,
    pub(crate) absent: Option<Inner>,
    pub(crate) present: Option<Inner>,
    pub(crate) map: BTreeMap<String, Inner>,
    pub(crate) bytes: Vec<u8>,
}

/// Methods that show what a wire does.
#[everywire_core::service(package = "test.v1")]
pub(crate) trait Probe {
    /// Adds two integers.
    async fn add(&self, a: i64, b: i64) -> Result<i64>;
    /// Says what it was given.
    async fn options(&self, first: Option<i64>, second: i64, third: Option<i64>) -> Result<String>;
    async fn echo(&self, value: Everything) -> Result<Everything>;
    async fn repeat(&self, text: String, times: u32) -> Result<String>;
    /// Fails.
    async fn fail(&self, number: i32, message: String) -> Result<()>;
    async fn panic(&self) -> Result<()>;
    /// Counts itself as begun, waits until it may go on, and tells its number.
    async fn wait(&self) -> Result<u32>;
    /// How many `wait` have come to their end.
    async fn ended(&self) -> Result<u32>;
    /// The numbers from 0 on, as fast as they are taken.
    async fn count(&self, to: u64) -> Result<Streaming<u64>>;
    /// Numbers, one for each permit, until there are so many, and then an error.
    async fn ticks(&self, to: u64) -> Result<Streaming<u64>>;
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) begun: watch::Sender<u32>,
    pub(crate) go_on: Semaphore,
    /// How many `wait` and `ticks` are under way.
    pub(crate) waiting: AtomicU32,
    pub(crate) ended: AtomicU32,
}

impl State {
    /// Waits until `wait` has begun `times` times.
    pub(crate) async fn begun(&self, times: u32) {
        let mut begun = self.begun.subscribe();
        within("calls that begin", begun.wait_for(|begun| *begun >= times)).await.unwrap();
    }

    /// Waits until so many `wait` and `ticks` are under way.
    pub(crate) async fn waiting(&self, count: u32) {
        within("calls that wait", async {
            while self.waiting.load(SeqCst) != count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }
}

impl Probe for Arc<State> {
    async fn add(&self, a: i64, b: i64) -> Result<i64> {
        a.checked_add(b).ok_or_else(|| RpcError::out_of_range("the sum is beyond 64 bits"))
    }

    async fn options(&self, first: Option<i64>, second: i64, third: Option<i64>) -> Result<String> {
        Ok(format!("{first:?} {second} {third:?}"))
    }

    async fn echo(&self, value: Everything) -> Result<Everything> {
        Ok(value)
    }

    async fn repeat(&self, text: String, times: u32) -> Result<String> {
        Ok(text.repeat(times as usize))
    }

    async fn fail(&self, number: i32, message: String) -> Result<()> {
        let code = Code::from_number(number).unwrap_or(Code::Unknown);
        Err(RpcError::new(code, message).with_data(serde_json::json!({ "number": number })))
    }

    async fn panic(&self) -> Result<()> {
        panic!("as asked")
    }

    async fn wait(&self) -> Result<u32> {
        let mut number = 0;
        self.begun.send_modify(|begun| {
            *begun += 1;
            number = *begun;
        });
        let _waiting = Waiting::new(self);
        self.go_on.acquire().await.map_err(RpcError::internal)?.forget();
        self.ended.fetch_add(1, SeqCst);
        Ok(number)
    }

    async fn ended(&self) -> Result<u32> {
        Ok(self.ended.load(SeqCst))
    }

    async fn count(&self, to: u64) -> Result<Streaming<u64>> {
        Ok(Streaming::of(0..to))
    }

    async fn ticks(&self, to: u64) -> Result<Streaming<u64>> {
        let state = Arc::clone(self);
        Ok(Streaming::produce(move |items| async move {
            let _waiting = Waiting::new(&state);
            for number in 0..to {
                state.go_on.acquire().await.map_err(RpcError::internal)?.forget();
                items.send(number).await?;
            }
            Err(RpcError::aborted("enough"))
        }))
    }
}

/// Counts a call until it ends, however it ends.
struct Waiting<'a>(&'a State);

impl<'a> Waiting<'a> {
    fn new(state: &'a State) -> Self {
        state.waiting.fetch_add(1, SeqCst);
        Self(state)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, SeqCst);
    }
}

/// A server that runs until [`stop`](Self::stop), or until it is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<State>,
    pub(crate) budget: Arc<Budget>,
    shutdown: CancellationToken,
    serving: JoinHandle<Result<()>>,
}

impl Running {
    pub(crate) async fn start(limits: Limits) -> Self {
        Self::start_on("127.0.0.1:0", limits).await
    }

    pub(crate) async fn start_on(address: &str, limits: Limits) -> Self {
        Self::serve(Tcp::bind(address).await.unwrap(), Server::new(), limits)
    }

    pub(crate) fn serve(tcp: Tcp, server: Server, limits: Limits) -> Self {
        let address = tcp.address();
        let server = (tcp, server);
        assert_eq!(server.endpoint(), format!("jsonrpc http://{address}"));
        let (begun, go_on) = (watch::Sender::new(0), Semaphore::new(0));
        let state = Arc::new(State { begun, go_on, waiting: AtomicU32::new(0), ended: AtomicU32::new(0) });
        let service = Arc::new(ProbeService::new(Arc::clone(&state)));
        let shutdown = CancellationToken::new();
        let budget = Budget::new(limits);
        let serving = tokio::spawn(server.serve(service, Arc::clone(&budget), shutdown.clone()));
        Self { address, state, budget, shutdown, serving }
    }

    pub(crate) fn http(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn websocket(&self) -> String {
        format!("ws://{}", self.address)
    }

    pub(crate) fn begin_stop(&self) {
        self.shutdown.cancel();
    }

    /// Stops and waits until all calls have finished.
    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        within("the server's end", &mut self.serving).await.unwrap().unwrap();
    }

    /// Drops the server's future, as the end of the grace time does.
    pub(crate) async fn cut(mut self) {
        self.serving.abort();
        assert!(within("the abort", &mut self.serving).await.unwrap_err().is_cancelled());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// The answer of `future`, which must come soon.
pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    let output = tokio::time::timeout(Duration::from_secs(10), future).await;
    output.unwrap_or_else(|_| panic!("{what} took more than 10 s"))
}

/// Sends `body` with `headers` and returns status and body of the response.
pub(crate) async fn post(address: SocketAddr, headers: &str, body: &str) -> (u16, String) {
    let length = body.len();
    request(address, &format!("POST / HTTP/1.1\r\nHost: h\r\n{headers}Content-Length: {length}\r\n\r\n{body}")).await
}

/// Sends the bytes of one request and returns status and body of the response.
pub(crate) async fn request(address: SocketAddr, bytes: &str) -> (u16, String) {
    let bytes = bytes.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    let Response { status, body, .. } = exchange(address, bytes.as_bytes()).await;
    (status, body)
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: String,
    pub(crate) body: String,
    /// The body as it came.
    pub(crate) bytes: Vec<u8>,
}

/// Sends `body` with `headers`, whatever bytes it has, and returns the response.
pub(crate) async fn post_bytes(address: SocketAddr, headers: &str, body: &[u8]) -> Response {
    let length = body.len();
    let head = format!("POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n");
    exchange(address, &[head.as_bytes(), body].concat()).await
}

/// Sends the bytes of one request, after which the server closes.
pub(crate) async fn exchange(address: SocketAddr, bytes: &[u8]) -> Response {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut response = Vec::new();
    within("the response", stream.read_to_end(&mut response)).await.unwrap();
    let end = response.windows(4).position(|four| four == b"\r\n\r\n");
    let bytes = response.split_off(end.unwrap_or_else(|| panic!("no response: {response:?}")) + 4);
    let head = String::from_utf8(response).unwrap().to_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no status: {head}"));
    Response { status, head, body: String::from_utf8_lossy(&bytes).into_owned(), bytes }
}

/// A WebSocket peer written by hand after RFC 6455.
pub(crate) struct Peer(pub(crate) TcpStream);

/// What a peer receives.
#[derive(Debug, PartialEq)]
pub(crate) enum Heard {
    Text(String),
    Ping,
    Pong(Vec<u8>),
    /// A close frame with this code, or the end without one.
    Close(Option<u16>),
}

impl Peer {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::connect_with(address, "Host: h\r\n").await.0
    }

    /// With these headers besides. The head of the answer is in lower case.
    pub(crate) async fn connect_with(address: SocketAddr, headers: &str) -> (Self, String) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let handshake = format!(
            "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        stream.write_all(handshake.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within("the handshake", stream.read_u8()).await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        assert!(head.starts_with("http/1.1 101 "), "{head}");
        assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
        (Self(stream), head)
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.send_frame(0x81, text.as_bytes()).await;
    }

    pub(crate) async fn send_frame(&mut self, first: u8, payload: &[u8]) {
        self.0.write_all(&frame(first, payload)).await.unwrap();
    }

    /// The next frame.
    pub(crate) async fn hear(&mut self) -> Heard {
        let Ok(header) = within("a frame", self.0.read_u16()).await else { return Heard::Close(None) };
        let [kind, length] = header.to_be_bytes();
        let length = match length {
            126 => u64::from(self.0.read_u16().await.unwrap()),
            127 => self.0.read_u64().await.unwrap(),
            length => u64::from(length),
        };
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        within("a payload", self.0.read_exact(&mut payload)).await.unwrap();
        match kind {
            0x81 => Heard::Text(String::from_utf8(payload).unwrap()),
            0x88 => Heard::Close(payload.first_chunk().map(|code| u16::from_be_bytes(*code))),
            0x89 => Heard::Ping,
            0x8A => Heard::Pong(payload),
            other => panic!("frame {other:#x}"),
        }
    }

    /// The next text, or `None` once the server says goodbye.
    pub(crate) async fn receive(&mut self) -> Option<String> {
        loop {
            match self.hear().await {
                Heard::Text(text) => return Some(text),
                Heard::Close(_) => return None,
                Heard::Ping | Heard::Pong(_) => {}
            }
        }
    }

    /// The code with which the server says goodbye. Pings are left out, and not answered.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        loop {
            match self.hear().await {
                Heard::Close(code) => return code,
                Heard::Ping => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

/// A masked text frame.
pub(crate) fn text_frame(text: &str) -> Vec<u8> {
    frame(0x81, text.as_bytes())
}

/// A masked frame.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let mut frame = head(first, payload.len() as u64);
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.into_iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// What stands before the mask of a frame.
pub(crate) fn head(first: u8, length: u64) -> Vec<u8> {
    let mut head = vec![first];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ ..126), _) => head.push(0x80 | length),
        (_, Ok(length)) => {
            head.push(0x80 | 0x7E);
            head.extend(length.to_be_bytes());
        }
        _ => {
            head.push(0x80 | 0x7F);
            head.extend(length.to_be_bytes());
        }
    }
    head
}
