//! ZMTP by hand: zerorpc and the locker.

use std::{
    io,
    time::{Duration, Instant},
};

use super::{
    End, IDLE, MESSAGE, MESSAGE_BYTES, Peer, SLACK, Said, Target, Wire, again, at_once, expect,
    http::{contains, count, lacking, text, unread},
};

const LAST: u8 = 0;
const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;
const UNFINISHED: usize = 48;
/// How long a peer asks that does not read.
const ASKING: Duration = Duration::from_secs(1);

/// A greeting and the head of a frame or command of 2^45 bytes, which once took a whole process down.
pub(super) fn the_73_bytes(target: &Target) -> Said {
    again(target, |_| {
        let said = [LONG, LONG | COMMAND].into_iter().map(|flags| {
            let input = [greeting().as_slice(), &long(flags, 1 << 45)].concat();
            assert_eq!(input.len(), 73);
            closed(&mut target.connect(0)?, &input)
        });
        Ok(said.collect::<io::Result<Vec<_>>>()?.join(", "))
    })
}

pub(super) fn lengths(target: &Target) -> Said {
    again(target, |_| {
        let said = [1 << 31, 1 << 45, u64::MAX].into_iter().map(|length| {
            let mut peer = target.connect(0)?;
            open(target, &mut peer)?;
            closed(&mut peer, &long(LONG, length))
        });
        Ok(said.collect::<io::Result<Vec<_>>>()?.join(", "))
    })
}

/// An array, a string and a map that announce more than there is.
pub(super) fn msgpack_lengths(target: &Target) -> Said {
    let arguments: [&[u8]; 3] = [b"\xdd\xff\xff\xff\xff", b"\x91\xdb\x80\0\0\0", b"\xdf\xff\xff\xff\xff"];
    again(target, |_| {
        let said = arguments.into_iter().map(|arguments| error(target, &mut target.connect(0)?, b"\xa3add", arguments));
        Ok(said.collect::<io::Result<Vec<_>>>()?.join(", "))
    })
}

pub(super) fn nestings(target: &Target) -> Said {
    let arguments = [vec![0x91; 20_000], vec![0xC0]].concat();
    again(target, |peer| error(target, peer, b"\xa3add", &arguments))
}

pub(super) fn invalid_utf8(target: &Target) -> Said {
    again(target, |_| {
        let events: [(&[u8], &[u8]); 2] = [(b"\xa3\xff\xff\xff", b"\x90"), (b"\xaalock_state", b"\x91\xa1\xff")];
        let said = events.into_iter().map(|(name, arguments)| error(target, &mut target.connect(0)?, name, arguments));
        Ok(said.collect::<io::Result<Vec<_>>>()?.join(", "))
    })
}

pub(super) fn pipelined(target: &Target) -> Said {
    let requests = request(target).repeat(1_000);
    // Each answer begins with the delimiter; nothing else in it does.
    let answer: &[u8] = if target.wire == Wire::Locker { b"\x01\0\0" } else { b"\xa2OK\x91\x07" };
    again(target, |peer| {
        open(target, peer)?;
        peer.heard.clear();
        peer.send(&requests)?;
        peer.hear(MESSAGE + SLACK, |heard| count(heard, answer) == 1_000)?;
        let answers = count(&peer.heard, answer);
        expect(answers == 1_000, || format!("{answers} answers"))?;
        Ok("1000 answers".to_owned())
    })
}

/// 10,000 pings a connection, all at once; the answers are read.
pub(super) fn ping_flood(target: &Target) -> Said {
    const PINGS: usize = 10_000;
    let pings = b"\x04\x07\x04PING\0\0".repeat(PINGS);
    again(target, |peer| {
        open(target, peer)?;
        peer.heard.clear();
        peer.send(&pings)?;
        let end = peer.hear(MESSAGE + SLACK, |heard| heard.len() >= PINGS * b"\x04\x05\x04PONG".len())?;
        let answers = count(&peer.heard, b"\x04PONG");
        expect(end == End::Closed || answers == PINGS, || format!("{answers} pongs for {PINGS} pings"))?;
        Ok(if end == End::Closed { "closed".to_owned() } else { format!("{answers} pongs") })
    })
}

pub(super) fn unfinished(target: &Target) -> Said {
    let head = [&[MORE, 0], long(LONG, MESSAGE_BYTES as u64).as_slice()].concat();
    at_once(target, UNFINISHED, |peer| {
        open(target, peer)?;
        lacking(peer, &head, MESSAGE_BYTES, MESSAGE)
    })
}

