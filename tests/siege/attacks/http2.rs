//! HTTP/2 by hand (RFC 9113): gRPC.

use std::{
    collections::HashMap,
    io,
    time::{Duration, Instant},
};

use super::{
    End, MESSAGE, MESSAGE_BYTES, Peer, SLACK, Said, Target, again, expect,
    http::{LONG_REPLIES, unread},
};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

/// The flag `END_STREAM`, or ACK of PING and SETTINGS.
const END: u8 = 1;
const END_HEADERS: u8 = 4;
const INITIAL_WINDOW: u16 = 4;
const HEAD_BYTES: usize = 9;
const FRAME_BYTES: usize = 16 << 10;
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
    again(target, |peer| status(peer, "Add", &[1, 0, 0, 0, 1, 0], &[12]))
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

/// Four times as many streams as the server allows, none of which ends.
pub(super) fn open_streams(target: &Target) -> Said {
    const ALLOWED: usize = 256;
    let requests: Vec<u8> = hello().into_iter().chain(streams(1_000).flat_map(|stream| headers(stream, ADD))).collect();
    again(target, |peer| {
        peer.send(&requests)?;
        let refused = |heard: &[u8]| frames(heard).filter(Frame::is_refused).count();
        let end = peer.hear(SLACK, |heard| refused(heard) == 1_000 - ALLOWED || went_away(heard).is_some())?;
        if let Some(code) = went_away(&peer.heard) {
            return Ok(code.to_owned());
        }
        let refused = refused(&peer.heard);
        expect(end == End::Heard, || format!("{refused} refused: {end:?}"))?;
        Ok(format!("{refused} times REFUSED_STREAM"))
    })
}

pub(super) fn rapid_reset(target: &Target) -> Said {
    let resets = streams(FLOOD / 10)
        .flat_map(|stream| [headers(stream, ADD), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat());
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
    // It is the unanswered ping that ends it.
    unread(target, 10, 10, 2 * MESSAGE, |peer| peer.send(&requests).map(drop))
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

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(super) const ADD: &str = "/everywire.v1.Toolkit/Add";

/// What a client says first.
pub(super) fn hello() -> Vec<u8> {
    [PREFACE.as_slice(), &frame(SETTINGS, 0, 0, b"")].concat()
}

/// The numbers of a client's first streams.
fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|number| 2 * number + 1)
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The head of a call.
pub(super) fn headers(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &block(path))
}

/// The head of a call whose headers go on.
pub(super) fn unended_headers(stream: u32) -> Vec<u8> {
    frame(HEADERS, 0, stream, &block(ADD))
}

pub(super) fn data(stream: u32, payload: &[u8], last: bool) -> Vec<u8> {
    frame(DATA, if last { END } else { 0 }, stream, payload)
}

fn request(stream: u32, path: &str, body: &[u8]) -> Vec<u8> {
    [headers(stream, path), data(stream, &message(body), true)].concat()
}

/// A message of gRPC.
fn message(body: &[u8]) -> Vec<u8> {
    [&[0], u32::try_from(body.len()).expect("short").to_be_bytes().as_slice(), body].concat()
}

fn block(path: &str) -> Vec<u8> {
    let headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    headers.into_iter().flat_map(|(name, value)| header(name, value)).collect()
}

/// A header of HPACK as it is: not indexed, not compressed.
fn header(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).ok().filter(|length| *length < 127).expect("short");
    [&[0, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
}

/// A frame that the server sent.
struct Frame<'a> {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: &'a [u8],
}

/// The whole frames at the beginning of what was heard.
fn frames(mut heard: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    std::iter::from_fn(move || {
        let first = heard.first_chunk::<HEAD_BYTES>()?;
        let [a, b, c, kind, flags, stream @ ..] = *first;
        let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).ok()?;
        let payload = heard.get(HEAD_BYTES..HEAD_BYTES + length)?;
        heard = &heard[HEAD_BYTES + length..];
        Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
    })
}

impl Frame<'_> {
    /// Of `RST_STREAM`, or of GOAWAY after the last stream's number.
    fn code(&self) -> u32 {
        self.payload.last_chunk().filter(|_| self.kind == RST_STREAM).map_or_else(
            || self.payload.get(4..).and_then(<[u8]>::first_chunk).copied().map_or(0, u32::from_be_bytes),
            |code| u32::from_be_bytes(*code),
        )
    }

    fn ends_stream(&self) -> bool {
        self.kind == RST_STREAM || matches!(self.kind, HEADERS | DATA) && self.flags & END != 0
    }

    /// Reset with `REFUSED_STREAM`.
    fn is_refused(&self) -> bool {
        self.kind == RST_STREAM && self.code() == 7
    }

    fn pong(&self) -> Option<Vec<u8>> {
        (self.kind == PING && self.flags == 0).then(|| frame(PING, END, 0, self.payload))
    }

    /// `grpc-status`, if the headers here spell it out as the first ones of a connection do: in the Huffman code of HPACK.
    fn grpc_status(&self) -> Option<u32> {
        const NAME: &[u8] = b"\x9a\xca\xc8\xb2\x12\x34\xda\x8f";
        let value = super::http::after(self.payload, NAME)?;
        let (length, value) = value.split_first()?;
        let value = value.get(..usize::from(length & 0x7F))?;
        let bits: Vec<u8> =
            value.iter().flat_map(|byte| (0..8).rev().map(move |bit| b'0' + (byte >> bit & 1))).collect();
        let bits = str::from_utf8(&bits).ok()?;
        let (mut number, mut rest) = (0, bits);
        while rest.contains('0') {
            let digit = DIGITS.iter().position(|digit| rest.starts_with(digit))?;
            rest = &rest[DIGITS[digit].len()..];
            number = number * 10 + u32::try_from(digit).ok()?;
        }
        Some(number)
    }
}

