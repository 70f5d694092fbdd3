//! The frames of HTTP/2, there and back.

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

/// The flag `END_STREAM`, or ACK of PING and SETTINGS.
pub(super) const END: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const INITIAL_WINDOW: u16 = 4;
pub(super) const HEAD_BYTES: usize = 9;
pub(super) const FRAME_BYTES: usize = 16 << 10;
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(in crate::attacks) const ADD: &str = "/everywire.v1.Toolkit/Add";

/// What a client says first.
pub(in crate::attacks) fn hello() -> Vec<u8> {
    [PREFACE.as_slice(), &frame(SETTINGS, 0, 0, b"")].concat()
}

/// Resets a stream: `CANCEL`.
pub(in crate::attacks) fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())
}

/// The numbers of a client's first streams.
pub(super) fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|number| 2 * number + 1)
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The head of a call.
pub(in crate::attacks) fn headers(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &block(path))
}

/// The head of a call whose headers go on.
pub(in crate::attacks) fn unended_headers(stream: u32) -> Vec<u8> {
    frame(HEADERS, 0, stream, &block(ADD))
}

pub(in crate::attacks) fn data(stream: u32, payload: &[u8], last: bool) -> Vec<u8> {
    frame(DATA, if last { END } else { 0 }, stream, payload)
}

pub(in crate::attacks) fn request(stream: u32, path: &str, body: &[u8]) -> Vec<u8> {
    [headers(stream, path), data(stream, &message(body), true)].concat()
}

/// A message of gRPC.
pub(super) fn message(body: &[u8]) -> Vec<u8> {
    [&[0], u32::try_from(body.len()).expect("short").to_be_bytes().as_slice(), body].concat()
}

pub(super) fn block(path: &str) -> Vec<u8> {
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
pub(super) fn header(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).ok().filter(|length| *length < 127).expect("short");
    [&[0, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
}

/// A frame that the server sent.
pub(super) struct Frame<'a> {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: &'a [u8],
}

/// The whole frames at the beginning of what was heard.
pub(super) fn frames(mut heard: &[u8]) -> impl Iterator<Item = Frame<'_>> {
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
    pub(super) fn code(&self) -> u32 {
        self.payload.last_chunk().filter(|_| self.kind == RST_STREAM).map_or_else(
            || self.payload.get(4..).and_then(<[u8]>::first_chunk).copied().map_or(0, u32::from_be_bytes),
            |code| u32::from_be_bytes(*code),
        )
    }

    pub(super) fn ends_stream(&self) -> bool {
        self.kind == RST_STREAM || matches!(self.kind, HEADERS | DATA) && self.flags & END != 0
    }

    /// Reset with `REFUSED_STREAM`.
    pub(super) fn is_refused(&self) -> bool {
        self.kind == RST_STREAM && self.code() == 7
    }

    pub(super) fn pong(&self) -> Option<Vec<u8>> {
        (self.kind == PING && self.flags == 0).then(|| frame(PING, END, 0, self.payload))
    }

    /// `grpc-status`, if the headers here spell it out as the first ones of a connection do: in the Huffman code of HPACK.
    pub(super) fn grpc_status(&self) -> Option<u32> {
        const NAME: &[u8] = b"\x9a\xca\xc8\xb2\x12\x34\xda\x8f";
        let value = crate::attacks::http::after(self.payload, NAME)?;
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
pub(super) const DIGITS: [&str; 10] =
    ["00000", "00001", "00010", "011001", "011010", "011011", "011100", "011101", "011110", "011111"];

/// Whether the server has answered or reset a call, or goes away.
pub(in crate::attacks) fn is_refusal(heard: &[u8]) -> bool {
    frames(heard).any(|frame| frame.kind == GOAWAY || frame.ends_stream())
}

/// The name of the code with which the server goes away, if it does.
pub(in crate::attacks) fn went_away(heard: &[u8]) -> Option<&'static str> {
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
