//! HTTP/1 by hand: XML-RPC and JSON-RPC.

use std::{
    io::{self, Write},
    thread,
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};

use super::{IDLE, MESSAGE, MESSAGE_BYTES, Peer, SLACK, Said, Target, Wire, again, at_once, expect};

/// Bodies that lack a byte, each of the longest length.
const UNFINISHED: usize = 40;
/// They are sent in such pieces with such pauses, so that all together are no more than memory can copy.
const PIECE: usize = 64 << 10;
const PIECE_PAUSE: Duration = Duration::from_millis(10);

pub(super) fn two_gib(target: &Target) -> Said {
    again(target, |peer| refused(peer, head(target, 2 << 30).as_bytes(), &[413]))
}

pub(super) fn lengths(target: &Target) -> Said {
    let chunked = head_with(target, "Transfer-Encoding: chunked");
    let requests = [
        (head(target, 1 << 31), 413),
        (head(target, 1 << 45), 413),
        // The chunk is never reserved, only waited for. A number that hyper can't hold is a head that is too long to it.
        (head(target, u64::MAX), 431),
        (format!("{chunked}{:x}\r\n", u64::MAX), 408),
    ];
    again(target, |_| {
        let said = requests.iter().enumerate().map(|(number, (request, status))| {
            let said = refused(&mut target.connect(number)?, request.as_bytes(), &[*status, 413]);
            said.map_err(|error| io::Error::other(format!("length {}: {error}", number + 1)))
        });
        Ok(said.collect::<io::Result<Vec<_>>>()?.join(", "))
    })
}

/// A head that never ends, of one long line or of many lines.
pub(super) fn endless_head(target: &Target) -> Said {
    again(target, |_| {
        let said = ["x".repeat(2 << 20), "X-Line: x\r\n".repeat(100_000)].into_iter().map(|text| {
            let request = format!("POST / HTTP/1.1\r\nHost: {}\r\nX-Long: {text}", target.address);
            refused(&mut target.connect(0)?, request.as_bytes(), &[431, 400])
        });
        Ok(said.collect::<io::Result<Vec<_>>>()?.join(", "))
    })
}

