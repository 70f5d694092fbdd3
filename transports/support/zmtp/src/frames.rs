//! ZMTP as bytes: greeting, commands and frames, as pure functions.
//!
//! The numbers are those of RFC 37 (ZMTP 3.1) at rfc.zeromq.org, and RFC 23 (3.0), which differs in nothing used here.

use std::io;

use bytes::{Buf, Bytes, BytesMut};

/// What a server sends first: signature, version 3.1, mechanism NULL, no server role, filler.
pub const GREETING: [u8; GREETING_BYTES] = {
    let mut greeting = [0; GREETING_BYTES];
    greeting[0] = SIGNATURE_FIRST;
    greeting[8] = 1;
    greeting[9] = SIGNATURE_LAST;
    greeting[10] = 3;
    greeting[11] = 1;
    let mut index = 0;
    while index < NULL_MECHANISM.len() {
        greeting[12 + index] = NULL_MECHANISM[index];
        index += 1;
    }
    greeting
};

/// The length of a greeting.
pub const GREETING_BYTES: usize = 64;

/// The longest command that is read. READY with an identity of 255 bytes stays far below.
pub const COMMAND_BYTES: usize = 4 << 10;

const SIGNATURE_FIRST: u8 = 0xFF;
const SIGNATURE_LAST: u8 = 0x7F;
/// `NULL`, padded to the twenty bytes of a mechanism's name.
const NULL_MECHANISM: [u8; 20] = *b"NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;

/// A ZeroMQ socket type, as READY announces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketType {
    /// Asks and waits for the answer, one at a time.
    Req,
    /// Answers REQ.
    Rep,
    /// Asks many things at a time.
    Dealer,
    /// Answers REQ and DEALER.
    Router,
}

impl SocketType {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Req => "REQ",
            Self::Rep => "REP",
            Self::Dealer => "DEALER",
            Self::Router => "ROUTER",
        }
    }

    fn from_name(name: &[u8]) -> Option<Self> {
        [Self::Req, Self::Rep, Self::Dealer, Self::Router].into_iter().find(|socket| socket.name().as_bytes() == name)
    }
}

/// What [`take_frame`] found at the start of the input.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// A whole command: its name's length, its name, its data.
    Command(Bytes),
    /// A whole frame of a message.
    Frame {
        /// The frame's body.
        body: Bytes,
        /// Whether more frames of the same message follow.
        more: bool,
    },
    /// Nothing whole; at least so many bytes are missing.
    Missing(usize),
}

/// The error for bytes that break the protocol. The connection has to close.
pub fn violation(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// Checks the peer's greeting, or its first part: a peer of another protocol is found out by its first bytes, as it may
/// never send sixty-four. True when the greeting is whole.
pub fn check_greeting(input: &[u8]) -> io::Result<bool> {
    let at = |index: usize| input.get(index).copied();
    if at(0).is_some_and(|byte| byte != SIGNATURE_FIRST) || at(9).is_some_and(|byte| byte != SIGNATURE_LAST) {
        return Err(violation("its first bytes are not a ZMTP greeting"));
    }
    // A higher version must be accepted and speaks ours; a lower one is not spoken here (RFC 37, "Version Negotiation").
    if at(10).is_some_and(|major| major < 3) {
        return Err(violation("it speaks a ZMTP version before 3.0, and this server 3.0 and 3.1 (libzmq 4)"));
    }
    let Some(greeting) = input.get(..GREETING_BYTES) else { return Ok(false) };
    if greeting[12..32] != NULL_MECHANISM {
        return Err(violation("it asks for a security mechanism, and this server has none (NULL)"));
    }
    Ok(true)
}

/// Appends the READY command that announces `socket`.
pub fn put_ready(output: &mut Vec<u8>, socket: SocketType) {
    const PROPERTY: &[u8] = b"\x05READY\x0bSocket-Type";
    let name = socket.name().as_bytes();
    let length = byte(PROPERTY.len() + 4 + name.len());
    output.extend_from_slice(&[COMMAND, length]);
    output.extend_from_slice(PROPERTY);
    output.extend_from_slice(&[0, 0, 0, byte(name.len())]);
    output.extend_from_slice(name);
}

/// Reads the peer's socket type from its first command, which must be READY.
pub fn read_ready(command: &[u8]) -> io::Result<SocketType> {
    let malformed = || violation("a malformed READY");
    let mut rest = command.strip_prefix(b"\x05READY").ok_or_else(|| violation("a command other than READY"))?;
    while let Some((&length, after)) = rest.split_first() {
        let (name, after) = after.split_at_checked(length.into()).ok_or_else(malformed)?;
        let (length, after) = after.split_first_chunk().ok_or_else(malformed)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| malformed())?;
        let (value, after) = after.split_at_checked(length).ok_or_else(malformed)?;
        if name.eq_ignore_ascii_case(b"Socket-Type") {
            return SocketType::from_name(value).ok_or_else(|| violation("a socket type that does not ask"));
        }
        rest = after;
    }
    Err(violation("a READY without a socket type"))
}

