//! What a peer may cost.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use everywire_core::{
    Budget, Limit, Limits,
    wire::{self, CancellationToken, FREE_BYTES},
};
use everywire_net::framed;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    time::{Instant, advance, sleep, timeout},
};

use super::{Client, DEADLINE, Script, connection, frames, hello, message};
use crate::{SocketType, framing::Zmtp, handshake::shake_hands};

#[tokio::test]
async fn a_long_message_ends_the_connection() {
    let long = |flags: u8, length: u64| [&[flags | 2], &length.to_be_bytes()[..]].concat();
    let cases = [
        ("a frame of 2^45", long(0, 1 << 45)),
        ("a frame of 8 MiB and a byte", long(0, (8 << 20) + 1)),
        ("two frames of 5 MiB", [long(1, 5 << 20), vec![0; 5 << 20], long(0, 5 << 20)].concat()),
    ];
    for (case, bytes) in cases {
        let mut client = Client::connect(Limits::default()).await;
        // The server may close before all is sent; that is the point.
        let _ = client.io.write_all(&bytes).await;
        let budget = Arc::clone(&client.budget);
        let error = client.end().await.expect_err(case);
        assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded, "{case}: {error}");
        let expected = "test: 127.0.0.1:4243 has sent too long a message; the limit message_bytes is 8388608";
        assert!(error.to_string().ends_with(expected), "{case}: {error}");
        assert_eq!((budget.met(Limit::MessageBytes), budget.bytes()), (1, 0), "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_has_a_deadline() {
    for part in [0, 10, 64, 70] {
        let started = Instant::now();
        let mut client = Client::start(Limits::default());
        let budget = Arc::clone(&client.budget);
        client.send(&hello(SocketType::Dealer)[..part]).await;
        assert_eq!(client.end().await.unwrap_err().kind(), io::ErrorKind::TimedOut, "{part} bytes");
        assert_eq!((started.elapsed().as_secs(), budget.met(Limit::HandshakeTime)), (5, 1), "{part} bytes");
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed() {
    let minutes = |minutes| Duration::from_mins(minutes);
    let mut client = Client::connect(Limits { idle_time: minutes(10), ..Limits::default() }).await;
    let budget = Arc::clone(&client.budget);
    sleep(minutes(9)).await;
    client.send(&message("hello")).await;
    client.expect(&message("hello")).await;
    sleep(minutes(9)).await;
    client.send(&message("wait:1200000")).await;
    for _ in 0..240 - 1 {
        client.expect(&message("tick")).await;
    }
    client.expect(&message("wait:1200000")).await;
    let started = Instant::now();
    for _ in 0..9 {
        sleep(minutes(1)).await;
        client.send(b"\x04\x07\x04PING\0\0").await;
        client.expect(b"\x04\x05\x04PONG").await;
    }
    assert_eq!(client.end().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert_eq!(started.elapsed().as_secs(), 600, "a ping is no message");
    assert_eq!(budget.met(Limit::IdleTime), 1);
}

#[tokio::test(start_paused = true)]
async fn a_trickle_does_not_prolong_a_message() {
    let mut client = Client::connect(Limits { idle_time: Duration::MAX, ..Limits::default() }).await;
    let budget = Arc::clone(&client.budget);
    advance(Duration::from_secs(1_000)).await;
    client.send(&message("an idle connection lives on")).await;
    client.expect(&message("an idle connection lives on")).await;
    let started = Instant::now();
    for byte in frames(&["", &"x".repeat(100)]) {
        sleep(Duration::from_secs(1)).await;
        if client.io.write_all(&[byte]).await.is_err() {
            break;
        }
    }
    assert_eq!(client.end().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert_eq!(budget.met(Limit::MessageTime), 1);
    assert_eq!(started.elapsed().as_secs(), 31 + 1, "the first byte after 1 s, then 30 s, and the next write fails");
}

#[tokio::test(start_paused = true)]
async fn calls_beyond_the_limit_are_held_back_and_a_ping_is_answered_meanwhile() {
    let mut client = Client::connect(Limits { calls_in_flight: 2, ..Limits::default() }).await;
    let started = Instant::now();
    client.send(&message("wait:1000").repeat(5)).await;
    client.send(b"\x04\x08\x04PING\0\x0a?").await;
    client.expect(b"\x04\x06\x04PONG?").await;
    assert_eq!(started.elapsed().as_millis(), 0);
    assert_eq!(client.received.load(Ordering::SeqCst), 5);
    for (calls, seconds) in [(2, 1), (2, 2), (1, 3)] {
        client.expect(&message("wait:1000").repeat(calls)).await;
        assert_eq!(started.elapsed().as_secs(), seconds, "two at a time");
    }
    assert_eq!(client.budget.met(Limit::CallsInFlight), 1, "noted once");
    assert_eq!(client.budget.bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_rep_answers_a_ping_while_its_one_call_waits() {
    let mut client = Client::rep(Limits::default()).await;
    client.send(&[message("wait:2000"), b"\x04\x07\x04PING\0\0".to_vec(), message("wait:1000")].concat()).await;
    client.expect(b"\x04\x05\x04PONG").await;
    client.expect(&message("wait:2000")).await;
    client.expect(&message("wait:1000")).await;
    assert_eq!(client.budget.met(Limit::CallsInFlight), 0, "one call at a time is no limit that was met");
}

#[tokio::test(start_paused = true)]
async fn reading_pauses_when_too_many_calls_are_held_back() {
    let mut client = Client::connect(Limits { calls_in_flight: 1, ..Limits::default() }).await;
    client.send(&message("wait:1000")).await;
    let long = message(&"x".repeat(100_000));
    let (mut reader, mut writer) = tokio::io::split(client.io);
    let burst = long.repeat(50);
    let sent = burst.clone();
    let writing = tokio::spawn(async move { writer.write_all(&sent).await });
    sleep(Duration::from_millis(999)).await;
    let received = client.received.load(Ordering::SeqCst);
    assert!((2..=12).contains(&received), "{received} messages, of which 1 MiB is held back");
    let mut found = vec![0; message("wait:1000").len() + burst.len()];
    timeout(DEADLINE, reader.read_exact(&mut found)).await.expect("all replies in time").unwrap();
    assert!(found.ends_with(&burst), "every call is answered");
    writing.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn reading_pauses_for_a_peer_that_does_not_read() {
    const MESSAGES: usize = 2_000;
    let body = "x".repeat(100);
    let limits = Limits { unsent_bytes: 8 << 10, message_time: Duration::from_mins(2), ..Limits::default() };
    let Client { io, received, served: _served, budget, .. } = Client::connect(limits).await;
    let (mut reader, mut writer) = tokio::io::split(io);
    let burst = message(&body).repeat(MESSAGES);
    let sent = burst.clone();
    let writing = tokio::spawn(async move { writer.write_all(&sent).await });
    sleep(Duration::from_mins(1)).await;
    let taken = received.load(Ordering::SeqCst);
    assert!(taken < 300, "{taken} messages were answered into memory");
    assert_eq!(budget.met(Limit::UnsentBytes), 1);

    let mut found = vec![0; burst.len()];
    timeout(DEADLINE, reader.read_exact(&mut found)).await.expect("all replies in time").unwrap();
    assert!(found == burst, "replies in the order of the requests");
    writing.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_idle_connection_keeps_no_large_buffers() {
    let budget = Budget::new(Limits::default());
    let (mut io, far) = duplex(1 << 20);
    let wire::Connection { io: mut far, peer, stop, .. } = connection(far, &budget, &CancellationToken::new());
    io.write_all(&hello(SocketType::Dealer)).await.unwrap();
    let input = shake_hands(&mut far, SocketType::Router).await.unwrap();
    let framing = Zmtp::new(("test", SocketType::Router), peer, &budget, Script::default());
    let mut connection = framed::Connection::new(far, input, framing, &budget);
    let mut greeted = vec![0; hello(SocketType::Router).len()];
    io.read_exact(&mut greeted).await.unwrap();
    for body in ["x".repeat(300_000), "y".repeat(FREE_BYTES + 1), "z".repeat(FREE_BYTES)] {
        let (sent, mut found) = (message(&body), vec![0; message(&body).len()]);
        let talk = async {
            io.write_all(&sent).await?;
            io.read_exact(&mut found).await
        };
        tokio::select! {
            read = timeout(DEADLINE, talk) => read.expect("an answer").unwrap(),
            ended = connection.run(&stop) => panic!("it has ended: {ended:?}"),
        };
        assert!(found == sent, "an echo");
        let capacity = connection.state.input.capacity() + connection.state.output.capacity();
        assert!(capacity <= 32 << 10, "{capacity} bytes are kept after {} were echoed", body.len());
    }
}