pub(super) fn entity_bomb(target: &Target) -> Said {
    let entity = |n: u32| format!(r#"<!ENTITY e{n} "{}">"#, format!("&e{};", n - 1).repeat(10));
    let entities = (1..20).map(entity).collect::<Vec<_>>().concat();
    let text = format!(r#"<!DOCTYPE x [<!ENTITY e0 "lol">{entities}]>{}"#, add("<string>&e19;</string>"));
    again(target, |peer| fault(peer, &post(target, text.as_bytes()), &["-32700"]))
}

pub(super) fn external_entity(target: &Target) -> Said {
    let text = format!(r#"<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>{}"#, add("<string>&e;</string>"));
    again(target, |peer| {
        let said = fault(peer, &post(target, text.as_bytes()), &["-32700"])?;
        expect(!contains(&peer.heard, b"root:"), || "the file itself".to_owned()).map(|()| said)
    })
}

pub(super) fn nestings(target: &Target) -> Said {
    let body = match target.wire {
        Wire::Xmlrpc => add(&format!("{}{}", nested("<array><data><value>"), nested("</value></data></array>"))),
        _ => json("add", &format!("[{}{}]", nested("["), nested("]"))),
    };
    again(target, |peer| fault(peer, &post(target, body.as_bytes()), &["-32700", "-32602", "the limit depth is"]))
}

/// `text` 20,000 times.
pub(super) fn nested(text: &str) -> String {
    text.repeat(20_000)
}

pub(super) fn invalid_utf8(target: &Target) -> Said {
    let (body, codes): (_, &[&str]) = match target.wire {
        Wire::Xmlrpc => (add("<string>\u{1}</string>"), &["-32702", "-32701", "-32700"]),
        _ => (json("add", "[\"\u{1}\", 1]"), &["-32700", "-32600"]),
    };
    let body: Vec<u8> = body.bytes().map(|byte| if byte == 1 { 0xFF } else { byte }).collect();
    again(target, |peer| fault(peer, &post(target, &body), codes))
}

/// 1 GiB of zeros in 1 MiB.
pub(super) fn gzip_bomb(target: &Target) -> Said {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![0; 1 << 20])?;
    // A GiB, as members one behind the other (RFC 1952, section 2.2).
    let bomb = encoder.finish()?.repeat(1 << 10);
    let head = head_with(target, &format!("Content-Encoding: gzip\r\nContent-Length: {}", bomb.len()));
    let request = [head.as_bytes(), &bomb].concat();
    again(target, |peer| refused(peer, &request, &[413]))
}

/// What a browser sends for a page of `evil.example` after that name was bound to this address.
pub(super) fn rebinding(target: &Target) -> Said {
    let body = call(target, "add", "3, 4");
    again(target, |peer| {
        let request = format!(
            "POST / HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\nContent-Type: {}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            content_type(target),
            body.len()
        );
        refused(peer, request.as_bytes(), &[403])
    })
}

pub(super) fn batch(target: &Target) -> Said {
    let calls = 100_000;
    let body = match target.wire {
        Wire::Xmlrpc => {
            let calls = format!("<array><data>{}</data></array>", "<value><struct></struct></value>".repeat(calls));
            method_call("system.multicall", &calls)
        }
        _ => format!("[{}]", vec![json("add", "[3, 4]"); calls].join(",")),
    };
    assert!(body.len() < MESSAGE_BYTES, "short enough to be read");
    again(target, |peer| fault(peer, &post(target, body.as_bytes()), &["the limit batch_calls is"]))
}

pub(super) fn pipelined(target: &Target) -> Said {
    let requests = post(target, call(target, "add", "3, 4").as_bytes()).repeat(1_000);
    again(target, |peer| {
        peer.send(&requests)?;
        let answers = |heard: &[u8]| count(heard, b"HTTP/1.1 200 OK");
        peer.hear(MESSAGE + SLACK, |heard| answers(heard) == 1_000 && heard.ends_with(end(target)))?;
        expect(answers(&peer.heard) == 1_000, || format!("{} answers", answers(&peer.heard)))?;
        Ok("1000 answers".to_owned())
    })
}

pub(super) fn unfinished(target: &Target) -> Said {
    let head = head(target, MESSAGE_BYTES as u64).into_bytes();
    at_once(target, UNFINISHED, |peer| lacking(peer, &head, MESSAGE_BYTES, MESSAGE))
}

/// Sends `head` and a body of `length` bytes but the last. The server has to end the connection within `time`.
pub(super) fn lacking(peer: &mut Peer, head: &[u8], length: usize, time: Duration) -> Said {
    let (piece, mut left, mut open) = (vec![b'{'; PIECE], length - 1, peer.send(head)?);
    while left > 0 && open {
        let next = left.min(PIECE);
        open = peer.send(&piece[..next])?;
        left -= next;
        thread::sleep(PIECE_PAUSE);
    }
    peer.closed(time).map(|_| status(&peer.heard).map_or_else(|| "closed".to_owned(), |status| status.to_string()))
}

pub(super) fn never_reads(target: &Target) -> Said {
    const CONNECTIONS: usize = 50;
    // Without optimization the server would write a tenth of a second at one, so there are more and shorter ones.
    let (ids, times) = if cfg!(debug_assertions) { ("10000", 20) } else { ("100000", 2) };
    let request = post(target, call(target, "next_ids", ids).as_bytes()).repeat(times);
    unread(target, CONNECTIONS, |peer| peer.send(&request).map(drop))
}

/// The time that the server takes to make the ids of 100 long replies: 10 million at 4,096 a millisecond.
pub(super) const LONG_REPLIES: Duration = Duration::from_millis(2_500);

/// Asks on so many connections for long replies and reads nothing of them. Without optimization the server would be busy
/// with making them, so only one connection asks.
pub(super) fn unread(target: &Target, connections: usize, ask: impl Fn(&mut Peer) -> io::Result<()>) -> Said {
    let connections = if cfg!(debug_assertions) { 1 } else { connections };
    let mut peers = (0..connections).map(|number| target.connect_unread(number)).collect::<io::Result<Vec<_>>>()?;
    for peer in &mut peers {
        ask(peer)?;
    }
    // The kernel may have room for the last of the replies, and then their connections are idle.
    target.given_up(LONG_REPLIES + IDLE)
}

/// Sends a request; its answer must have one of these statuses, or the connection must close if 400 is among them.
fn refused(peer: &mut Peer, request: &[u8], statuses: &[u16]) -> Said {
    peer.send(request)?;
    let end = peer.hear(MESSAGE + SLACK, |heard| status(heard).is_some())?;
    match status(&peer.heard) {
        Some(status) if statuses.contains(&status) => Ok(status.to_string()),
        Some(status) => Err(io::Error::other(format!("{status}: {}", text(&peer.heard)))),
        None => Err(io::Error::other(format!("no answer: {end:?}"))),
    }
}

/// Sends a request; its answer must be a fault or error with one of these codes.
fn fault(peer: &mut Peer, request: &[u8], codes: &[&str]) -> Said {
    peer.send(request)?;
    let said = |heard: &[u8]| codes.iter().copied().find(|code| contains(heard, code.as_bytes()));
    let end = peer.hear(MESSAGE + SLACK, |heard| said(heard).is_some())?;
    let code = said(&peer.heard).ok_or_else(|| io::Error::other(format!("{end:?}: {}", text(&peer.heard))))?;
    Ok(format!("fault {code}"))
}

pub(super) fn status(heard: &[u8]) -> Option<u16> {
    let line = heard.strip_prefix(b"HTTP/1.1 ")?;
    str::from_utf8(line.get(..3)?).ok()?.parse().ok()
}

/// The beginning, for a message.
pub(super) fn text(heard: &[u8]) -> String {
    String::from_utf8_lossy(&heard[..heard.len().min(400)]).escape_debug().to_string()
}

pub(super) fn contains(heard: &[u8], part: &[u8]) -> bool {
    heard.windows(part.len()).any(|window| window == part)
}

pub(super) fn count(heard: &[u8], part: &[u8]) -> usize {
    heard.windows(part.len()).filter(|window| *window == part).count()
}

/// What follows `part`.
pub(super) fn after<'a>(heard: &'a [u8], part: &[u8]) -> Option<&'a [u8]> {
    heard.windows(part.len()).position(|window| window == part).map(|at| &heard[at + part.len()..])
}