/// The PONG that answers a command, if the command is PING: its context goes back (RFC 37, "Heartbeating").
pub fn pong(command: &[u8]) -> io::Result<Option<Vec<u8>>> {
    const TTL_BYTES: usize = 2;
    const CONTEXT_BYTES: usize = 16;
    let Some(data) = command.strip_prefix(b"\x04PING") else { return Ok(None) };
    let context = data.get(TTL_BYTES..).filter(|context| context.len() <= CONTEXT_BYTES);
    let context = context.ok_or_else(|| violation("a malformed PING"))?;
    let mut pong = vec![COMMAND, byte(5 + context.len())];
    pong.extend_from_slice(b"\x04PONG");
    pong.extend_from_slice(context);
    Ok(Some(pong))
}

/// Appends one frame of a message.
pub fn put_frame(output: &mut Vec<u8>, body: &[u8], more: bool) {
    put_header(output, body.len(), more);
    output.extend_from_slice(body);
}

/// Appends the header of a frame whose body has `length` bytes.
pub(crate) fn put_header(output: &mut Vec<u8>, length: usize, more: bool) {
    let flags = if more { MORE } else { 0 };
    if let Ok(length) = u8::try_from(length) {
        output.extend_from_slice(&[flags, length]);
    } else {
        output.push(flags | LONG);
        output.extend_from_slice(&(length as u64).to_be_bytes());
    }
}

/// Takes the first frame or command off `input`. A frame that announces more than `limit` bytes is an error of kind
/// `QuotaExceeded`, found before any of them is waited for.
pub fn take_frame(input: &mut BytesMut, limit: usize) -> io::Result<Taken> {
    let Some(&flags) = input.first() else { return Ok(Taken::Missing(2)) };
    if flags & !(MORE | LONG | COMMAND) != 0 {
        return Err(violation("reserved flags are set"));
    }
    let command = flags & COMMAND != 0;
    if command && flags & MORE != 0 {
        return Err(violation("a command with MORE"));
    }
    let (header, announced) = match (flags & LONG != 0, input.get(1), input.get(1..9)) {
        (false, Some(&length), _) => (2, u64::from(length)),
        (true, _, Some(length)) => (9, length.iter().fold(0, |length, &byte| length << 8 | u64::from(byte))),
        (false, None, _) => return Ok(Taken::Missing(1)),
        (true, _, None) => return Ok(Taken::Missing(9 - input.len())),
    };
    let limit = if command { COMMAND_BYTES } else { limit };
    let body = usize::try_from(announced).ok().filter(|body| *body <= limit).ok_or_else(|| {
        if command {
            return violation("a command longer than any");
        }
        io::Error::new(io::ErrorKind::QuotaExceeded, "a frame longer than the limit")
    })?;
    if input.len() < header + body {
        return Ok(Taken::Missing(header + body - input.len()));
    }
    input.advance(header);
    // An empty frame, the delimiter of nearly every message, need not share the buffer.
    let body = if body == 0 { Bytes::new() } else { input.split_to(body).freeze() };
    Ok(if command { Taken::Command(body) } else { Taken::Frame { body, more: flags & MORE != 0 } })
}

