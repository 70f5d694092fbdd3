//! Foreign servers, called by the clients of this repository.

use std::{net::SocketAddr, process::Stdio, sync::Arc};

use everywire::{Caller, Code, Origin, Result};
use everywire_testing::needs;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    task::JoinSet,
};

use super::{
    command, connect,
    matrix::proto,
    row::{Foreign, Row},
    service::{Interop, InteropClient},
};
use crate::harness::{broker, soon};

/// A server of `tests/foreign`. It is killed when this is dropped.
pub(super) struct Running {
    foreign: Foreign,
    pub(super) address: SocketAddr,
    _process: Child,
    _folder: TempDir,
}

impl Running {
    /// Starts `script` and waits until it listens. What goes wrong there is in the test's output.
    pub(super) async fn start(script: &str) -> Self {
        let words = command(script);
        let folder = proto();
        // Only a server of AMQP reads it.
        let broker = if script.starts_with("amqp") { broker().await.url.clone() } else { String::new() };
        let mut process = Command::new(&words[0])
            .args(&words[1..])
            .arg(folder.path())
            .args([&queue(script), &broker])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = soon(script, lines.next_line()).await.unwrap();
        let foreign: Foreign =
            serde_json::from_str(&line.unwrap_or_else(|| panic!("{script} does not listen"))).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], foreign.port));
        Self { foreign, address, _process: process, _folder: folder }
    }

    /// Starts `script` and tries every case.
    async fn row<C: Caller>(wire: &'static str, script: &str, dial: impl AsyncFn(SocketAddr) -> Result<C>) -> Row {
        let server = Self::start(script).await;
        Row::of_ours(wire, &server.foreign, server.address, dial).await
    }
}

/// The queue of an AMQP server.
pub(super) fn queue(script: &str) -> String {
    format!("interop {script}")
}

/// The rows of all servers.
pub(crate) async fn rows() -> Vec<Row> {
    let amqp = async |broker| connect::amqp(broker, &queue("amqp_server.py")).await;
    // Those of zerorpc and AMQP notice late that a call is given up: the others go on meanwhile.
    let web = async {
        vec![
            Running::row("XML-RPC", "xmlrpc_server.py", connect::xmlrpc).await,
            Running::row("JSON-RPC, HTTP", "http_server.py", connect::http).await,
            Running::row("JSON-RPC, WebSocket", "websocket_server.py", connect::websocket).await,
            Running::row("gRPC", "grpc_server.py", connect::grpc).await,
        ]
    };
    let (web, zerorpc, amqp) = tokio::join!(
        web,
        Running::row("zerorpc", "zerorpc_server.py", connect::zerorpc),
        Running::row("AMQP", "amqp_server.py", amqp),
    );
    web.into_iter().chain([zerorpc, amqp]).collect()
}

mod strange {
    use everywire::Result;

    /// The same service as another program believes it to be.
    #[everywire::service(package = "interop.v1")]
    pub(super) trait Interop {
        /// Raises a `ValueError`.
        async fn crash(&self, message: String) -> Result<()>;
        /// Nobody has it.
        async fn missing(&self) -> Result<()>;
        /// Takes two arguments.
        async fn add(&self, a: i64) -> Result<i64>;
        /// Answers with a stream where zerorpc serves it.
        async fn count(&self, end: u32) -> Result<u32>;
    }
}

/// An exception that is not about codes, a missing method, a missing argument: what comes of them.
async fn wrong_calls(script: &str, caller: impl Caller, expected: [(Code, &str); 3]) {
    use strange::{Interop, InteropClient};
    let client = InteropClient::new(caller);
    let crash = client.crash("größer".to_owned()).await.unwrap_err();
    let errors = [crash, client.missing().await.unwrap_err(), client.add(1).await.unwrap_err()];
    for (error, (code, text)) in errors.iter().zip(expected) {
        assert_eq!((error.code(), error.origin()), (code, Origin::Remote), "{script}: {error}");
        assert!(error.message().contains(text), "{script}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_foreign_servers_are_told_apart_where_their_wire_can() {
    needs!(Foreign);
    let xmlrpc = Running::start("xmlrpc_server.py").await;
    let python = [
        (Code::Unknown, "fault 1: <class 'ValueError'>:größer"),
        (Code::Unknown, "fault 1: <class 'Exception'>:method \"missing\" is not supported"),
        (Code::Unknown, "fault 1: <class 'TypeError'>:Interop.add() missing 1 required positional argument"),
    ];
    wrong_calls("xmlrpc", connect::xmlrpc(xmlrpc.address).await.unwrap(), python).await;

    let json = [
        (Code::Internal, "Internal error"),
        (Code::Unimplemented, "Method not found"),
        (Code::InvalidArgument, "Invalid params"),
    ];
    let http = Running::start("http_server.py").await;
    wrong_calls("http", connect::http(http.address).await.unwrap(), json).await;
    let websocket = Running::start("websocket_server.py").await;
    wrong_calls("websocket", connect::websocket(websocket.address).await.unwrap(), json).await;

    let zerorpc = Running::start("zerorpc_server.py").await;
    let names = [
        (Code::Unknown, "ValueError: größer"),
        (Code::Unimplemented, "missing"),
        (Code::InvalidArgument, "Interop.add() missing 1 required positional argument"),
    ];
    wrong_calls("zerorpc", connect::zerorpc(zerorpc.address).await.unwrap(), names).await;

    // What gRPC's arguments leave out is zero, and a method that is not in the .proto is missing.
    use strange::Interop as _;
    let grpc = Running::start("grpc_server.py").await;
    let client = strange::InteropClient::new(connect::grpc(grpc.address).await.unwrap());
    let error = client.missing().await.unwrap_err();
    assert_eq!((error.code(), error.origin()), (Code::Unimplemented, Origin::Remote), "{error}");
    assert_eq!(client.add(1).await, Ok(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_where_none_is_expected_is_an_error_and_harms_no_other_call() {
    needs!(Foreign);
    use strange::Interop as _;
    let server = Running::start("zerorpc_server.py").await;
    let client = strange::InteropClient::new(connect::zerorpc(server.address).await.unwrap());
    for length in [0, 3, 100_000] {
        let error = client.count(length).await.unwrap_err();
        assert_eq!(error.code(), Code::Unimplemented, "{error}");
        assert_eq!(
            error.message(),
            "count responds with a stream; call it by a method that returns `Result<Streaming<T>>`"
        );
        let error = client.missing().await.unwrap_err();
        assert_eq!(error.origin(), Origin::Remote, "the server still answers: {error}");
    }
}

/// `SimpleXMLRPCServer` reads one connection at a time to its end. Five more may wait; the kernel resets others.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_calls_at_once_to_a_server_of_one_at_a_time() {
    needs!(Foreign);
    let server = Running::start("xmlrpc_server.py").await;
    let idle = connect::xmlrpc(server.address).await.unwrap();
    let client = connect::xmlrpc(server.address).await.unwrap().connections(4);
    let client = Arc::new(InteropClient::new(client));
    let mut calls = JoinSet::new();
    for number in 0..100 {
        let client = Arc::clone(&client);
        calls.spawn(async move { assert_eq!(client.add(number, 1).await, Ok(number + 1)) });
    }
    calls.join_all().await;
    assert_eq!(InteropClient::new(idle).add(1, 1).await, Ok(2), "it was there all the time, and blocked nobody");
}
