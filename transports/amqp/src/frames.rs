//! The frames that the broker sends, checked before lapin reads them.
//!
//! lapin reads tables recursively, and ends the connection at a text that is not UTF-8 or at a frame that is too long. The broker
//! passes all of that on from any publisher, and again after a reconnect. So what lapin can't read is replaced here.

use std::{borrow::Cow, io};

use bytes::{Buf, BufMut, BytesMut};

use crate::fields::{self, Flaw};

/// The type, the channel and the length of a frame.
const HEAD: usize = 7;

/// The octet at the end of a frame, and its length.
const FRAME_END: u8 = 0xCE;
const END: usize = 1;

/// The types of frames (section 4.2.3 of the specification). The first two have fields.
const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;

/// The longest frame with fields, if neither the broker nor the URL says so.
const LONGEST: usize = 128 << 10;

/// `connection.tune`, in which the broker says how long frames may be.
const TUNE: [u8; 4] = [0, 10, 0, 30];

/// The bytes from the broker, in order: those that are checked and not yet taken, and the beginning of a frame that is not yet.
pub(crate) struct Frames {
    checked: BytesMut,
    /// The beginning of the frame that is being received, unless the rest of it passes unchecked.
    held: Vec<u8>,
    /// How long `held` becomes before it is looked at.
    wanted: usize,
    /// Bytes of the frame which are still to come and pass unchecked.
    passing: usize,
    /// Bytes of it which are still to come and are dropped.
    dropping: usize,
    /// The longest frame that lapin accepts.
    longest: usize,
    frame_max: Option<u32>,
}

impl Frames {
    /// `frame_max` is what the URL asks for.
    pub(crate) fn new(frame_max: Option<u32>) -> Self {
        let (checked, held) = Default::default();
        Self { checked, held, wanted: HEAD, passing: 0, dropping: 0, longest: LONGEST, frame_max }
    }

    /// Whether nothing can be taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.checked.is_empty()
    }

    /// Moves checked bytes to `into`, and returns how many.
    pub(crate) fn take(&mut self, into: &mut [u8]) -> usize {
        let count = into.len().min(self.checked.len());
        self.checked.copy_to_slice(&mut into[..count]);
        count
    }

    /// Adds `bytes` from the broker. An error if no broker sends such bytes.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.passing > 0 {
                let passing = split(&mut bytes, self.passing);
                self.checked.extend_from_slice(passing);
                self.passing -= passing.len();
            } else if self.dropping > 0 {
                self.dropping -= split(&mut bytes, self.dropping).len();
            } else {
                self.held.extend_from_slice(split(&mut bytes, self.wanted - self.held.len()));
                self.look()?;
            }
        }
        Ok(())
    }

    /// Looks at what is held, once that is enough.
    fn look(&mut self) -> io::Result<()> {
        match self.held.len() {
            held if held < self.wanted => Ok(()),
            HEAD => self.head(),
            held => {
                let frame = HEAD + self.length() + END;
                self.dropping = frame - held;
                self.check()?;
                self.held.clear();
                self.wanted = HEAD;
                Ok(())
            }
        }
    }

    /// The length of the frame that is held, without its head and its end.
    fn length(&self) -> usize {
        self.held[3..HEAD].iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
    }

    /// Decides from the head of a frame what becomes of it.
    fn head(&mut self) -> io::Result<()> {
        let (kind, length) = (self.held[0], self.length());
        let frame = HEAD + length + END;
        match kind {
            METHOD | HEADER if frame <= self.longest => self.wanted = frame,
            HEADER if length > fields::BEFORE_PROPERTIES => self.wanted = HEAD + fields::BEFORE_PROPERTIES,
            METHOD | HEADER => return Err(violation("the broker sent a frame that is too long")),
            _ => {
                self.checked.extend_from_slice(&self.held);
                self.held.clear();
                // lapin ends the connection at a frame of an unknown type.
                self.passing = if matches!(kind, BODY | HEARTBEAT) { length + END } else { usize::MAX };
            }
        }
        Ok(())
    }

    /// Checks the frame that is held, or the beginning of one that is too long.
    fn check(&mut self) -> io::Result<()> {
        let is_whole = self.dropping == 0;
        let payload = &self.held[HEAD..self.held.len() - if is_whole { END } else { 0 }];
        if is_whole && !self.held.ends_with(&[FRAME_END]) {
            return Err(violation("the broker sent a frame without an end"));
        }
        let readable = match self.held[0] {
            METHOD => fields::method(payload),
            _ if is_whole => fields::content_header(payload),
            _ => Some(Cow::Owned(fields::without_properties(payload, Flaw::TooLong))),
        };
        let readable = readable.ok_or_else(|| violation("the broker sent a frame that can't be read"))?;
        self.checked.extend_from_slice(&self.held[..3]);
        // It is at most as long as what is held, or a few bytes longer.
        self.checked.put_u32(u32::try_from(readable.len()).map_err(io::Error::other)?);
        self.checked.extend_from_slice(&readable);
        self.checked.put_u8(FRAME_END);
        if self.held[HEAD..].starts_with(&TUNE) {
            self.tune();
        }
        Ok(())
    }

    /// Notes the length of frames on which lapin and the broker agree: the lesser one, where 0 means that there is no limit.
    fn tune(&mut self) {
        let Some(frame_max) = self.held[HEAD + TUNE.len()..].get(2..6) else { return };
        let offered = frame_max.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let asked = self.frame_max.and_then(|asked| usize::try_from(asked).ok()).unwrap_or_default();
        self.longest = [offered, asked].into_iter().filter(|bytes| *bytes > 0).min().unwrap_or(LONGEST);
    }
}

