//! Warnings at the start, the report, and how the program ends.

use std::process::Stdio;

use everywire::{Code, Origin};
use everywire_toolkit::Toolkit;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
};

use super::{Clients, Log, signal};
use crate::{
    harness::soon,
    program::{PROGRAM, Serving},
};

#[tokio::test]
async fn a_wire_beyond_loopback_is_warned_of() {
    let mut child = Command::new(PROGRAM)
        .args(["--xmlrpc", "0.0.0.0:0", "--grpc", "[::]:0", "--zerorpc", "[::1]:0"])
        .args(["--jsonrpc", "127.0.0.1:0", "--locker", "off"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut log = Log::of(&mut child);
    for start in ["XML-RPC listens on 0.0.0.0:", "gRPC listens on [::]:"] {
        let line = log.line("listens on").await;
        assert!(line.contains(start) && line.contains("there is no authentication"), "{line}");
    }
    signal(&child, "-TERM").await;
    let rest = log.rest().await;
    assert!(!rest.contains("listens on"), "{rest}");
}

#[tokio::test]
async fn the_report_tells_what_was_met() {
    let mut serving = Serving::start(&["--max-message-bytes", "100"]).await;
    let mut log = Log::of(&mut serving.child);
    signal(&serving.child, "-USR1").await;
    assert_eq!(log.line("in flight").await, "0 calls in flight, 0 bytes buffered, limits met: none");
    let mut stream = TcpStream::connect(serving.address("XML-RPC")).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 101\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    soon("the refusal", stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let met = "0 calls in flight, 0 bytes buffered, limits met: message_bytes 1";
    signal(&serving.child, "-USR1").await;
    assert_eq!(log.line("in flight").await, met);
    signal(&serving.child, "-TERM").await;
    log.line("shutting down: calls in flight have 10s to finish").await;
    assert_eq!(log.rest().await, format!("{met}\n"), "once more at the end");
    assert!(soon("the end", serving.child.wait()).await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_outlast_the_grace_time_are_a_failure() {
    let mut serving = Serving::start(&["--grace", "300ms"]).await;
    let mut log = Log::of(&mut serving.child);
    let Clients { xmlrpc, jsonrpc, websocket, grpc, zerorpc, .. } = Clients::of(&serving).await;
    let minute = 60_000;
    assert!(grpc.lock("job".into(), minute, None, None).await.unwrap().granted);
    let waiting = async {
        tokio::join!(
            xmlrpc.lock("job".into(), minute, Some(minute), None),
            jsonrpc.lock("job".into(), minute, Some(minute), None),
            websocket.lock("job".into(), minute, Some(minute), None),
            grpc.lock("job".into(), minute, Some(minute), None),
            zerorpc.lock("job".into(), minute, Some(minute), None),
        )
    };
    let stopping = async {
        while soon("the queue", grpc.lock_state("job".into())).await.unwrap().waiting < 5 {}
        signal(&serving.child, "-TERM").await;
        log.line("shutting down: calls in flight have 300ms to finish").await;
        soon("the end", serving.child.wait()).await.unwrap()
    };
    let (answers, status) = soon("the waits", Box::pin(async { tokio::join!(waiting, stopping) })).await;
    assert_eq!(status.code(), Some(1), "{status}");
    log.line("error: DEADLINE_EXCEEDED: calls in flight outlasted the grace period of 300ms and were cut off").await;
    let (xmlrpc, jsonrpc, websocket, grpc, zerorpc) = answers;
    for (wire, answer) in [
        ("xmlrpc", xmlrpc),
        ("jsonrpc", jsonrpc),
        ("jsonrpc over WebSocket", websocket),
        ("grpc", grpc),
        ("zerorpc", zerorpc),
    ] {
        let error = answer.expect_err(wire);
        let told = "the server shut down before the call was done";
        assert_eq!(
            (error.code(), error.origin(), error.message()),
            (Code::Unavailable, Origin::Remote, told),
            "{wire}"
        );
    }
}