fn content_type(target: &Target) -> &'static str {
    if target.wire == Wire::Xmlrpc { "text/xml" } else { "application/json" }
}

fn head_with(target: &Target, lines: &str) -> String {
    let content_type = content_type(target);
    format!("POST / HTTP/1.1\r\nHost: {}\r\nContent-Type: {content_type}\r\n{lines}\r\n\r\n", target.address)
}

/// The head of a request with a body of `length` bytes.
pub(super) fn head(target: &Target, length: u64) -> String {
    head_with(target, &format!("Content-Length: {length}"))
}

/// A request.
pub(super) fn post(target: &Target, body: &[u8]) -> Vec<u8> {
    [head(target, body.len() as u64).as_bytes(), body].concat()
}

/// A call with integers as arguments.
pub(super) fn call(target: &Target, method: &str, arguments: &str) -> String {
    match target.wire {
        Wire::Xmlrpc => {
            let parameters: Vec<_> = arguments.split(", ").map(|number| format!("<int>{number}</int>")).collect();
            method_call(method, &parameters.join("</value></param><param><value>"))
        }
        _ => json(method, &format!("[{arguments}]")),
    }
}

/// How an answer to `add` ends.
fn end(target: &Target) -> &'static [u8] {
    if target.wire == Wire::Xmlrpc { b"</methodResponse>" } else { b"}" }
}

pub(super) fn json(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
}

/// `add` with one argument.
fn add(value: &str) -> String {
    method_call("add", value)
}

pub(super) fn method_call(method: &str, value: &str) -> String {
    format!(
        "<methodCall><methodName>{method}</methodName><params><param><value>{value}</value></param></params></methodCall>"
    )
}
