//! WebSocket by RFC 6455, as a server has it: the handshake's key, the frames that come in, those that go out.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::{Buf, BufMut, BytesMut};
use everywire_core::wire::FREE_BYTES;
use sha1::{Digest, Sha1};

pub(crate) const TEXT: u8 = 1;
const CONTINUATION: u8 = 0;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// The longest payload of a control frame (section 5.5).
const CONTROL_BYTES: usize = 125;

/// The value of `Sec-WebSocket-Accept` for that of `Sec-WebSocket-Key` (section 4.2.2).
pub(crate) fn accept_key(key: &[u8]) -> String {
    let digest = Sha1::new().chain_update(key).chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
    BASE64_STANDARD.encode(digest)
}

/// How a session ends: what the close frame says. Without a code it says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Close {
    pub(crate) code: Option<u16>,
    pub(crate) reason: String,
}

/// The codes of section 7.4.1 that this server uses, and "try again later" of the registry that it founded.
impl Close {
    pub(crate) const GOING_AWAY: u16 = 1001;
    const PROTOCOL_ERROR: u16 = 1002;
    const NOT_UTF8: u16 = 1007;
    pub(crate) const POLICY: u16 = 1008;
    pub(crate) const TOO_LONG: u16 = 1009;
    pub(crate) const TRY_LATER: u16 = 1013;

    pub(crate) fn new(code: u16, reason: impl Into<String>) -> Self {
        Self { code: Some(code), reason: reason.into() }
    }

    fn protocol_error(reason: &str) -> Self {
        Self::new(Self::PROTOCOL_ERROR, reason)
    }

    /// The answer to the close frame of a peer: its own code (section 5.5.1).
    fn answer(mut payload: BytesMut) -> Self {
        match payload.len() {
            0 => Self { code: None, reason: String::new() },
            1 => Self::protocol_error("half a code"),
            _ => match payload.get_u16() {
                code @ (1000..=1003 | 1007..=1014 | 3000..=4999) if str::from_utf8(&payload).is_ok() => {
                    Self::new(code, "")
                }
                1000..=4999 => Self::protocol_error("no such code, or a reason that is not UTF-8"),
                _ => Self::protocol_error("no such code"),
            },
        }
    }

    /// Appends the frame.
    pub(crate) fn put(&self, output: &mut Vec<u8>) {
        let Some(code) = self.code else { return put_header(output, CLOSE, 0) };
        let reason = &self.reason[..self.reason.floor_char_boundary(CONTROL_BYTES - 2)];
        put_header(output, CLOSE, 2 + reason.len());
        output.put_u16(code);
        output.extend_from_slice(reason.as_bytes());
    }
}

/// Appends what stands before a payload: one frame, not masked.
pub(crate) fn put_header(output: &mut Vec<u8>, opcode: u8, length: usize) {
    const FINAL: u8 = 0x80;
    output.put_u8(FINAL | opcode);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ ..126), _) => output.put_u8(length),
        (_, Ok(length)) => {
            output.put_u8(126);
            output.put_u16(length);
        }
        _ => {
            output.put_u8(127);
            output.put_u64(length as u64);
        }
    }
}

/// Makes messages of frames.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    /// The fragments of a message so far.
    fragments: Option<Fragments>,
}

#[derive(Debug)]
struct Fragments {
    opcode: u8,
    payload: BytesMut,
}

/// What was taken out of the input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Message(BytesMut),
    Ping(BytesMut),
    Pong,
    Close(Close),
    /// Nothing whole; at least so many bytes are missing.
    Missing(usize),
}

impl Assembler {
    /// The bytes of a message of which some fragments were taken, but not the last one.
    pub(crate) fn unfinished(&self) -> Option<usize> {
        self.fragments.as_ref().map(|fragments| fragments.payload.len())
    }

    /// Takes one frame off `input`, or the message that it completes, of at most `limit` bytes.
    pub(crate) fn take(&mut self, input: &mut BytesMut, limit: usize) -> Result<Taken, Close> {
        loop {
            let header = match Header::read(input)? {
                Ok(header) => header,
                Err(missing) => return Ok(Taken::Missing(missing)),
            };
            header.check(self.unfinished(), limit)?;
            let missing = (header.bytes + header.length).saturating_sub(input.len());
            if missing > 0 {
                return Ok(Taken::Missing(missing));
            }
            input.advance(header.bytes);
            let mut payload = input.split_to(header.length);
            if payload.len() > FREE_BYTES {
                // Leave the grown buffer to the payload, or an idle session would keep it.
                *input = BytesMut::from(&input[..]);
            }
            unmask(&mut payload, header.mask);
            if let Some(taken) = self.frame(&header, payload)? {
                return Ok(taken);
            }
        }
    }

