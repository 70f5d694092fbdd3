//! What WebSocket peers may cost. Those of HTTP are in `http`.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use everywire_core::{Limit, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::probe::{Heard, Peer, Running, frame, head, post, text_frame, within};

const ENDED: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ended"}"#;
const WAIT: &str = r#"{"jsonrpc":"2.0","id":1,"method":"wait"}"#;
const MASK: [u8; 4] = [1, 2, 3, 4];
/// Room for a debug build.
const SOON: Duration = Duration::from_millis(200);

fn repeat(times: u32) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"repeat","params":["0123456789",{times}]}}"#)
}

/// Waits until `condition` holds.
async fn until(what: &str, condition: impl Fn() -> bool) {
    within(what, async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_message_is_refused_before_it_is_buffered() {
    let server = Running::start(Limits { message_bytes: 1_000, ..Limits::default() }).await;
    let announced = |length: u64| [head(0x81, length), MASK.to_vec()].concat();
    #[rustfmt::skip]
    let cases = [
        ("a byte too long", announced(1_001)),
        ("a GiB", announced(1 << 30)),
        ("all that can be said", announced(u64::MAX)),
        ("together", [frame(0x01, &[b' '; 600]), frame(0x00, &[b' '; 400]), head(0x80, 1), MASK.to_vec()].concat()),
    ];
    for (case, bytes) in &cases {
        let mut peer = Peer::connect(server.address).await;
        peer.0.write_all(bytes).await.unwrap();
        assert_eq!(peer.closed().await, Some(1009), "{case}");
    }
    assert_eq!(server.budget.met(Limit::MessageBytes), cases.len() as u64);
    let mut peer = Peer::connect(server.address).await;
    peer.send(&(ENDED.to_owned() + &" ".repeat(1_000 - ENDED.len()))).await;
    assert!(peer.receive().await.unwrap().contains("result"), "the limit itself is allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_against_the_protocol_is_said() {
    let server = Running::start(Limits::default()).await;
    let cases = [(frame(0xC1, b""), 1002), (frame(0x81, b"\"\xff\""), 1007), (frame(0x88, b"\x03\xe8"), 1000)];
    for (bytes, code) in cases {
        let mut peer = Peer::connect(server.address).await;
        peer.0.write_all(&bytes).await.unwrap();
        assert_eq!(peer.closed().await, Some(code));
        drop(peer);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fragments_and_pings_between_them() {
    let server = Running::start(Limits::default()).await;
    let mut peer = Peer::connect(server.address).await;
    let (first, rest) = ENDED.as_bytes().split_at(20);
    peer.send_frame(0x01, first).await;
    peer.send_frame(0x89, b"there?").await;
    assert_eq!(peer.hear().await, Heard::Pong(b"there?".to_vec()));
    peer.send_frame(0x00, rest).await;
    peer.send_frame(0x80, b"").await;
    assert_eq!(peer.hear().await, Heard::Text(r#"{"jsonrpc":"2.0","id":1,"result":0}"#.into()));
    peer.send_frame(0x82, ENDED.as_bytes()).await;
    assert!(matches!(peer.hear().await, Heard::Text(_)), "a binary message is one too");
}

/// Neither bytes nor pings that trickle in prolong it.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_has_to_arrive_in_time() {
    let server = Running::start(Limits { message_time: SOON, ..Limits::default() }).await;
    for (case, start, more) in [
        ("half a header", vec![0x81], vec![]),
        ("one byte at a time", [head(0x81, 5_000), MASK.to_vec()].concat(), b"x".to_vec()),
        ("pings between fragments", frame(0x01, b"{"), frame(0x89, b"")),
        ("empty fragments", frame(0x01, b"{"), frame(0x00, b"")),
    ] {
        let peer = Peer::connect(server.address).await;
        let (mut input, mut output) = peer.0.into_split();
        output.write_all(&start).await.unwrap();
        let trickle = tokio::spawn(async move {
            while output.write_all(&more).await.is_ok() {
                tokio::time::sleep(SOON / 20).await;
            }
        });
        let mut heard = Vec::new();
        let _ = within(case, input.read_to_end(&mut heard)).await;
        let close = heard.windows(4).find(|bytes| bytes[0] == 0x88);
        assert_eq!(close.map(|close| &close[2..]), Some(&1008_u16.to_be_bytes()[..]), "{case}: {heard:?}");
        trickle.abort();
    }
    assert_eq!(server.budget.met(Limit::MessageTime), 4);
    let mut idle = Peer::connect(server.address).await;
    tokio::time::sleep(SOON * 2).await;
    idle.send(ENDED).await;
    assert!(idle.receive().await.is_some(), "between messages it does not count");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_without_calls_is_closed() {
    let server = Running::start(Limits { idle_time: SOON, ..Limits::default() }).await;
    let mut waiting = Peer::connect(server.address).await;
    waiting.send(WAIT).await;
    let mut pinging = Peer::connect(server.address).await;
    let closed = tokio::spawn(async move {
        loop {
            pinging.send_frame(0x89, b"").await;
            // The server's own pings may come before its pong.
            loop {
                match pinging.hear().await {
                    Heard::Close(code) => return code,
                    Heard::Ping => {}
                    _ => break,
                }
            }
            tokio::time::sleep(SOON / 10).await;
        }
    });
    assert_eq!(within("the close", closed).await.unwrap(), Some(1001), "pings are no calls");
    assert_eq!(server.budget.met(Limit::IdleTime), 1, "a call that waits is one");
    server.state.go_on.add_permits(1);
    assert!(waiting.receive().await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_messages_of_all_sessions_share_one_budget() {
    let each = 100_000;
    let server = Running::start(Limits { buffered_bytes: 450_000, ..Limits::default() }).await;
    let mut peers = Vec::new();
    for _ in 0..4 {
        let mut peer = Peer::connect(server.address).await;
        peer.0.write_all(&[head(0x81, each), MASK.to_vec(), vec![b'x'; 99_999]].concat()).await.unwrap();
        peers.push(peer);
    }
    until("four messages", || server.budget.bytes() > 4 * 90_000).await;
    let mut fifth = Peer::connect(server.address).await;
    fifth.0.write_all(&[head(0x81, each), MASK.to_vec(), vec![b'x'; 99_999]].concat()).await.unwrap();
    assert_eq!(fifth.closed().await, Some(1013));
    assert_eq!(server.budget.met(Limit::BufferedBytes), 1);
    assert_eq!(post(server.address, "", ENDED).await.0, 200, "small calls are served all the time");
    drop(peers);
    until("the end of all", || server.budget.bytes() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_replies_that_nobody_takes_share_it_too() {
    let server = Running::start(Limits { buffered_bytes: 20_000_000, ..Limits::default() }).await;
    let mut peer = Peer::connect(server.address).await;
    // The sockets' own buffers take some of the 40 MB.
    for _ in 0..40 {
        peer.send(WAIT).await;
    }
    server.state.begun(40).await;
    let mut unread = Peer::connect(server.address).await;
    let batch = format!("[{}]", vec![repeat(100_000); 5].join(","));
    for _ in 0..8 {
        unread.send(&batch).await;
    }
    until("a session at its limit", || server.budget.bytes() > 4_000_000).await;
    let mut others = Vec::new();
    let refused = loop {
        let mut other = Peer::connect(server.address).await;
        other.send(&batch).await;
        if server.budget.met(Limit::BufferedBytes) > 0 {
            break other.receive().await.unwrap();
        }
        assert!(others.len() < 20, "{}", server.budget);
        within("an answer", other.0.peek(&mut [0])).await.unwrap();
        others.push(other);
    };
    assert!(refused.contains("the limit buffered_bytes is 20000000"), "{}", &refused[refused.len() - 300..]);
    assert!(server.budget.bytes() <= 20_000_000);
    server.state.go_on.add_permits(40);
    for _ in 0..40 {
        assert!(peer.receive().await.unwrap().contains("result"), "short replies are free");
    }
    drop((unread, others));
    until("the end of all", || server.budget.bytes() == 0).await;
}

/// What is read pauses at `unsent_bytes`, so no more than the calls in flight then are added to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_reads_nothing_is_cut_off() {
    let limits = Limits { message_time: SOON, unsent_bytes: 10_000, ..Limits::default() };
    let server = Running::start(limits).await;
    let peer = Peer::connect(server.address).await;
    let (mut input, mut output) = peer.0.into_split();
    let requests = text_frame(&repeat(10_000)).repeat(1_000);
    // It keeps its side open: a peer that closes it has left.
    let sending = tokio::spawn(async move { output.write_all(&requests).await.map(|()| output) });
    until("the limit", || server.budget.met(Limit::MessageTime) > 0).await;
    let mut heard = Vec::new();
    let _ = within("the end", input.read_to_end(&mut heard)).await;
    assert!(heard.len() < 1_000 * 100_000, "{}", heard.len());
    let _ = within("the requests", sending).await;
    until("the end of all", || server.budget.bytes() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_is_answered_behind_calls_that_are_held_back() {
    let server = Running::start(Limits { calls_in_flight: 2, ..Limits::default() }).await;
    let mut peer = Peer::connect(server.address).await;
    for _ in 0..300 {
        peer.send(WAIT).await;
    }
    peer.send_frame(0x89, b"hello").await;
    assert_eq!(peer.hear().await, Heard::Pong(b"hello".to_vec()));
    assert_eq!(*server.state.begun.borrow(), 2);
    server.state.go_on.add_permits(300);
    for _ in 0..300 {
        assert!(peer.receive().await.is_some());
    }
    assert_eq!(server.budget.bytes(), 0);
}

/// Also at the limit of calls, where more of them are held back.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_leaves_cancels_its_calls() {
    let server = Running::start(Limits { calls_in_flight: 2, ..Limits::default() }).await;
    for goodbye in [frame(0x88, b"\x03\xe8"), vec![]] {
        for calls in [1, 2, 5] {
            let before = *server.state.begun.borrow();
            let mut peer = Peer::connect(server.address).await;
            for _ in 0..calls {
                peer.send(WAIT).await;
            }
            server.state.begun(before + calls.min(2)).await;
            peer.0.write_all(&goodbye).await.unwrap();
            drop(peer);
            until("no call in flight", || server.state.waiting.load(SeqCst) == 0).await;
        }
    }
}

/// Also while nothing of it is read, whatever it has sent before.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_leaves_while_reading_pauses_cancels_its_calls() {
    let server = Running::start(Limits { calls_in_flight: 2, ..Limits::default() }).await;
    let mut peer = Peer::connect(server.address).await;
    // More than what is held back and what the sockets keep.
    let requests = text_frame(&format!("{WAIT}{}", " ".repeat(20_000))).repeat(1_000);
    let sending = peer.0.write_all(&requests);
    let stalled = tokio::time::timeout(SOON, sending).await;
    assert!(stalled.is_err(), "the server reads all calls although it runs two");
    server.state.begun(2).await;
    drop(peer);
    until("no call in flight", || server.state.waiting.load(SeqCst) == 0).await;
    until("the end of all", || server.budget.bytes() == 0).await;
    assert_eq!(*server.state.begun.borrow(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_answers_no_ping_is_gone() {
    let limits = Limits { idle_time: SOON / 4, message_time: SOON, ..Limits::default() };
    let server = Running::start(limits).await;
    let mut alive = Peer::connect(server.address).await;
    alive.send(WAIT).await;
    let answering = tokio::spawn(async move {
        for _ in 0..20 {
            assert_eq!(alive.hear().await, Heard::Ping);
            alive.send_frame(0x8A, b"").await;
        }
        alive
    });
    let mut gone = Peer::connect(server.address).await;
    gone.send(WAIT).await;
    server.state.begun(2).await;
    assert_eq!(gone.closed().await, None);
    until("the end of its call", || server.state.waiting.load(SeqCst) == 1).await;
    let mut alive = within("twenty pings", answering).await.unwrap();
    server.state.go_on.add_permits(1);
    assert!(alive.receive().await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_server_refuses_new_calls_and_finishes_the_others() {
    let server = Running::start(Limits::default()).await;
    let mut peer = Peer::connect(server.address).await;
    peer.send(WAIT).await;
    server.state.begun(1).await;
    server.begin_stop();
    let refused = r#"{"jsonrpc":"2.0","id":1,"error":{"code":14,"message":"the server is shutting down","data":{"code":"UNAVAILABLE"}}}"#;
    let answer = loop {
        peer.send(ENDED).await;
        let answer = peer.receive().await;
        // What comes in at the moment of the stop may still run.
        if answer.as_deref() != Some(r#"{"jsonrpc":"2.0","id":1,"result":0}"#) {
            break answer;
        }
    };
    assert_eq!(answer.as_deref(), Some(refused));
    server.state.go_on.add_permits(1);
    assert_eq!(peer.receive().await.as_deref(), Some(r#"{"jsonrpc":"2.0","id":1,"result":1}"#));
    assert_eq!(peer.closed().await, Some(1001));
    drop(peer);
    server.stop().await;
}
