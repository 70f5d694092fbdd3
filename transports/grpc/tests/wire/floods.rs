//! Attacks on HTTP/2 by frames rather than calls. Each ends its connection or changes nothing.

use std::{collections::BTreeMap, time::Duration};

use everywire_core::{Limit, Limits};
use tokio::io::AsyncWriteExt;

use crate::{
    demo::{Running, within},
    peer::{
        CONTINUATION, DATA, END, ENHANCE_YOUR_CALM, Frame, GOAWAY, HEADERS, PING, Peer, REFUSED_STREAM, RST_STREAM,
        SETTINGS, block, call, frame, head, initial_window, request_block, streams, window_update,
    },
};

const ADD: &str = "/test.v1.Demo/Add";
const WAIT: &str = "/test.v1.Demo/Wait";
const MANY: usize = 20_000;

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const FRAME_SIZE_ERROR: u32 = 6;

#[tokio::test]
async fn floods_end_their_connection() {
    let server = Running::start().await;
    let more = frame(CONTINUATION, 0, 1, &block(&[("x-more", &"x".repeat(100))]).repeat(100));
    let no_end = frame(HEADERS, 0, 1, &request_block(ADD, "localhost"));
    let reset = |stream| [call(stream, WAIT, b""), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat();
    let made_to_reset = |stream| [head(stream, ADD), window_update(stream, 0x7fff_ffff)].concat();
    #[rustfmt::skip]
    let attacks: [(&str, Vec<u8>, &[u32]); 8] = [
        ("rapid reset (CVE-2023-44487)", streams(1_000).flat_map(reset).collect(), &[ENHANCE_YOUR_CALM]),
        ("made to reset (CVE-2025-8671)", streams(2_000).flat_map(made_to_reset).collect(), &[ENHANCE_YOUR_CALM]),
        ("continuations", [no_end.clone(), more.repeat(100)].concat(), &[PROTOCOL_ERROR, ENHANCE_YOUR_CALM]),
        ("empty continuations", [no_end, frame(CONTINUATION, 0, 1, b"").repeat(MANY)].concat(), &[PROTOCOL_ERROR, ENHANCE_YOUR_CALM]),
        ("small data", [head(1, ADD), frame(DATA, 0, 1, &[0]).repeat(600_000)].concat(), &[ENHANCE_YOUR_CALM]),
        ("a window beyond 2^31", window_update(0, 0x7fff_ffff), &[FLOW_CONTROL_ERROR]),
        ("settings of a window beyond 2^31", frame(SETTINGS, 0, 0, &initial_window(0x8000_0000)), &[FLOW_CONTROL_ERROR, PROTOCOL_ERROR]),
        ("a frame too large", [head(1, ADD), vec![0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1]].concat(), &[FRAME_SIZE_ERROR]),
    ];
    for (name, attack, codes) in attacks {
        let mut peer = Peer::connect(server.address).await;
        // If the socket has unread bytes, its reset may overtake the GOAWAY.
        let heard = peer.flood(&attack, |frame| frame.kind == GOAWAY).await;
        let away = heard.last().filter(|frame| frame.kind == GOAWAY);
        assert!(away.is_none_or(|away| codes.contains(&away.code())), "{name}: {away:?}");
        assert!(away.is_some() || attack.len() > 10_000, "{name}: {heard:?}");
        drop(peer);
        server.recovers().await;
    }
}

#[tokio::test]
async fn floods_that_are_answered_change_nothing() {
    let server = Running::start().await;
    let priority = frame(2, 0, 1, &[0, 0, 0, 0, 1]);
    let attacks = [
        ("pings", frame(PING, 0, 0, &[1; 8])),
        ("settings", frame(SETTINGS, 0, 0, &initial_window(1_000))),
        ("windows", [window_update(0, 1), frame(SETTINGS, 0, 0, b"")].concat()),
        ("priorities", [priority, window_update(0, 1)].concat()),
        ("unknown frames", frame(0x77, 0xff, 7, &[1; 100])),
    ];
    for (name, attack) in attacks {
        let mut peer = Peer::connect(server.address).await;
        let last = frame(PING, 0, 0, b"the last");
        let flood = [attack.repeat(MANY), last].concat();
        let heard = peer.flood(&flood, |frame| frame.kind == GOAWAY || frame.payload == b"the last").await;
        let last = heard.last().unwrap();
        assert!(last.kind == GOAWAY || last.is(PING, 0) && last.flags == END, "{name}: {last:?}");
        server.recovers().await;
    }
}

#[tokio::test]
async fn a_flood_of_streams_is_rejected() {
    const ALLOWED: usize = 10;
    let mut server =
        Running::within(Limits { calls_in_flight: ALLOWED - 3, waiting_calls: 3, ..Default::default() }).await;
    let mut peer = Peer::connect(server.address).await;
    let flood: Vec<u8> = streams(200).flat_map(|stream| call(stream, WAIT, b"")).collect();
    let last = |frame: &Frame| frame.is(RST_STREAM, 399) || frame.kind == GOAWAY;
    let heard = peer.flood(&flood, last).await;
    // Frames that arrive on a stream after its reset may be answered with another reset.
    let resets = heard.iter().filter(|frame| frame.kind == RST_STREAM).rev();
    let refused: BTreeMap<_, _> = resets.map(|frame| (frame.stream, frame.code())).collect();
    assert_eq!(refused.into_values().collect::<Vec<_>>(), [REFUSED_STREAM; 200 - ALLOWED]);
    for _ in 0..ALLOWED {
        assert_eq!(server.event().await, "waiting");
    }
    assert!(server.events.try_recv().is_err());
    drop(peer);
    for _ in 0..ALLOWED {
        assert_eq!(server.event().await, "ended");
    }
    server.recovers().await;
}

#[tokio::test]
async fn floods_of_a_peer_that_reads_nothing_are_not_read() {
    let limits = Limits { message_time: Duration::from_millis(200), ..Default::default() };
    let server = Running::within(limits).await;
    for flood in [frame(PING, 0, 0, &[1; 8]), frame(SETTINGS, 0, 0, b"")] {
        let mut peer = Peer::connect(server.address).await;
        let flood = flood.repeat(MANY);
        let mut sent = 0;
        while within(peer.stream.write_all(&flood)).await.is_ok() {
            sent += flood.len();
        }
        assert!(sent < 100 << 20, "{sent} bytes were taken");
        server.recovers().await;
    }
    assert!(server.budget.met(Limit::MessageTime) >= 2);
}
