//! HTTP/2 by hand (RFC 9113): gRPC.

mod flow;
mod frames;

use std::{
    collections::HashMap,
    io,
    time::{Duration, Instant},
};

use super::{
    End, MESSAGE, MESSAGE_BYTES, Peer, SLACK, Said, Target, again, expect,
    http::{LONG_REPLIES, unread},
};
use flow::Flow;
pub(super) use frames::{ADD, data, headers, hello, is_refusal, request, reset, unended_headers, went_away};
use frames::{
    CONTINUATION, DATA, END, FRAME_BYTES, Frame, GOAWAY, HEAD_BYTES, INITIAL_WINDOW, PING, PREFACE, SETTINGS,
    WINDOW_UPDATE, frame, frames, header, message, streams,
};

const FLOOD: u32 = 10_000;

/// Messages that announce so many bytes; the prefix has no room for more.
pub(super) fn lengths(target: &Target) -> Said {
    again(target, |_| {
        let said = [1_u32 << 31, u32::MAX].into_iter().map(|length| {
            let message = [&[0], length.to_be_bytes().as_slice()].concat();
            status(&mut target.connect(0)?, "Add", &message, &[8])
        });
        Ok(said.collect::<io::Result<Vec<_>>>()?.join(", "))
    })
}

pub(super) fn frame_length(target: &Target) -> Said {
    let request = [hello(), headers(1, ADD), vec![0xFF, 0xFF, 0xFF, DATA, 0, 0, 0, 0, 1]].concat();
    again(target, |peer| goes_away(peer, &request, &[6]))
}

/// Groups within groups, which proto3 does not have.
pub(super) fn nestings(target: &Target) -> Said {
    again(target, |peer| status(peer, "Add", &message(&vec![0x0B; 20_000]), &[3]))
}

pub(super) fn invalid_utf8(target: &Target) -> Said {
    again(target, |peer| status(peer, "LockState", &message(b"\x0a\x01\xff"), &[3]))
}

pub(super) fn compressed(target: &Target) -> Said {
    // Nothing says how it is compressed.
    again(target, |peer| status(peer, "Add", &[1, 0, 0, 0, 1, 0], &[13]))
}

pub(super) fn pipelined(target: &Target) -> Said {
    let requests = streams(1_000).flat_map(|stream| request(stream, ADD, b"\x08\x03\x10\x04"));
    let requests: Vec<u8> = hello().into_iter().chain(requests).collect();
    again(target, |peer| {
        peer.send(&requests)?;
        let ended = |heard: &[u8]| frames(heard).filter(Frame::ends_stream).count();
        peer.hear(MESSAGE + SLACK, |heard| ended(heard) == 1_000 || went_away(heard).is_some())?;
        let refused = frames(&peer.heard).filter(Frame::is_refused).count();
        let answered = ended(&peer.heard) - refused;
        // Data that is already on its way for a refused call is a reason to go away for h2.
        if let Some(code) = went_away(&peer.heard) {
            return Ok(format!("{answered} answers, {refused} refused, {code}"));
        }
        expect(answered + refused == 1_000, || format!("{answered} answers and {refused} refused"))?;
        Ok(format!("{answered} answers, {refused} refused"))
    })
}

/// More streams than the server allows, none of which ends.
pub(super) fn open_streams(target: &Target) -> Said {
    const ALLOWED: usize = 256 + 1_024;
    const OPENED: u32 = 2_000;
    let requests: Vec<u8> =
        hello().into_iter().chain(streams(OPENED).flat_map(|stream| headers(stream, ADD))).collect();
    again(target, |peer| {
        peer.send(&requests)?;
        let refused = |heard: &[u8]| frames(heard).filter(Frame::is_refused).count();
        let end =
            peer.hear(SLACK, |heard| refused(heard) == OPENED as usize - ALLOWED || went_away(heard).is_some())?;
        if let Some(code) = went_away(&peer.heard) {
            return Ok(code.to_owned());
        }
        let refused = refused(&peer.heard);
        expect(end == End::Heard, || format!("{refused} refused: {end:?}"))?;
        Ok(format!("{refused} times REFUSED_STREAM"))
    })
}

pub(super) fn rapid_reset(target: &Target) -> Said {
    let resets = streams(FLOOD / 10).flat_map(|stream| [headers(stream, ADD), reset(stream)].concat());
    let resets: Vec<u8> = hello().into_iter().chain(resets).collect();
    again(target, |peer| goes_away(peer, &resets, &[11]))
}

pub(super) fn continuation_flood(target: &Target) -> Said {
    let more = frame(CONTINUATION, 0, 1, &header("x-more", &"x".repeat(100)).repeat(30));
    let flood = [hello(), unended_headers(1), more.repeat(1_000)].concat();
    again(target, |peer| goes_away(peer, &flood, &[1, 11]))
}

pub(super) fn ping_flood(target: &Target) -> Said {
    acknowledged(target, PING, &[0; 8])
}

pub(super) fn settings_flood(target: &Target) -> Said {
    acknowledged(target, SETTINGS, b"")
}

/// A flood of frames that each want an acknowledgement. They are read.
fn acknowledged(target: &Target, kind: u8, payload: &[u8]) -> Said {
    let flood = [hello(), frame(kind, 0, 0, payload).repeat(FLOOD as usize)].concat();
    let wanted = FLOOD as usize + usize::from(kind == SETTINGS);
    again(target, |peer| {
        peer.send(&flood)?;
        let acknowledged =
            |heard: &[u8]| frames(heard).filter(|frame| frame.kind == kind && frame.flags == END).count();
        let enough = wanted * (HEAD_BYTES + payload.len());
        let end = peer.hear(MESSAGE + SLACK, |heard| {
            went_away(heard).is_some() || heard.len() >= enough && acknowledged(heard) == wanted
        })?;
        match went_away(&peer.heard) {
            Some(code) => Ok(code.to_owned()),
            None if end == End::Closed => Ok("closed".to_owned()),
            None => {
                let acknowledged = acknowledged(&peer.heard);
                expect(end == End::Heard, || format!("{acknowledged} of {wanted} acknowledged"))?;
                Ok(format!("{acknowledged} acknowledged"))
            }
        }
    })
}