    /// Nothing if the frame is a fragment and not the last one.
    fn frame(&mut self, header: &Header, payload: BytesMut) -> Result<Option<Taken>, Close> {
        match header.opcode {
            CLOSE => return Ok(Some(Taken::Close(Close::answer(payload)))),
            PING => return Ok(Some(Taken::Ping(payload))),
            PONG => return Ok(Some(Taken::Pong)),
            _ => {}
        }
        let Fragments { opcode, payload } = match self.fragments.take() {
            None => Fragments { opcode: header.opcode, payload },
            Some(mut fragments) => {
                fragments.payload.extend_from_slice(&payload);
                fragments
            }
        };
        if !header.is_final {
            self.fragments = Some(Fragments { opcode, payload });
            return Ok(None);
        }
        if opcode == TEXT && str::from_utf8(&payload).is_err() {
            return Err(Close::new(Close::NOT_UTF8, "a text is UTF-8"));
        }
        Ok(Some(Taken::Message(payload)))
    }
}

/// What stands before a payload (section 5.2).
#[derive(Debug)]
struct Header {
    is_final: bool,
    opcode: u8,
    mask: [u8; 4],
    length: usize,
    /// How long the header itself is.
    bytes: usize,
}

impl Header {
    /// The header at the beginning of `bytes`, or else how many bytes it lacks at least.
    fn read(bytes: &[u8]) -> Result<Result<Self, usize>, Close> {
        let &[first, second, ref rest @ ..] = bytes else { return Ok(Err(2 - bytes.len())) };
        let (is_final, reserved, opcode) = (first & 0x80 != 0, first & 0x70, first & 0x0F);
        if reserved != 0 {
            return Err(Close::protocol_error("a reserved bit, and no extension"));
        }
        if second & 0x80 == 0 {
            return Err(Close::protocol_error("a frame without a mask"));
        }
        let (length, extended) = match second & 0x7F {
            126 => (rest.first_chunk().map(|length| u64::from(u16::from_be_bytes(*length))), 2),
            127 => (rest.first_chunk().map(|length| u64::from_be_bytes(*length)), 8),
            length => (Some(u64::from(length)), 0),
        };
        let mask = rest.get(extended..).and_then(<[u8]>::first_chunk);
        let (Some(length), Some(mask)) = (length, mask) else { return Ok(Err(extended + 4 - rest.len())) };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        Ok(Ok(Self { is_final, opcode, mask: *mask, length, bytes: 2 + extended + 4 }))
    }

    /// Whether the frame may stand here: after `fragments` of so many bytes, in a message of at most `limit`.
    fn check(&self, fragments: Option<usize>, limit: usize) -> Result<(), Close> {
        match self.opcode {
            CLOSE | PING | PONG if self.length > CONTROL_BYTES || !self.is_final => {
                Err(Close::protocol_error("a long or divided control frame"))
            }
            TEXT | BINARY if fragments.is_some() => Err(Close::protocol_error("a message inside another")),
            CONTINUATION if fragments.is_none() => Err(Close::protocol_error("a continuation of nothing")),
            TEXT | BINARY | CONTINUATION if self.length > limit - fragments.unwrap_or(0) => {
                Err(Close::new(Close::TOO_LONG, ""))
            }
            CLOSE | PING | PONG | TEXT | BINARY | CONTINUATION => Ok(()),
            _ => Err(Close::protocol_error("a reserved opcode")),
        }
    }
}

