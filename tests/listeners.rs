//! A wire over each kind of listener. The other tests use TCP ports that the server binds itself.

use std::sync::Arc;

use everywire::{
    Code, Limits, Result, Server, Tcp, Unix, duplex, jsonrpc, service,
    wire::{CancellationToken, Listener},
    xmlrpc,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, UnixStream},
    sync::Notify,
    task::JoinHandle,
};

use crate::harness::soon;

#[service(package = "listeners.v1")]
trait Probe {
    async fn add(&self, a: i64, b: i64) -> Result<i64>;
    #[waits]
    async fn wait(&self) -> Result<()>;
}

#[derive(Default)]
struct State {
    began: Notify,
    cancelled: Notify,
}

impl Probe for Arc<State> {
    async fn add(&self, a: i64, b: i64) -> Result<i64> {
        Ok(a + b)
    }

    async fn wait(&self) -> Result<()> {
        struct Cancelled<'a>(&'a Notify);
        impl Drop for Cancelled<'_> {
            fn drop(&mut self) {
                self.0.notify_one();
            }
        }
        let _cancelled = Cancelled(&self.cancelled);
        self.began.notify_one();
        std::future::pending().await
    }
}

struct Running {
    state: Arc<State>,
    stop: CancellationToken,
    serving: JoinHandle<Result<()>>,
}

fn serve(listener: impl Listener, limits: Limits) -> Running {
    let (state, stop) = (Arc::new(State::default()), CancellationToken::new());
    let server = Server::with_limits(ProbeService::new(Arc::clone(&state)), limits);
    let serving = server.mount((listener, jsonrpc::Server::new())).serve_until(stop.clone().cancelled_owned());
    Running { state, stop, serving: tokio::spawn(serving) }
}

impl Running {
    async fn stop(self) {
        self.stop.cancel();
        soon("the end", self.serving).await.unwrap().unwrap();
    }
}

/// Posts one call and returns the answer.
async fn post(mut stream: impl AsyncRead + AsyncWrite + Unpin, call: &str) -> String {
    let head = format!("POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", call.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(call.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon("the answer", stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

const ADD: &str = r#"{"jsonrpc":"2.0","id":1,"method":"add","params":[3,4]}"#;
const SUM: &str = r#"{"jsonrpc":"2.0","id":1,"result":7}"#;
const WAIT: &str = r#"{"jsonrpc":"2.0","id":1,"method":"wait"}"#;

#[tokio::test]
async fn a_unix_socket_serves_and_its_file_goes_with_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = Unix::bind(&path).unwrap();
    assert_eq!(listener.url("http"), format!("http+unix://{}", path.display()));
    let running = serve(listener, Limits { connections: 1, connections_per_address: 0, ..Limits::default() });
    let answer = post(UnixStream::connect(&path).await.unwrap(), ADD).await;
    assert!(answer.ends_with(SUM), "{answer}");
    running.stop().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn a_client_that_leaves_a_unix_socket_cancels_its_call() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let running = serve(Unix::bind(&path).unwrap(), Limits::default());
    let mut stream = UnixStream::connect(&path).await.unwrap();
    let call = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{WAIT}", WAIT.len());
    stream.write_all(call.as_bytes()).await.unwrap();
    soon("the call begins", running.state.began.notified()).await;
    drop(stream);
    soon("the call is cancelled", running.state.cancelled.notified()).await;
    running.stop().await;
}

#[tokio::test]
async fn connections_in_memory_carry_http_and_websocket() {
    let (listener, connector) = duplex();
    let running = serve(listener, Limits::default());
    let answer = post(connector.connect().await.unwrap(), ADD).await;
    assert!(answer.ends_with(SUM), "{answer}");

    let mut stream = connector.connect().await.unwrap();
    let handshake = "GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    // The first frame comes in one write with the handshake, masked with zeros.
    let mut bytes = handshake.as_bytes().to_vec();
    bytes.extend([0x81, 0x80 | u8::try_from(ADD.len()).unwrap(), 0, 0, 0, 0]);
    bytes.extend(ADD.as_bytes());
    stream.write_all(&bytes).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(SUM.as_bytes()) {
        assert_ne!(soon("the answer", stream.read_buf(&mut answer)).await.unwrap(), 0, "it was closed");
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
    drop(stream);
    running.stop().await;
    assert_eq!(connector.connect().await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_listener_that_is_bound_already_is_served() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tcp = Tcp::from_listener(listener).unwrap();
    assert_eq!((tcp.address(), tcp.url("http")), (address, format!("http://{address}")));
    let service = ProbeService::new(Arc::new(State::default()));
    tokio::spawn(Server::new(service).mount((tcp, xmlrpc::Server::new())).serve_until(std::future::pending()));
    let client = xmlrpc::Client::connect(&format!("http://{address}")).await.unwrap();
    assert_eq!(ProbeClient::new(client).add(3, 4).await, Ok(7));
}
