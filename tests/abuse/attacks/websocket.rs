//! WebSocket by hand (RFC 6455): JSON-RPC.

use std::{io, time::Duration};

use super::{
    End, MESSAGE, MESSAGE_BYTES, Peer, SLACK, Said, Target, again, at_once, expect,
    http::{contains, count, json, lacking, nested, status, text, unread},
};

const TEXT: u8 = 0x81;
const PING: u8 = 0x89;
/// Says that the frame is compressed.
const COMPRESSED: u8 = 0x40;
const UNFINISHED: usize = 48;

pub(super) fn lengths(target: &Target) -> Said {
    again(target, |_| {
        let said = [1 << 31, 1 << 45, u64::MAX].into_iter().map(|length| ended(&mut open(target, 0)?, &long(length)));
        Ok(said.collect::<io::Result<Vec<_>>>()?.join(", "))
    })
}

pub(super) fn one_gib(target: &Target) -> Said {
    again(target, |peer| {
        upgrade(target, peer)?;
        ended(peer, &[long(1 << 30).as_slice(), &[b' '; 1_000]].concat())
    })
}

pub(super) fn nestings(target: &Target) -> Said {
    let text = json("add", &format!("[{}{}]", nested("["), nested("]")));
    again(target, |peer| answered(target, peer, text.as_bytes(), &["the limit depth is"]))
}

pub(super) fn invalid_utf8(target: &Target) -> Said {
    again(target, |peer| {
        answered(target, peer, b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}", &["-32700", "-32600"])
    })
}

pub(super) fn compressed(target: &Target) -> Said {
    again(target, |peer| {
        upgrade(target, peer)?;
        let mut frame = frame(TEXT, b"\xaa\x00\x00");
        frame[0] |= COMPRESSED;
        ended(peer, &frame)
    })
}

pub(super) fn batch(target: &Target) -> Said {
    let text = format!("[{}]", vec![json("add", "[3, 4]"); 100_000].join(","));
    again(target, |peer| answered(target, peer, text.as_bytes(), &["the limit batch_calls is"]))
}

pub(super) fn rebinding(target: &Target) -> Said {
    again(target, |peer| {
        peer.send(handshake("evil.example").as_bytes())?;
        peer.hear(SLACK, |heard| status(heard).is_some())?;
        let status = status(&peer.heard);
        expect(status == Some(403), || format!("{status:?}")).map(|()| "403".to_owned())
    })
}

pub(super) fn pipelined(target: &Target) -> Said {
    let requests = frame(TEXT, json("add", "[3, 4]").as_bytes()).repeat(1_000);
    again(target, |peer| {
        upgrade(target, peer)?;
        peer.send(&requests)?;
        let answers = |heard: &[u8]| count(heard, br#""result":7}"#);
        peer.hear(MESSAGE + SLACK, |heard| answers(heard) == 1_000)?;
        expect(answers(&peer.heard) == 1_000, || format!("{} answers", answers(&peer.heard)))?;
        Ok("1000 answers".to_owned())
    })
}

/// 10,000 pings a connection, all at once; the answers are read.
pub(super) fn ping_flood(target: &Target) -> Said {
    const PINGS: usize = 10_000;
    let pings = frame(PING, b"").repeat(PINGS);
    again(target, |peer| {
        upgrade(target, peer)?;
        peer.heard.clear();
        peer.send(&pings)?;
        let end = peer.hear(MESSAGE + SLACK, |heard| heard.len() >= 2 * PINGS)?;
        let answers = count(&peer.heard, b"\x8a\0");
        expect(end == End::Closed || answers == PINGS, || format!("{answers} pongs for {PINGS} pings"))?;
        Ok(if end == End::Closed { "closed".to_owned() } else { format!("{answers} pongs") })
    })
}

pub(super) fn unfinished(target: &Target) -> Said {
    at_once(target, UNFINISHED, |peer| {
        upgrade(target, peer)?;
        peer.heard.clear();
        lacking(peer, &long(MESSAGE_BYTES as u64), MESSAGE_BYTES, MESSAGE)
    })
}

pub(super) fn never_reads(target: &Target) -> Said {
    let requests = frame(TEXT, json("next_ids", "[100000]").as_bytes()).repeat(10);
    unread(target, 10, |peer| {
        peer.send(handshake(&target.address.to_string()).as_bytes())?;
        // The handshake takes no more bytes than the kernel has room for.
        std::thread::sleep(Duration::from_millis(20));
        peer.send(&requests).map(drop)
    })
}

/// The request that opens a session, from a page of `host` itself.
pub(super) fn handshake(host: &str) -> String {
    format!(
        "GET / HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// An open session.
fn open(target: &Target, number: usize) -> io::Result<Peer> {
    let mut peer = target.connect(number)?;
    upgrade(target, &mut peer)?;
    Ok(peer)
}

fn upgrade(target: &Target, peer: &mut Peer) -> io::Result<()> {
    peer.send(handshake(&target.address.to_string()).as_bytes())?;
    let end = peer.hear(MESSAGE + SLACK, |heard| heard.ends_with(b"\r\n\r\n"))?;
    expect(status(&peer.heard) == Some(101), || format!("{end:?}: {}", text(&peer.heard)))
}

/// Sends bytes after which the server has to close, best with a frame that says why, or refuse with an error.
fn ended(peer: &mut Peer, bytes: &[u8]) -> Said {
    peer.heard.clear();
    peer.send(bytes)?;
    let end = peer.hear(SLACK, |heard| contains(heard, b"-32007") || contains(heard, b"-32700"))?;
    expect(end != End::Silent, || "still open".to_owned())?;
    Ok(match *peer.heard {
        [0x88, _, high, low, ..] => format!("close {}", u16::from_be_bytes([high, low])),
        _ if end == End::Heard => "error -32007".to_owned(),
        _ => "closed".to_owned(),
    })
}

/// Sends a text that has to be answered with one of these errors, or with the end of the session.
fn answered(target: &Target, peer: &mut Peer, text: &[u8], codes: &[&str]) -> Said {
    upgrade(target, peer)?;
    peer.heard.clear();
    peer.send(&frame(TEXT, text))?;
    let said = |heard: &[u8]| codes.iter().copied().find(|code| contains(heard, code.as_bytes()));
    let end = peer.hear(MESSAGE + SLACK, |heard| said(heard).is_some())?;
    let said = said(&peer.heard);
    expect(said.is_some() || end == End::Closed, || format!("{end:?}: {}", self::text(&peer.heard)))?;
    Ok(said.map_or_else(|| "closed".to_owned(), |code| format!("error {code}")))
}

/// A whole frame. A mask of zeros leaves its bytes as they are.
pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = match payload.len() {
        length @ ..126 => vec![first, 0x80 | u8::try_from(length).expect("short")],
        length => [&[first, 0xFF], (length as u64).to_be_bytes().as_slice()].concat(),
    };
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// The beginning of a text of `length` bytes.
fn long(length: u64) -> Vec<u8> {
    [&[TEXT, 0xFF], length.to_be_bytes().as_slice(), &[0; 4]].concat()
}