/// Undoes the mask of section 5.3.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let (words, rest) = payload.as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(mask)).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [1, 2, 3, 4];

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        put_header(&mut frame, first, payload.len());
        (frame[0], frame[1]) = (first, frame[1] | 0x80);
        frame.extend_from_slice(&MASK);
        let start = frame.len();
        frame.extend_from_slice(payload);
        unmask(&mut frame[start..], MASK);
        frame
    }

    fn taken(bytes: &[u8], limit: usize) -> Result<Taken, Close> {
        Assembler::default().take(&mut bytes.into(), limit)
    }

    #[test]
    fn the_key_of_the_specification() {
        assert_eq!(accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn frames_are_taken_at_every_border() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let payload: Vec<_> = (0..length).map(|at| u8::try_from(at % 128).unwrap()).collect();
            let whole = frame(0x81, &payload);
            for at in (0..whole.len()).filter(|at| *at < 20 || *at > whole.len() - 20) {
                let Ok(Taken::Missing(missing)) = taken(&whole[..at], length) else { panic!("{at} of {length}") };
                assert!((1..=whole.len() - at).contains(&missing), "{at} of {length}: {missing}");
            }
            let mut input = [&whole[..], b"\x89"].concat()[..].into();
            assert_eq!(
                Assembler::default().take(&mut input, length),
                Ok(Taken::Message(payload[..].into())),
                "{length}"
            );
            assert_eq!(&input[..], b"\x89");
            assert!(length == 0 || taken(&whole, length - 1) == Err(Close::new(1009, "")), "{length}");
        }
        let announced = [&[0x82, 0xFF][..], &u64::MAX.to_be_bytes(), &MASK].concat();
        assert_eq!(taken(&announced, 8 << 20), Err(Close::new(1009, "")));
    }

    #[test]
    fn a_message_in_fragments_with_a_ping_between() {
        let frames = [frame(0x01, "gr\u{fc}".as_bytes().split_last().unwrap().1), frame(0x89, b"?"), frame(0x00, b"")];
        let (mut assembler, mut input) = (Assembler::default(), frames.concat()[..].into());
        assert_eq!(assembler.take(&mut input, 5), Ok(Taken::Ping(b"?"[..].into())));
        assert_eq!(assembler.take(&mut input, 5), Ok(Taken::Missing(2)));
        assert_eq!(assembler.unfinished(), Some(3));
        input.extend_from_slice(&frame(0x80, b"\xbcn"));
        assert_eq!(assembler.take(&mut input, 5), Ok(Taken::Message("grün".as_bytes().into())));
        assert_eq!(assembler.unfinished(), None);

        input.extend_from_slice(&[frame(0x01, b"123"), frame(0x80, b"456")].concat());
        assert_eq!(assembler.take(&mut input, 5), Err(Close::new(1009, "")), "too long together");
    }

    #[test]
    fn what_is_against_the_protocol_ends_the_session() {
        let mut unmasked = frame(0x81, b"");
        unmasked[1] = 0;
        #[rustfmt::skip]
        let cases = [
            ("compressed", frame(0xC1, b""), 1002),
            ("no mask", unmasked, 1002),
            ("reserved opcode", frame(0x83, b""), 1002),
            ("reserved control opcode", frame(0x8B, b""), 1002),
            ("long ping", frame(0x89, &[0; 126]), 1002),
            ("divided ping", frame(0x09, b""), 1002),
            ("continuation of nothing", frame(0x80, b""), 1002),
            ("message inside another", [frame(0x01, b""), frame(0x81, b"")].concat(), 1002),
            ("text that is not UTF-8", frame(0x81, b"\xff"), 1007),
        ];
        for (case, bytes, code) in cases {
            assert_eq!(taken(&bytes, 1_000).unwrap_err().code, Some(code), "{case}");
        }
        assert_eq!(taken(&frame(0x82, b"\xff"), 1_000), Ok(Taken::Message(b"\xff"[..].into())));
    }

    #[test]
    fn a_close_is_answered_with_its_code() {
        let cases = [
            (&b""[..], None),
            (b"\x03\xe8bye", Some(1000)),
            (b"\x0f\xa0", Some(4000)),
            (b"\x03", Some(1002)),
            (b"\x03\xed", Some(1002)),
            (b"\x00\x00", Some(1002)),
            (b"\x03\xe8\xff", Some(1002)),
        ];
        for (payload, code) in cases {
            let Ok(Taken::Close(close)) = taken(&frame(0x88, payload), 0) else { panic!("{payload:?}") };
            assert_eq!(close.code, code, "{payload:?}");
        }
        let mut output = Vec::new();
        Close::new(1001, "ü".repeat(100)).put(&mut output);
        assert_eq!(output.len(), 2 + 2 + 122, "the reason fits");
        assert_eq!(output[..4], [0x88, 124, 0x03, 0xE9]);
    }
}