pub(super) fn never_reads(target: &Target) -> Said {
    // 100,000 as MessagePack.
    let requests = message(&event(b"\xa8next_ids", b"\x91\xce\0\x01\x86\xa0")).repeat(10);
    unread(target, 10, |peer| peer.send(&[hello(target), requests.clone()].concat()).map(drop))
}

/// Words are short, so it takes many until the server can write no more.
pub(super) fn never_reads_words(target: &Target) -> Said {
    let requests = request(target).repeat(10_000);
    let mut peer = target.connect_unread(0)?;
    peer.send(&hello(target))?;
    let (begun, mut asked) = (Instant::now(), 0);
    while begun.elapsed() < ASKING && peer.send(&requests)? {
        asked += 10_000;
    }
    // A server without optimization answers for much longer than the requests took to send. The kernel may have room for
    // the last of the replies, and then the connection is idle.
    target.given_up(15 * ASKING + IDLE).map(|said| format!("{said}, {asked} requests sent"))
}

/// What a client says first: greeting and READY.
pub(super) fn hello(target: &Target) -> Vec<u8> {
    let ready: &[u8] = match target.wire {
        Wire::Locker => b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03REQ",
        _ => b"\x04\x1c\x05READY\x0bSocket-Type\0\0\0\x06DEALER",
    };
    [greeting().as_slice(), ready].concat()
}

fn greeting() -> [u8; 64] {
    let mut greeting = [0; 64];
    greeting[..16].copy_from_slice(b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL");
    greeting
}

/// Shakes hands.
pub(super) fn open(target: &Target, peer: &mut Peer) -> io::Result<()> {
    peer.send(&hello(target))?;
    // The server's READY is a short command after its greeting.
    let end = peer.hear(SLACK, |heard| heard.get(65).is_some_and(|length| heard.len() >= 66 + usize::from(*length)))?;
    expect(end == End::Heard, || format!("no handshake: {end:?}"))
}

/// Sends bytes after which the server has to close at once.
fn closed(peer: &mut Peer, bytes: &[u8]) -> Said {
    peer.send(bytes)?;
    peer.closed(Duration::ZERO)
}

/// A call of zerorpc that has to be answered with an error.
fn error(target: &Target, peer: &mut Peer, name: &[u8], arguments: &[u8]) -> Said {
    open(target, peer)?;
    peer.heard.clear();
    peer.send(&message(&event(name, arguments)))?;
    let names = ["ParseError", "TypeError", "NameError"];
    let said = |heard: &[u8]| names.into_iter().find(|name| contains(heard, name.as_bytes()));
    let end = peer.hear(SLACK, |heard| said(heard).is_some())?;
    let name = said(&peer.heard).ok_or_else(|| io::Error::other(format!("{end:?}: {}", text(&peer.heard))))?;
    Ok(name.to_owned())
}

/// A call that is in order.
fn request(target: &Target) -> Vec<u8> {
    match target.wire {
        Wire::Locker => message(b"let me go"),
        _ => message(&event(b"\xa3add", b"\x92\x03\x04")),
    }
}

/// An event of zerorpc.
fn event(name: &[u8], arguments: &[u8]) -> Vec<u8> {
    let header = b"\x93\x82\xaamessage_id\xc4\x20000102030405060708090a0b0c0d0e0f\xa1v\x03";
    [header.as_slice(), name, arguments].concat()
}

/// A call of `ids` in a channel of its own.
pub(super) fn stream(number: u32, arguments: &[u8]) -> Vec<u8> {
    let id = format!("{number:032x}");
    let parts: [&[u8]; 4] = [b"\x93\x82\xaamessage_id\xc4\x20", id.as_bytes(), b"\xa1v\x03\xa3ids", arguments];
    message(&parts.concat())
}

/// A message: delimiter and body.
pub(super) fn message(body: &[u8]) -> Vec<u8> {
    let head = match u8::try_from(body.len()) {
        Ok(length) => vec![LAST, length],
        Err(_) => long(LONG, body.len() as u64),
    };
    [&[MORE, 0], head.as_slice(), body].concat()
}

fn long(flags: u8, length: u64) -> Vec<u8> {
    [&[flags], length.to_be_bytes().as_slice()].concat()
}
