//! The limits on what a peer may cost, tested by a client that speaks HTTP/2 by hand.

use std::time::{Duration, Instant};

use everywire_core::{Code, Limit, Limits};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    demo::{Demo, Everything, Part, Running, within},
    peer::{
        DATA, END, ENHANCE_YOUR_CALM, Frame, GOAWAY, HEADERS, PING, Peer, RST_STREAM, SETTINGS, call, frame, head,
        initial_window, long, message, prefix, streams, window_update,
    },
};

const SHORT: Duration = Duration::from_millis(100);
const ADD: &str = "/test.v1.Demo/Add";
const WAIT: &str = "/test.v1.Demo/Wait";
const CHECK: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";

impl Running {
    pub(crate) async fn within(limits: Limits) -> Self {
        Self::at("127.0.0.1:0", limits).await
    }

    async fn met(&self, limit: Limit) {
        within(async {
            while self.budget.met(limit) == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Waits until nothing is buffered any more, and checks that calls are answered.
    pub(crate) async fn recovers(&self) {
        within(async {
            while self.budget.bytes() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(within(self.client().await.add(1, 2)).await, Ok(3));
    }

    async fn health(&self) -> HealthClient<Channel> {
        HealthClient::new(Endpoint::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap())
    }
}

#[tokio::test]
async fn silent_and_foreign_peers_are_closed() {
    let server = Running::within(Limits { handshake_time: SHORT, connections: 1, ..Default::default() }).await;
    for greeting in ["", "PRI * HT", "GET / HTTP/1.1\r\nhost: a\r\n\r\n"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(greeting.as_bytes()).await.unwrap();
        let mut answer = vec![];
        let _ = within(stream.read_to_end(&mut answer)).await;
        assert!(answer.get(3).is_none_or(|kind| *kind == SETTINGS), "{greeting:?}: {answer:?}");
    }
    assert_eq!(server.budget.met(Limit::HandshakeTime), 2, "one was no preface");
    server.recovers().await;
}

#[tokio::test]
async fn a_connection_without_calls_is_closed() {
    let server = Running::within(Limits { idle_time: SHORT, ..Default::default() }).await;
    for pongs in [true, false] {
        let mut peer = Peer::connect(server.address).await;
        peer.pongs = pongs;
        let frames = peer.rest().await;
        let codes: Vec<_> = frames.iter().filter(|frame| frame.kind == GOAWAY).map(Frame::code).collect();
        assert!(!codes.is_empty() && codes.iter().all(|code| *code == 0), "pongs {pongs}: {frames:?}");
    }
    assert_eq!(server.budget.met(Limit::IdleTime), 2);
}

#[tokio::test]
async fn a_call_that_waits_keeps_its_connection() {
    let mut server = Running::within(Limits { idle_time: SHORT, ..Default::default() }).await;
    let mut watch = server.health().await.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(within(watch.message()).await.unwrap().unwrap().status, 1);
    let mut peer = Peer::connect(server.address).await;
    peer.send(&call(1, WAIT, b"")).await;
    assert_eq!(server.event().await, "waiting");
    sleep(3 * SHORT).await;
    assert_eq!(server.budget.met(Limit::IdleTime), 0);
    server.go.notify_one();
    peer.until(|frame| frame.is(DATA, 1)).await;
    assert!(peer.rest().await.iter().any(|frame| frame.kind == GOAWAY), "idle from then on");
    server.stop.cancel();
    assert_eq!(within(watch.message()).await.unwrap().unwrap().status, 2, "the watch has lasted");
}

#[tokio::test]
async fn unfinished_messages_share_a_budget_and_a_deadline() {
    const EACH: u32 = 10_000;
    let limits = Limits { buffered_bytes: 20 * EACH as usize, message_time: 5 * SHORT, ..Default::default() };
    let server = Running::within(limits).await;
    let mut peer = Peer::connect(server.address).await;
    for stream in streams(100) {
        peer.send(&[head(stream, ADD), frame(DATA, 0, stream, &prefix(EACH))].concat()).await;
    }
    // From here on the server's window is known.
    peer.round_trip().await;
    for stream in streams(100).flat_map(|stream| [stream; 3]) {
        peer.send(&frame(DATA, 0, stream, &[0; 3_000])).await;
        tokio::task::yield_now().await;
        assert!(server.budget.bytes() <= 20 * EACH as usize);
    }
    let mut open: Vec<_> = streams(100).collect();
    while !open.is_empty() {
        let ended = peer.until(|frame| frame.ends_stream() && frame.kind == HEADERS).await;
        open.retain(|stream| *stream != ended.stream);
    }
    let (full, late) = (server.budget.met(Limit::BufferedBytes), server.budget.met(Limit::MessageTime));
    assert!(full >= 75 && late >= 10, "{full} had no room, {late} were late");
    server.recovers().await;
}

#[tokio::test]
async fn a_reply_that_is_not_taken_resets_its_stream() {
    let server = Running::within(Limits { message_time: 3 * SHORT, ..Default::default() }).await;
    let mut peer = Peer::without_window(server.address).await;
    peer.send(&[long(1, 500_000), long(3, 10)].concat()).await;
    // A window that opens byte by byte counts as closed.
    let mut trickle = 0;
    let reset = loop {
        peer.send(&window_update(1, 1)).await;
        trickle += 1;
        match peer.next().await.unwrap() {
            frame if frame.is(RST_STREAM, 1) => break frame,
            frame if frame.is(DATA, 1) => sleep(SHORT / 10).await,
            _ => {}
        }
    };
    assert_eq!(reset.code(), ENHANCE_YOUR_CALM, "after {trickle} bytes");
    peer.until(|frame| frame.is(RST_STREAM, 3)).await;
    assert_eq!(server.budget.met(Limit::MessageTime), 2);
    assert_eq!(server.budget.bytes(), 0);
    // The connection lives on.
    peer.send(&[frame(SETTINGS, 0, 0, &initial_window(100)), call(5, ADD, &[8, 3, 16, 4])].concat()).await;
    assert_eq!(peer.until(|frame| frame.is(DATA, 5)).await.payload, message(&[8, 7]));
}

#[tokio::test]
async fn a_reply_that_is_taken_slowly_arrives() {
    let server = Running::within(Limits { message_time: 5 * SHORT, ..Default::default() }).await;
    let mut peer = Peer::without_window(server.address).await;
    peer.send(&[long(1, 400_000), window_update(0, 400_000)].concat()).await;
    let (mut taken, begun) = (0, Instant::now());
    while taken < 400_000 {
        sleep(SHORT).await;
        peer.send(&window_update(1, 66_000)).await;
        let until = 400_000.min(taken + 66_000);
        while taken < until {
            taken += peer.until(|frame| frame.is(DATA, 1)).await.payload.len();
        }
    }
    assert!(begun.elapsed() > 5 * SHORT, "longer than one message's time");
    peer.until(|frame| frame.is(HEADERS, 1) && frame.ends_stream()).await;
}

#[tokio::test]
async fn unread_replies_hold_up_the_calls_after_them() {
    let mut server = Running::within(Limits { unsent_bytes: 1_000, ..Default::default() }).await;
    let mut peer = Peer::without_window(server.address).await;
    peer.send(&long(1, 20_000)).await;
    server.met(Limit::UnsentBytes).await;
    peer.send(&call(3, WAIT, b"")).await;
    peer.round_trip().await;
    assert!(server.events.try_recv().is_err(), "the call waits for its turn");
    // Window updates are read nevertheless.
    peer.send(&window_update(1, 30_000)).await;
    assert_eq!(server.event().await, "waiting");
    server.recovers().await;
}

#[tokio::test]
async fn unread_replies_share_a_budget() {
    let server = Running::within(Limits { buffered_bytes: 50_000, ..Default::default() }).await;
    let mut peers = vec![];
    for _ in 0..3 {
        let mut peer = Peer::without_window(server.address).await;
        peer.send(&long(1, 30_000)).await;
        peers.push((peer.until(|frame| frame.is(HEADERS, 1)).await.ends_stream(), peer));
    }
    let refused: Vec<_> = peers.iter().map(|(is_refused, _)| *is_refused).collect();
    assert_eq!((refused, server.budget.bytes()), (vec![false, false, true], 2 * (30_000 + 9 - 8_192)));
    // A peer that leaves frees the memory of its replies.
    drop(peers);
    server.recovers().await;
}

#[tokio::test]
async fn a_peer_that_reads_nothing_is_closed() {
    let server = Running::within(Limits { message_time: 2 * SHORT, ..Default::default() }).await;
    let mut peer = Peer::connect(server.address).await;
    let wide = [frame(SETTINGS, 0, 0, &initial_window(0x7fff_ffff)), window_update(0, 0x7fff_0000)].concat();
    peer.send(&wide).await;
    peer.send(&streams(10).flat_map(|stream| long(stream, 8_000_000)).collect::<Vec<_>>()).await;
    server.met(Limit::MessageTime).await;
    server.recovers().await;
    drop(peer);
}

#[tokio::test]
async fn a_reset_stream_ends_its_call_and_no_other() {
    let mut server = Running::start().await;
    let mut peer = Peer::connect(server.address).await;
    peer.send(&call(1, WAIT, b"")).await;
    assert_eq!(server.event().await, "waiting");
    peer.send(&frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])).await;
    assert_eq!(server.event().await, "ended");
    peer.send(&call(3, ADD, &[8, 3, 16, 4])).await;
    assert_eq!(peer.until(|frame| frame.is(DATA, 3)).await.payload, message(&[8, 7]));
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_is_closed() {
    let mut server = Running::within(Limits { message_time: SHORT, ..Default::default() }).await;
    for pongs in [false, true] {
        let mut peer = Peer::connect(server.address).await;
        peer.pongs = pongs;
        peer.send(&call(1, WAIT, b"")).await;
        assert_eq!(server.event().await, "waiting");
        if pongs {
            for _ in 0..4 {
                peer.until(|frame| frame.is(PING, 0)).await;
            }
            server.go.notify_one();
            peer.until(|frame| frame.is(DATA, 1)).await;
        } else {
            assert!(peer.rest().await.iter().any(|frame| frame.is(PING, 0)), "it was asked");
        }
        assert_eq!(server.event().await, "ended");
    }
    assert_eq!(server.budget.met(Limit::MessageTime), 1);
}

#[tokio::test]
async fn values_that_nest_too_deep_are_counted() {
    let server = Running::within(Limits { depth: 2, ..Default::default() }).await;
    let deep = Everything { parts: vec![Part { number: Some(1), labels: vec![] }], ..Default::default() };
    let error = server.client().await.echo(deep).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains("too deep"), "{error}");
    assert_eq!(server.budget.met(Limit::Depth), 1);
}

#[tokio::test]
async fn calls_beyond_the_limit_are_rejected() {
    let mut server = Running::within(Limits { calls_in_flight: 2, waiting_calls: 1, ..Default::default() }).await;
    let mut peer = Peer::connect(server.address).await;
    peer.send(&streams(4).flat_map(|stream| call(stream, WAIT, b"")).collect::<Vec<_>>()).await;
    let refused = peer.until(Frame::ends_stream).await;
    assert_eq!((refused.kind, refused.stream, refused.code()), (RST_STREAM, 7, crate::peer::REFUSED_STREAM));
    for _ in 0..3 {
        assert_eq!(server.event().await, "waiting");
    }
    assert_eq!(server.budget.met(Limit::CallsInFlight), 1);
}

#[tokio::test]
async fn health_and_reflection_are_bounded() {
    let server = Running::within(Limits { message_time: 3 * SHORT, ..Default::default() }).await;
    let mut peer = Peer::connect(server.address).await;
    let watches = streams(17).flat_map(|stream| call(stream, WATCH, b"")).collect::<Vec<_>>();
    peer.send(&watches).await;
    let refused = peer.until(Frame::ends_stream).await;
    assert_eq!(refused.stream, 33, "a seventeenth");
    drop(peer);

    let mut peer = Peer::connect(server.address).await;
    let too_long = [head(1, CHECK), frame(DATA, 0, 1, &prefix(1 << 20))].concat();
    peer.send(&too_long).await;
    peer.until(|frame| frame.stream == 1 && frame.ends_stream()).await;
    assert_eq!(server.budget.met(Limit::MessageTime), 0, "rejected at once");
    let unfinished = [head(3, CHECK), frame(DATA, 0, 3, &prefix(10))].concat();
    peer.send(&unfinished).await;
    peer.until(|frame| frame.stream == 3 && frame.ends_stream()).await;
    assert_eq!(server.budget.met(Limit::MessageTime), 1);

    let mut peer = Peer::without_window(server.address).await;
    peer.send(&call(1, WATCH, b"")).await;
    assert_eq!(peer.until(|frame| frame.is(RST_STREAM, 1)).await.code(), ENHANCE_YOUR_CALM);
    assert_eq!(server.budget.met(Limit::MessageTime), 2);
}

#[tokio::test]
async fn unfinished_requests_and_silent_peers_do_not_delay_the_shutdown() {
    let server = Running::start().await;
    let mut peers = vec![];
    for begun in [&[][..], &head(1, ADD), &head(1, CHECK), &call(1, WATCH, b""), &[0, 0, 9, HEADERS]] {
        let mut peer = Peer::connect(server.address).await;
        peer.pongs = false;
        peer.round_trip().await;
        peer.send(begun).await;
        if begun.len() > 9 {
            peer.round_trip().await;
        }
        peers.push(peer);
    }
    let mut closed = Peer::without_window(server.address).await;
    closed.send(&call(1, WATCH, b"")).await;
    closed.until(|frame| frame.is(HEADERS, 1)).await;
    server.stop.cancel();
    let begun = Instant::now();
    within(server.serving).await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let answered = peers[1].rest().await;
    assert!(answered.iter().any(|frame| frame.is(HEADERS, 1) && frame.flags & END != 0), "{answered:?}");
}
