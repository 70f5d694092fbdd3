//! What a peer may cost, over real sockets.

use std::time::Duration;

use everywire_core::{Code, Limit, Limits, Origin};
use everywire_zmtp::frames::{GREETING, put_frame};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

use crate::{DEADLINE, Raw, Running, demo::Demo};

/// A request with the id 7, in which `tail` is the name and the args.
fn request(tail: &[u8]) -> Vec<u8> {
    let mut message = vec![1, 0];
    put_frame(&mut message, &[b"\x93\x82\xaamessage_id\x07\xa1v\x03", tail].concat(), false);
    message
}

#[tokio::test]
async fn a_peer_that_leaves_at_the_limit_of_calls_is_noticed_at_once() {
    let server = Running::start(Limits { calls_in_flight: 2, ..Limits::default() }).await;
    let watch = server.client().await;
    let mut raw = Raw::connect(server.address).await;
    // Waits of 2^31 ms, more than may run, so that some are never read.
    raw.0.write_all(&request(b"\xa4wait\x91\xce\x80\0\0\0").repeat(5)).await.unwrap();
    let waiting = async |calls| while watch.waiting().await != Ok(calls) {};
    timeout(DEADLINE, waiting(2)).await.expect("two calls");
    assert_eq!(server.budget.met(Limit::CallsInFlight), 1);
    let left = Instant::now();
    drop(raw);
    timeout(DEADLINE, waiting(0)).await.expect("no call");
    assert!(left.elapsed() < Duration::from_secs(4), "not by a heartbeat, the first of which is after 5 s");
    server.stop().await;
}

#[tokio::test]
async fn a_peer_that_never_reads_is_disconnected() {
    let limits = Limits { message_time: Duration::from_millis(500), connections: 1, ..Limits::default() };
    let server = Running::start(limits).await;
    let mut raw = Raw::connect(server.address).await;
    // Replies of 1 MB each, more than all buffers between the two hold.
    raw.0.write_all(&request(b"\xa3big\x91\xce\x00\x0f\x42\x40").repeat(30)).await.unwrap();
    let given_up = async {
        while server.budget.met(Limit::MessageTime) == 0 || server.budget.bytes() > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, given_up).await.expect("the server gives it up");
    assert_eq!(server.budget.met(Limit::UnsentBytes), 1, "before, it paused");
    server.stop().await;
}

#[tokio::test]
async fn limits_are_kept() {
    let server = Running::start(Limits { message_bytes: 100_000, ..Limits::default() }).await;
    let client = server.client().await;
    assert_eq!(client.text("x".repeat(90_000)).await.map(|text| text.len()), Ok(90_000));
    let error = client.text("x".repeat(110_000)).await.unwrap_err();
    assert_eq!((error.code(), error.origin()), (Code::Unavailable, Origin::Local));
    assert_eq!(client.add(3, 4).await, Ok(7), "on a new connection");

    let mut attack = Raw::connect(server.address).await;
    attack.0.write_all(b"\x02\x00\x00\x20\x00\x00\x00\x00\x00").await.unwrap();
    attack.expect_end("2^45 bytes announced").await;

    assert_eq!(client.add(3, 4).await, Ok(7));
    server.stop().await;
}

#[tokio::test]
async fn one_connection_too_many_is_closed_without_a_greeting() {
    let server = Running::start(Limits { connections: 1, ..Limits::default() }).await;
    let first = Raw::connect(server.address).await;
    let greeted = async || {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        timeout(DEADLINE, stream.read(&mut [0; 1])).await.expect("a greeting or an end").is_ok_and(|read| read == 1)
    };
    assert!(!greeted().await);
    drop(first);
    let place = async { while !greeted().await {} };
    timeout(DEADLINE, place).await.expect("a free place");
    server.stop().await;
}

#[tokio::test]
async fn frames_of_other_protocols_end_the_connection() {
    let server = Running::start(Limits { handshake_time: Duration::from_millis(200), ..Limits::default() }).await;
    let mut subscriber = GREETING.to_vec();
    put_frame(&mut subscriber, b"", false);
    for (case, bytes) in [("HTTP", b"GET / HTTP/1.0\r\n\r\n".to_vec()), ("no READY", subscriber), ("nothing", vec![])] {
        let mut raw = Raw(TcpStream::connect(server.address).await.unwrap());
        raw.0.write_all(&bytes).await.unwrap();
        let greeting = raw.read(GREETING.len()).await;
        assert_eq!(greeting, GREETING, "{case}");
        let mut rest = Vec::new();
        let _ = timeout(DEADLINE, raw.0.read_to_end(&mut rest)).await.expect(case);
    }
    server.stop().await;
}