/// Takes up to `count` bytes off the front of `bytes`.
fn split<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (front, rest) = bytes.split_at(count.min(bytes.len()));
    *bytes = rest;
    front
}

fn violation(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&[kind, 0, 1], &length[..], payload, &[0xCE]].concat()
    }

    /// A content header with a `content_type`.
    fn header(content_type: &[u8]) -> Vec<u8> {
        let length = [u8::try_from(content_type.len()).unwrap()];
        frame(HEADER, &[&[0; 12], &[0x80, 0][..], &length, content_type].concat())
    }

    /// What comes out of `bytes` that arrive in pieces.
    fn checked(bytes: &[u8], piece: usize, frame_max: Option<u32>) -> io::Result<Vec<u8>> {
        let mut frames = Frames::new(frame_max);
        bytes.chunks(piece).try_for_each(|bytes| frames.push(bytes))?;
        let mut checked = vec![0; frames.checked.len()];
        assert_eq!(frames.take(&mut checked), checked.len());
        assert!(frames.is_empty());
        Ok(checked)
    }

    #[test]
    fn frames_pass_as_they_are_however_they_arrive() {
        let tune = frame(METHOD, &[&TUNE[..], &[0; 8]].concat());
        let (body, heartbeat) = (frame(BODY, &[0xCE; 300]), frame(HEARTBEAT, b""));
        let bytes = [tune, header(b"text"), body.clone(), heartbeat, frame(BODY, b""), header(b""), body].concat();
        for piece in [1, 2, 7, 8, 100, bytes.len()] {
            assert_eq!(checked(&bytes, piece, None).unwrap(), bytes, "{piece}");
        }
        let others = b"AMQP\0\0\x09\x01, and what an unknown protocol sends";
        assert_eq!(checked(others, 3, None).unwrap(), others);
    }

    #[test]
    fn a_header_that_can_not_be_read_is_replaced_between_others() {
        let unreadable = |flaw| frame(HEADER, &fields::without_properties(&[0; 12], flaw));
        let long = frame(HEADER, &vec![0; LONGEST - 7]);
        let body = frame(BODY, b"body");
        for (bad, flaw) in [(header(b"\xFF"), Flaw::Malformed), (long, Flaw::TooLong)] {
            let bytes = [&body[..], &bad, &body, &header(b"text")].concat();
            let expected = [&body[..], &unreadable(flaw), &body, &header(b"text")].concat();
            for piece in [1, 10, 1_000, bytes.len()] {
                assert_eq!(checked(&bytes, piece, None).unwrap(), expected, "{flaw:?} {piece}");
            }
        }
    }

    #[test]
    fn the_longest_frame_is_what_both_sides_agree_on() {
        let tune =
            |frame_max: u32| frame(METHOD, &[&TUNE[..], &[0, 0], &frame_max.to_be_bytes()[..], &[0, 0]].concat());
        let header =
            |length: usize| frame(HEADER, &[&[0; 12], &[0x20, 0, 0, 0, 0, 0][..], &vec![0; length - 26]].concat());
        // The headers are empty, and more follows than there should.
        for (offered, asked, longest) in [(0, None, LONGEST), (5_000, None, 5_000), (5_000, Some(4_096), 4_096)] {
            let flaw = |length| {
                let bytes = checked(&[tune(offered), header(length)].concat(), 100, asked).unwrap();
                Flaw::from_number(bytes[bytes.len() - 2])
            };
            assert_eq!((flaw(longest), flaw(longest + 1)), (Flaw::Malformed, Flaw::TooLong), "{offered}");
        }
    }

    #[test]
    fn what_no_broker_sends_is_an_error() {
        let long = frame(METHOD, &vec![0; LONGEST]);
        let endless = [&frame(METHOD, b"\0\x14\0\x0B")[..11], &[0]].concat();
        for bytes in [frame(METHOD, b""), frame(HEADER, &[0; 11]), frame(METHOD, &[0, 50, 0, 10]), long, endless] {
            assert_eq!(checked(&bytes, 100, None).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }
}
