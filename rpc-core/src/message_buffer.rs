//! The buffer into which a message is encoded, within the budget.

use std::{
    io,
    ops::{Deref, DerefMut},
    sync::Arc,
};

use bytes::Bytes;

use crate::{
    budget::{Budget, FREE_BYTES, Reservation},
    error::Result,
};

/// A message that is being encoded. What it needs beyond [`FREE_BYTES`] is reserved before it is allocated, so a reply for which
/// `buffered_bytes` has no room takes no memory.
///
/// From then on the buffer is full: what it contains has no meaning, and [`finish`](Self::finish) is an error. Writing itself never
/// fails, which is what makes it fast.
///
/// ```
/// # use everywire_core::{Budget, Code, Limits, wire::MessageBuffer};
/// let budget = Budget::new(Limits { buffered_bytes: 100_000, ..Limits::default() });
/// let mut out = MessageBuffer::new(b"> ".to_vec(), &budget);
/// out.extend_from_slice(b"hello");
/// assert!(!out.is_full());
/// out.extend_from_slice(&vec![b'x'; 1_000_000]);
/// assert_eq!((&*out, out.is_full()), (&b"> hello"[..], true));
/// assert_eq!(out.finish().unwrap_err().code(), Code::ResourceExhausted);
/// ```
#[derive(Debug)]
pub struct MessageBuffer<'a> {
    bytes: Vec<u8>,
    /// None for a short message, which is free.
    reservation: Option<Reservation>,
    /// None for a buffer without a bound.
    budget: Option<&'a Arc<Budget>>,
    is_full: bool,
}

impl<'a> MessageBuffer<'a> {
    /// A buffer that begins with `start`, which is short.
    #[inline]
    pub fn new(start: Vec<u8>, budget: &'a Arc<Budget>) -> Self {
        Self { bytes: start, reservation: None, budget: Some(budget), is_full: false }
    }

    /// A buffer that is never full: for the requests of a client, whose arguments are in memory anyway, and for what is short.
    pub fn unbounded(start: Vec<u8>) -> Self {
        Self { bytes: start, reservation: None, budget: None, is_full: false }
    }

    /// The bytes, with room for `more` of them; `None` if the buffer is full. For a codec that writes a few bytes one by one.
    #[inline]
    pub fn with_room(&mut self, more: usize) -> Option<&mut Vec<u8>> {
        let has_room = self.bytes.capacity() - self.bytes.len() >= more || self.make_room(more);
        has_room.then_some(&mut self.bytes)
    }

    /// Appends one byte.
    #[inline]
    pub fn push(&mut self, byte: u8) {
        if let Some(bytes) = self.with_room(1) {
            bytes.push(byte);
        }
    }

    /// Appends `bytes`.
    #[inline]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.try_extend_from_slice(bytes);
    }

    /// Appends `bytes`, and returns whether there was room: for a codec that can stop at no cost.
    #[inline]
    pub fn try_extend_from_slice(&mut self, bytes: &[u8]) -> bool {
        let room = self.with_room(bytes.len());
        room.map(|out| out.extend_from_slice(bytes)).is_some()
    }

    /// Whether something was dropped because the budget has no room for it.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// An error if the buffer is full, which is recorded.
    #[inline]
    pub fn check(&self) -> Result<()> {
        match self.budget {
            Some(budget) if self.is_full => Err(budget.buffers_full()),
            _ => Ok(()),
        }
    }

    /// Drops what was written after the first `length` bytes.
    pub fn truncate(&mut self, length: usize) {
        self.bytes.truncate(length);
    }

    /// Does the same to begin anew from there: the buffer is no longer full.
    pub fn rewind(&mut self, length: usize) {
        self.bytes.truncate(length);
        self.is_full = false;
    }

    /// The bytes without the bound, to append something short that has to be written, such as an error.
    pub fn as_mut_vec(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The whole message, which counts with the memory that it takes; `RESOURCE_EXHAUSTED` if the buffer is full.
    #[inline]
    pub fn finish(mut self) -> Result<Encoded> {
        self.check()?;
        if let Some(reservation) = &mut self.reservation {
            // Done in place by most allocators.
            self.bytes.shrink_to_fit();
            reservation.force_resize(self.bytes.capacity());
        }
        Ok(Encoded { bytes: self.bytes, reservation: self.reservation })
    }

    /// What was written, which no longer counts: for a buffer without a bound.
    pub fn into_vec(self) -> Vec<u8> {
        self.bytes
    }

    #[cold]
    #[inline(never)]
    fn make_room(&mut self, more: usize) -> bool {
        self.is_full = self.is_full || !self.grow(self.bytes.len() + more);
        !self.is_full
    }

    /// Makes room for `length` bytes and more. Returns whether the budget has room for it.
    fn grow(&mut self, length: usize) -> bool {
        // A long text is mostly the last thing written, but for the end of what surrounds it.
        let least = length + length / 8;
        let double = least.max(2 * self.bytes.capacity());
        let capacity = match self.budget {
            None => Some(double),
            Some(_) if length <= FREE_BYTES => Some(double.min(FREE_BYTES)),
            Some(budget) => {
                let reservation = self.reservation.get_or_insert_with(|| budget.reserve());
                [double, least].into_iter().find(|&capacity| reservation.resize(capacity))
            }
        };
        let Some(capacity) = capacity else { return false };
        self.bytes.reserve_exact(capacity - self.bytes.len());
        true
    }
}