/// A length that is known to fit.
fn byte(length: usize) -> u8 {
    u8::try_from(length).expect("the commands written here are short")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn take(bytes: &[u8], limit: usize) -> io::Result<Taken> {
        take_frame(&mut BytesMut::from(bytes), limit)
    }

    #[test]
    fn greeting_and_ready_as_bytes() {
        assert_eq!(&GREETING[..16], b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL");
        assert_eq!(GREETING[16..], [0; 48]);
        let mut ready = Vec::new();
        put_ready(&mut ready, SocketType::Router);
        assert_eq!(ready, b"\x04\x1c\x05READY\x0bSocket-Type\0\0\0\x06ROUTER");
        assert_eq!(read_ready(&ready[2..]).unwrap(), SocketType::Router);
    }

    #[test]
    fn what_libzmq_sends_is_understood() {
        let ready = b"\x05READY\x0bSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\x03one";
        assert_eq!(read_ready(ready).unwrap(), SocketType::Dealer);
        let other_order = b"\x05READY\x08Identity\0\0\0\0\x0bsocket-type\0\0\0\x03REQ";
        assert_eq!(read_ready(other_order).unwrap(), SocketType::Req);
    }

    #[test]
    fn a_bad_greeting_is_found_by_its_first_wrong_byte() {
        let with = |index: usize, byte: u8| {
            let mut greeting = GREETING;
            greeting[index] = byte;
            greeting[..=index].to_vec()
        };
        let cases = [
            ("HTTP", b"G".to_vec(), "greeting"),
            ("signature", with(9, 0), "greeting"),
            ("ZMTP 2", with(10, 1), "version"),
            ("PLAIN", [&GREETING[..12], b"PLAIN", &[0; 47]].concat(), "mechanism"),
        ];
        for (case, greeting, reason) in cases {
            let error = check_greeting(&greeting).expect_err(case);
            assert!(error.to_string().contains(reason), "{case}: {error}");
        }
        assert!(check_greeting(&GREETING).unwrap());
        for length in 0..GREETING_BYTES {
            assert!(!check_greeting(&GREETING[..length]).unwrap(), "{length} bytes");
        }
        let mut newer = GREETING;
        newer[10] = 4;
        assert!(check_greeting(&newer).unwrap(), "a higher version must be accepted");
    }

    #[test]
    fn a_bad_ready_is_refused() {
        let cases: [(&str, &[u8]); 6] = [
            ("another command", b"\x05HELLO"),
            ("nothing", b""),
            ("no socket type", b"\x05READY"),
            ("cut off", b"\x05READY\x0bSocket-Ty"),
            ("value longer than the command", b"\x05READY\x0bSocket-Type\xff\xff\xff\xffREQ"),
            ("a subscriber", b"\x05READY\x0bSocket-Type\0\0\0\x03SUB"),
        ];
        for (case, ready) in cases {
            assert!(read_ready(ready).is_err(), "{case}");
        }
    }

    #[test]
    fn frames_there_and_back() {
        for (length, header) in [(0, 2), (1, 2), (255, 2), (256, 9), (70_000, 9)] {
            let body = vec![b'x'; length];
            for more in [false, true] {
                let mut bytes = Vec::new();
                put_frame(&mut bytes, &body, more);
                assert_eq!(bytes.len(), header + length);
                let mut input = BytesMut::from(&bytes[..]);
                let expected = Taken::Frame { body: body.clone().into(), more };
                assert_eq!(take_frame(&mut input, length).unwrap(), expected, "{length} bytes");
                assert!(input.is_empty());
            }
        }
        assert_eq!(take(b"\x02\0\0\0\0\0\0\0\x01x", 1).unwrap(), take(b"\0\x01x", 1).unwrap(), "long form, short body");
    }

    #[test]
    fn what_is_missing_is_counted() {
        let cases: [(&[u8], usize); 5] =
            [(b"", 2), (b"\0", 1), (b"\0\x05ab", 3), (b"\x02\0\0", 6), (b"\x02\0\0\0\0\0\0\x01\0z", 255)];
        for (bytes, missing) in cases {
            assert_eq!(take(bytes, 1 << 20).unwrap(), Taken::Missing(missing), "{bytes:?}");
        }
    }

    #[test]
    fn violations_are_found_in_the_header() {
        let cases: [(&str, &[u8], &str); 5] = [
            ("2^45 bytes announced", b"\x02\0\0\x20\0\0\0\0\0", "limit"),
            ("2^64-1 bytes announced", b"\x02\xff\xff\xff\xff\xff\xff\xff\xff", "limit"),
            ("a long command", b"\x06\0\0\0\0\0\0\x10\x01", "command"),
            ("reserved flags", b"\x08", "reserved"),
            ("a command with MORE", b"\x05", "MORE"),
        ];
        for (case, bytes, reason) in cases {
            let error = take(bytes, 8 << 20).expect_err(case);
            assert!(error.to_string().contains(reason), "{case}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(bytes: Vec<u8>, limit in 0_usize..64) {
            let mut input = BytesMut::from(&bytes[..]);
            loop {
                match take_frame(&mut input, limit) {
                    Ok(Taken::Command(command)) => {
                        let _ = (read_ready(&command), pong(&command));
                    }
                    Ok(Taken::Frame { body, .. }) => prop_assert!(body.len() <= limit),
                    Ok(Taken::Missing(missing)) => {
                        prop_assert!(missing > 0 && missing <= 9 + COMMAND_BYTES);
                        break;
                    }
                    Err(_) => break,
                }
            }
            let _ = (check_greeting(&bytes), read_ready(&bytes), pong(&bytes));
        }
    }

    #[test]
    fn ping_is_answered_with_its_context() {
        assert_eq!(pong(b"\x04PING\0\x0aabc").unwrap().unwrap(), b"\x04\x08\x04PONGabc");
        assert_eq!(pong(b"\x04PONGabc").unwrap(), None);
        assert!(pong(b"\x04PING\0").is_err(), "without a time to live");
        assert!(pong(b"\x04PING\0\0seventeen bytes!!").is_err(), "context over sixteen bytes");
    }
}