/// A hundred calls on one connection, each with all bytes of the longest message but one.
pub(super) fn unfinished(target: &Target) -> Said {
    let mut peer = target.connect(0)?;
    let mut flow = Flow::new(100, 5 + MESSAGE_BYTES - 1);
    let begun = Instant::now();
    let calls = streams(100).flat_map(|stream| {
        let prefix = [&[0], u32::try_from(MESSAGE_BYTES).expect("short").to_be_bytes().as_slice()].concat();
        [headers(stream, ADD), data(stream, &prefix, false)].concat()
    });
    peer.send(&hello().into_iter().chain(calls).collect::<Vec<_>>())?;
    flow.sent_prefixes();
    while !flow.is_over() {
        let late = begun.elapsed() > MESSAGE + SLACK;
        expect(!late, || format!("{} of 100 calls still open after {:.1?}", flow.open(), begun.elapsed()))?;
        let Some((stream, length)) = flow.next() else {
            if peer.hear(Duration::from_millis(5), |heard| frames(heard).next().is_some())? == End::Closed {
                return Ok("closed".to_owned());
            }
            flow.read(&mut peer);
            continue;
        };
        if !peer.send(&data(stream, &[b'{'; FRAME_BYTES][..length], false))? {
            return Ok("closed".to_owned());
        }
    }
    Ok(format!("100 calls {}, {} MiB read", flow.said, flow.sent >> 20))
}

pub(super) fn never_reads(target: &Target) -> Said {
    // The windows are wide open, so it is the socket that is full.
    let most = 0x7FFF_FFFF_u32.to_be_bytes();
    let wide = frame(SETTINGS, 0, 0, &[&INITIAL_WINDOW.to_be_bytes()[..], &most].concat());
    let wider = frame(WINDOW_UPDATE, 0, 0, &0x7FFF_0000_u32.to_be_bytes());
    let requests = [PREFACE.to_vec(), wide, wider, long_calls()].concat();
    unread(target, 10, |peer| peer.send(&requests).map(drop))
}

/// Reads and answers pings, but takes nothing more than the first 65,535 bytes of the replies.
pub(super) fn opens_no_window(target: &Target) -> Said {
    let begun = Instant::now();
    let mut peers = Vec::new();
    for number in 0..10 {
        let mut peer = target.connect(number)?;
        peer.send(&[hello(), long_calls()].concat())?;
        peers.push((number, peer));
    }
    // The bytes of the pongs that each has sent.
    let (mut said, mut answered) = ("closed", HashMap::new());
    while !peers.is_empty() {
        expect(begun.elapsed() < LONG_REPLIES + 2 * MESSAGE + SLACK, || {
            format!("{} of 10 connections wait for their windows after {:.1?}", peers.len(), begun.elapsed())
        })?;
        let mut open = Vec::new();
        for (number, mut peer) in peers {
            let end = peer.hear(Duration::from_millis(10), |heard| went_away(heard).is_some())?;
            let ended = frames(&peer.heard).filter(Frame::ends_stream).count();
            let pongs: Vec<u8> = frames(&peer.heard).filter_map(|frame| frame.pong()).flatten().collect();
            let so_far = answered.entry(number).or_default();
            if end != End::Silent {
                continue;
            }
            if ended == 10 {
                said = "calls reset";
                continue;
            }
            peer.send(&pongs[*so_far..])?;
            *so_far = pongs.len();
            open.push((number, peer));
        }
        peers = open;
    }
    Ok(format!("10 times {said} after {:.1?}", begun.elapsed()))
}

/// Ten calls of `next_ids(100000)`.
fn long_calls() -> Vec<u8> {
    streams(10).flat_map(|stream| request(stream, "/everywire.v1.Toolkit/NextIds", b"\x08\xa0\x8d\x06")).collect()
}

/// Sends what the server has to answer by going away, with one of these codes.
fn goes_away(peer: &mut Peer, bytes: &[u8], codes: &[u32]) -> Said {
    peer.send(bytes)?;
    let end = peer.hear(MESSAGE + SLACK, |heard| went_away(heard).is_some())?;
    let code = frames(&peer.heard).find(|frame| frame.kind == GOAWAY).map(|frame| frame.code());
    expect(code.is_some_and(|code| codes.contains(&code)), || format!("{end:?}, GOAWAY {code:?}"))?;
    Ok(went_away(&peer.heard).unwrap_or_default().to_owned())
}

/// Calls with this body, as it is; the call must end with one of these statuses of gRPC.
fn status(peer: &mut Peer, method: &str, body: &[u8], statuses: &[u32]) -> Said {
    let head = headers(1, &format!("/everywire.v1.Toolkit/{method}"));
    let body: Vec<u8> = body.chunks(FRAME_BYTES).flat_map(|part| data(1, part, false)).collect();
    peer.send(&[hello(), head, body, data(1, b"", true)].concat())?;
    let end = peer.hear(MESSAGE + SLACK, is_refusal)?;
    let status = frames(&peer.heard).find_map(|frame| frame.grpc_status());
    expect(status.is_some_and(|status| statuses.contains(&status)), || format!("{end:?}, grpc-status {status:?}"))?;
    Ok(format!("grpc-status {}", status.unwrap_or_default()))
}