/// The digits in the Huffman code (RFC 7541, appendix B).
const DIGITS: [&str; 10] =
    ["00000", "00001", "00010", "011001", "011010", "011011", "011100", "011101", "011110", "011111"];

/// Whether the server has answered or reset a call, or goes away.
pub(super) fn is_refusal(heard: &[u8]) -> bool {
    frames(heard).any(|frame| frame.kind == GOAWAY || frame.ends_stream())
}

/// The name of the code with which the server goes away, if it does.
fn went_away(heard: &[u8]) -> Option<&'static str> {
    let goodbye = frames(heard).find(|frame| frame.kind == GOAWAY)?;
    Some(match goodbye.code() {
        0 => "GOAWAY NO_ERROR",
        1 => "GOAWAY PROTOCOL_ERROR",
        3 => "GOAWAY FLOW_CONTROL_ERROR",
        5 => "GOAWAY STREAM_CLOSED",
        6 => "GOAWAY FRAME_SIZE_ERROR",
        11 => "GOAWAY ENHANCE_YOUR_CALM",
        _ => "GOAWAY",
    })
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

/// How much may be sent on each of a connection's streams, and what the server said of them.
struct Flow {
    /// Bytes that may be sent on the connection, on a new stream, and on each stream besides what a new one has.
    connection: i64,
    initial: i64,
    streams: Vec<Stream>,
    turn: usize,
    sent: usize,
    said: String,
}

struct Stream {
    window: i64,
    left: usize,
    open: bool,
}

const DEFAULT_WINDOW: i64 = 65_535;

impl Flow {
    fn new(streams: usize, bytes: usize) -> Self {
        let stream = || Stream { window: 0, left: bytes, open: true };
        let streams = (0..streams).map(|_| stream()).collect();
        Self { connection: DEFAULT_WINDOW, initial: DEFAULT_WINDOW, streams, turn: 0, sent: 0, said: String::new() }
    }

    fn sent_prefixes(&mut self) {
        for index in 0..self.streams.len() {
            self.count(index, 5);
        }
    }

    fn count(&mut self, index: usize, bytes: usize) {
        let spent = i64::try_from(bytes).expect("short");
        self.connection -= spent;
        self.streams[index].window -= spent;
        self.streams[index].left -= bytes;
        self.sent += bytes;
    }

    fn open(&self) -> usize {
        self.streams.iter().filter(|stream| stream.open).count()
    }

    fn is_over(&self) -> bool {
        self.open() == 0
    }

    /// The next stream that may send, in turn, and how much.
    fn next(&mut self) -> Option<(u32, usize)> {
        let count = self.streams.len();
        let index = (0..count).map(|step| (self.turn + step) % count).find(|&index| self.room(index) > 0)?;
        let length = self.room(index);
        self.turn = index + 1;
        self.count(index, length);
        Some((u32::try_from(2 * index + 1).ok()?, length))
    }

    fn room(&self, index: usize) -> usize {
        let Stream { window, left, open } = &self.streams[index];
        let allowed = self.connection.min(self.initial + window).max(0);
        if *open { usize::try_from(allowed).unwrap_or(0).min(*left).min(FRAME_BYTES) } else { 0 }
    }

    /// Takes what the server said off what was heard.
    fn read(&mut self, peer: &mut Peer) {
        let mut whole = 0;
        for frame in frames(&peer.heard) {
            whole += HEAD_BYTES + frame.payload.len();
            self.hear(&frame);
        }
        peer.heard.drain(..whole);
    }

    fn hear(&mut self, frame: &Frame) {
        let number = |bytes: &[u8]| bytes.first_chunk().map_or(0, |bytes| i64::from(u32::from_be_bytes(*bytes)));
        let stream = usize::try_from(frame.stream / 2).unwrap_or(0);
        match frame.kind {
            SETTINGS => {
                for setting in frame.payload.chunks_exact(6) {
                    if setting[..2] == INITIAL_WINDOW.to_be_bytes() {
                        self.initial = number(&setting[2..]);
                    }
                }
            }
            WINDOW_UPDATE if frame.stream == 0 => self.connection += number(frame.payload),
            WINDOW_UPDATE => self.streams[stream].window += number(frame.payload),
            GOAWAY => {
                self.said = String::from("GOAWAY");
                self.streams.iter_mut().for_each(|stream| stream.open = false);
            }
            _ if frame.ends_stream() && self.streams[stream].open => {
                self.streams[stream].open = false;
                if self.said.is_empty() {
                    let status = frame.grpc_status();
                    self.said = status.map_or_else(|| "reset".to_owned(), |status| format!("grpc-status {status}"));
                }
            }
            _ => {}
        }
    }
}