/// What is written already, to be changed in place.
impl Deref for MessageBuffer<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for MessageBuffer<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

/// Never fails; see [`MessageBuffer`].
impl io::Write for MessageBuffer<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A message that has been encoded. It counts as buffered until it is dropped; as [`Bytes`], until their last clone is.
#[derive(Debug, Default)]
pub struct Encoded {
    bytes: Vec<u8>,
    /// None for a short message, which is free.
    reservation: Option<Reservation>,
}

impl Deref for Encoded {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsRef<[u8]> for Encoded {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A short message, which does not count.
impl From<Vec<u8>> for Encoded {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, reservation: None }
    }
}

impl From<Encoded> for Bytes {
    fn from(Encoded { bytes, reservation }: Encoded) -> Self {
        match reservation {
            None => bytes.into(),
            Some(reservation) => reservation.into_bytes(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::Code,
        limits::{Limit, Limits},
    };

    fn budget(buffered_bytes: usize) -> Arc<Budget> {
        Budget::new(Limits { buffered_bytes, ..Limits::default() })
    }

    #[test]
    fn a_short_message_is_free() {
        let budget = budget(0);
        let mut out = MessageBuffer::new(Vec::with_capacity(100), &budget);
        for _ in 0..FREE_BYTES {
            out.push(7);
        }
        assert_eq!((out.bytes.capacity(), out.is_full(), Arc::strong_count(&budget)), (FREE_BYTES, false, 1));
        out.push(7);
        assert_eq!((out.len(), out.is_full(), budget.bytes()), (FREE_BYTES, true, 0));
    }

    #[test]
    fn a_message_counts_before_it_grows_and_until_its_last_clone_is_dropped() {
        let budget = budget(100_000);
        let mut out = MessageBuffer::new(Vec::new(), &budget);
        for length in 1..=60_000 {
            out.push(7);
            assert!(out.bytes.capacity() <= FREE_BYTES + budget.bytes(), "{length} bytes");
        }
        let message = out.finish().unwrap();
        assert_eq!((message.len(), budget.bytes()), (60_000, 60_000 - FREE_BYTES));
        let bytes = Bytes::from(message);
        let end = bytes.slice(59_000..);
        drop(bytes);
        assert_eq!(budget.bytes(), 60_000 - FREE_BYTES);
        drop(end);
        assert_eq!(budget.bytes(), 0);
    }

    #[test]
    fn what_the_budget_leaves_is_used_and_no_more() {
        let budget = budget(50_000);
        let mut out = MessageBuffer::new(Vec::new(), &budget);
        while !out.is_full() {
            out.extend_from_slice(&[7; 100]);
            assert!(budget.bytes() <= 50_000);
        }
        assert!(out.len() > 50_000 && out.bytes.capacity() <= 50_000 + FREE_BYTES, "{} bytes", out.len());
        let error = out.finish().unwrap_err();
        assert_eq!(
            (error.code(), error.message()),
            (Code::ResourceExhausted, "the buffers of all connections are full; the limit buffered_bytes is 50000")
        );
        assert_eq!((budget.met(Limit::BufferedBytes), budget.bytes()), (1, 0));
    }

    #[test]
    fn a_buffer_stays_full_until_it_begins_anew() {
        let budget = budget(0);
        let mut out = MessageBuffer::new(b"[1,".to_vec(), &budget);
        assert!(!out.try_extend_from_slice(&[b'2'; FREE_BYTES]));
        out.truncate(3);
        out.push(b'3');
        assert!(out.check().is_err());
        out.rewind(3);
        out.push(b'3');
        out[0] = b'<';
        out.as_mut_vec().push(b'>');
        assert_eq!(*out.finish().unwrap(), *b"<1,3>");
    }

    #[test]
    fn what_is_taken_back_takes_no_memory() {
        let budget = budget(100_000);
        let mut out = MessageBuffer::new(b"[".to_vec(), &budget);
        while !out.is_full() {
            out.push(7);
        }
        out.rewind(1);
        let message = out.finish().unwrap();
        assert!(message.bytes.capacity() < FREE_BYTES, "{} bytes", message.bytes.capacity());
        assert_eq!((&*message, budget.bytes()), (&b"["[..], 0));
    }

    #[test]
    fn a_buffer_without_a_bound_is_never_full() {
        let mut out = MessageBuffer::unbounded(Vec::new());
        out.extend_from_slice(&vec![7; 1 << 20]);
        assert_eq!((out.check(), out.into_vec().len()), (Ok(()), 1 << 20));
    }
}
