//! The ids of channels and of events.

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

use crate::msgpack::Reader;

/// The longest id that is kept: 255 bytes, and before them up to five that announce them.
const ID_BYTES: usize = 260;
/// An id up to this length is kept without an allocation. Those of all known clients have 34 bytes.
const SHORT_ID_BYTES: usize = 46;

/// A channel's id, as MessagePack: a copy, so that a call which waits does not keep the buffer of its whole message.
#[derive(Debug, Clone)]
pub(crate) enum ChannelId {
    Short { bytes: [u8; SHORT_ID_BYTES], length: u8 },
    Long(Box<[u8]>),
}

impl ChannelId {
    /// None for an id too long to keep.
    pub(crate) fn copy(id: &[u8]) -> Option<Self> {
        let mut bytes = [0; SHORT_ID_BYTES];
        match (bytes.get_mut(..id.len()), u8::try_from(id.len())) {
            (Some(kept), Ok(length)) => {
                kept.copy_from_slice(id);
                Some(Self::Short { bytes, length })
            }
            _ => (id.len() <= ID_BYTES).then(|| Self::Long(id.into())),
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short { bytes, length } => &bytes[..usize::from(*length)],
            Self::Long(id) => id,
        }
    }
}

/// An event's own id: 32 hexadecimal digits. Python ignores that of a reply; Node rejects a reply without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MessageId([u8; 32]);

/// The ids of one connection: a counter, then digits by which it differs from other connections.
#[derive(Debug)]
pub(crate) struct MessageIds {
    next: AtomicU64,
    suffix: [u8; 16],
}

impl MessageIds {
    /// A new sequence. The standard library's hash keys are the nearest source of random bits, and uniqueness is all
    /// that is asked of them.
    pub(crate) fn new() -> Self {
        Self { next: AtomicU64::new(1), suffix: hex(RandomState::new().hash_one(())) }
    }

    /// The next id and its number.
    pub(crate) fn next(&self) -> (u64, MessageId) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut id = [0; 32];
        id[..16].copy_from_slice(&hex(number));
        id[16..].copy_from_slice(&self.suffix);
        (number, MessageId(id))
    }
}

impl MessageId {
    #[cfg(test)]
    pub(crate) const fn new(digits: [u8; 32]) -> Self {
        Self(digits)
    }

    /// The digits.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The id as MessagePack, as peers send it back in `response_to`.
    pub(crate) fn encoded(&self) -> Vec<u8> {
        [b"\xc4\x20", &self.0[..]].concat()
    }
}

/// The number of an id in MessagePack, which came back as `response_to`.
pub(crate) fn id_number(encoded: &[u8]) -> Option<u64> {
    let id = Reader::new(encoded).text()?;
    u64::from_str_radix(std::str::from_utf8(id.get(..16)?).ok()?, 16).ok()
}

/// The sixteen digits of `number`, all at once, as every reply has an id.
fn hex(number: u64) -> [u8; 16] {
    const EACH_BYTE: u128 = u128::MAX / 0xFF;
    const fn every_other(bits: u32) -> (u32, u128) {
        (bits, u128::MAX / ((1 << bits) + 1))
    }
    const EVERY_OTHER: [(u32, u128); 4] = [every_other(32), every_other(16), every_other(8), every_other(4)];
    // Halves the groups of bits and moves the upper halves up, until each byte has four bits.
    let digits = EVERY_OTHER.iter().fold(u128::from(number), |bits, (half, mask)| (bits | bits << half) & mask);
    let letters = ((digits + 6 * EACH_BYTE) >> 4) & EACH_BYTE;
    (digits + u128::from(b'0') * EACH_BYTE + u128::from(b'a' - b':') * letters).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_kept_as_it_came_up_to_its_limit() {
        for length in [0, 1, 34, 46, 47, 260] {
            let id = vec![b'x'; length];
            assert_eq!(ChannelId::copy(&id).expect("short enough").as_bytes(), id);
        }
        assert!(ChannelId::copy(&[b'x'; 261]).is_none());
        assert_eq!(size_of::<ChannelId>(), 48);
    }

    #[test]
    fn digits_are_hexadecimal() {
        for number in [0, 9, 10, 0x0123_4567_89AB_CDEF, 0xFEDC_BA98_7654_3210, u64::MAX] {
            assert_eq!(hex(number), *format!("{number:016x}").as_bytes());
        }
    }

    #[test]
    fn ids_differ_and_are_found_again() {
        let ids = MessageIds::new();
        for number in 1..=20 {
            let (next, id) = ids.next();
            assert_eq!((next, id_number(&id.encoded())), (number, Some(number)));
        }
        assert_ne!(ids.suffix, MessageIds::new().suffix);
        assert_eq!(id_number(b"\xc4\x03abc"), None);
    }
}
