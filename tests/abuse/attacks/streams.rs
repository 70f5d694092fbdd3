//! Streams that nobody reads, and streams without end.

use super::{
    MESSAGE, SLACK, Said, Target, Wire, again, expect,
    http::{self, LONG_REPLIES, contains, count, json, post, text},
    http2, websocket, zmtp,
};

/// The streams of one connection.
const STREAMS: u32 = 200;

/// A billion ids, as the request of gRPC has it.
const BILLION: &[u8] = b"\x08\x80\x94\xeb\xdc\x03";

/// Opens streams over HTTP and asks for none of their items.
pub(super) fn tokens(target: &Target) -> Said {
    let request = match target.wire {
        Wire::Xmlrpc => http::method_call("watch_lock", "abused"),
        _ => json("watch_lock", r#"["abused"]"#),
    };
    let request = post(target, request.as_bytes());
    again(target, |peer| {
        for _ in 0..STREAMS {
            peer.heard.clear();
            peer.send(&request)?;
            // Once too many are open, the answer is an error.
            let answers: [&[u8]; 2] = [b"finished", b"RESOURCE_EXHAUSTED"];
            let is_answered = |heard: &[u8]| answers.iter().any(|answer| contains(heard, answer));
            let end = peer.hear(MESSAGE + SLACK, is_answered)?;
            expect(is_answered(&peer.heard), || format!("no answer: {end:?}: {}", text(&peer.heard)))?;
        }
        Ok(format!("{STREAMS} answers"))
    })
}

/// Subscribes to streams without end and reads nothing.
pub(super) fn subscriptions(target: &Target) -> Said {
    let subscribe = websocket::frame(0x81, json("subscribe_ids", "[1000000000]").as_bytes()).repeat(20);
    http::unread(target, 10, |peer| {
        peer.send(&[websocket::handshake(&target.address.to_string()).as_bytes(), &subscribe].concat()).map(drop)
    })
}

/// Opens streams without end over gRPC, hears the beginning, and resets them.
pub(super) fn resets(target: &Target) -> Said {
    again(target, |peer| {
        peer.send(&http2::hello())?;
        for some in (0..STREAMS).collect::<Vec<_>>().chunks(20) {
            let numbers = || some.iter().map(|number| 2 * number + 1);
            peer.heard.clear();
            peer.send(&numbers().flat_map(|stream| http2::request(stream, IDS, BILLION)).collect::<Vec<_>>())?;
            peer.hear(SLACK, |heard| heard.len() > 10_000 || http2::went_away(heard).is_some())?;
            if let Some(code) = http2::went_away(&peer.heard) {
                return Ok(code.to_owned());
            }
            peer.send(&numbers().flat_map(http2::reset).collect::<Vec<_>>())?;
        }
        Ok(format!("{STREAMS} streams"))
    })
}

const IDS: &str = "/everywire.v1.Toolkit/Ids";

/// Opens streams without end over zerorpc and grants no credit beyond the first item.
pub(super) fn no_credit(target: &Target) -> Said {
    let requests: Vec<u8> = (0..STREAMS).flat_map(|number| zmtp::stream(number, b"\x91\xce\x3b\x9a\xca\x00")).collect();
    again(target, |peer| {
        zmtp::open(target, peer)?;
        peer.heard.clear();
        peer.send(&requests)?;
        let items = |heard: &[u8]| count(heard, b"\xa6STREAM");
        peer.hear(LONG_REPLIES + MESSAGE, |heard| items(heard) >= STREAMS as usize)?;
        let items = items(&peer.heard);
        expect(items == STREAMS as usize, || format!("{items} items of {STREAMS} streams"))?;
        Ok(format!("{items} items"))
    })
}
