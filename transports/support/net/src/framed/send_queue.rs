//! What a connection has to send.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use everywire_core::wire::{Encoded, FREE_BYTES};
use tokio::io::AsyncWrite;

/// Bytes that wait to be written. Short frames are written together; a long body stays where it is.
#[derive(Debug, Default)]
pub struct SendQueue {
    pieces: VecDeque<Piece>,
    /// What comes after the pieces.
    tail: Vec<u8>,
    /// How much of the tail is written. Nothing is while there are pieces.
    written: usize,
    /// Bytes in `pieces` that are not bodies.
    between: usize,
    /// Bytes of bodies. They count in their own reservation of the budget.
    long: usize,
    /// Whether bytes were written that the stream has not flushed.
    needs_flush: bool,
}

#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    is_body: bool,
}

impl SendQueue {
    /// Bytes that are not written yet.
    pub fn len(&self) -> usize {
        self.short_len() + self.long
    }

    /// Whether everything is written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those bytes that count in no reservation of their own.
    pub fn short_len(&self) -> usize {
        self.between + self.tail.len() - self.written
    }

    /// Where to append short frames.
    pub fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.tail
    }

    /// Appends a body: a short one to the tail, and a long one, which counts in its own reservation, without a copy.
    #[inline]
    pub fn push(&mut self, body: Encoded) {
        if body.len() <= FREE_BYTES {
            self.tail.extend_from_slice(&body);
        } else {
            self.push_long(body.into());
        }
    }

    fn push_long(&mut self, body: Bytes) {
        let mut tail = Bytes::from(std::mem::take(&mut self.tail));
        tail.advance(std::mem::take(&mut self.written));
        if !tail.is_empty() {
            self.between += tail.len();
            self.pieces.push_back(Piece { bytes: tail, is_body: false });
        }
        self.long += body.len();
        self.pieces.push_back(Piece { bytes: body, is_body: true });
    }

    /// Bytes in memory, besides long bodies.
    pub fn capacity(&self) -> usize {
        self.between + self.tail.capacity()
    }

    /// Writes until nothing is left.
    pub fn poll_write<IO: AsyncWrite + Unpin>(&mut self, io: &mut IO, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_empty() && !self.needs_flush {
            return Poll::Ready(Ok(()));
        }
        while !self.is_empty() {
            let next = self.pieces.front().map_or(&self.tail[self.written..], |piece| &piece.bytes);
            match ready!(Pin::new(&mut *io).poll_write(cx, next))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.advance(written),
            }
        }
        self.written = 0;
        self.tail.clear();
        self.tail.shrink_to(FREE_BYTES);
        ready!(Pin::new(io).poll_flush(cx))?;
        self.needs_flush = false;
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, written: usize) {
        self.needs_flush = true;
        let Some(piece) = self.pieces.front_mut() else { return self.advance_tail(written) };
        piece.bytes.advance(written);
        *(if piece.is_body { &mut self.long } else { &mut self.between }) -= written;
        if piece.bytes.is_empty() {
            self.pieces.pop_front();
        }
    }

    /// Drops what is written once it is most of the tail: a peer that is never done reading must not make it grow.
    fn advance_tail(&mut self, written: usize) {
        self.written += written;
        if self.written >= FREE_BYTES && self.written >= self.tail.len() / 2 {
            self.tail.drain(..std::mem::take(&mut self.written));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use tokio::{
        io::{AsyncReadExt, duplex},
        time::timeout,
    };

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn a_peer_that_always_leaves_some_unread_costs_no_more_than_that() {
        let (mut near, mut far) = duplex(1 << 10);
        let (mut queue, mut read) = (SendQueue::default(), vec![0; 1 << 10]);
        queue.tail().extend_from_slice(&vec![b'x'; 100 << 10]);
        for _ in 0..10_000 {
            queue.tail().extend_from_slice(&[b'x'; 1 << 10]);
            let _ = timeout(Duration::ZERO, poll_fn(|cx| queue.poll_write(&mut near, cx))).await;
            far.read_exact(&mut read).await.unwrap();
        }
        assert!(queue.len() >= 100 << 10 && queue.capacity() <= 500 << 10, "{} bytes", queue.capacity());
    }

    #[tokio::test]
    async fn everything_is_written_in_order_however_the_writes_are_cut() {
        let body = vec![b'x'; 20_000];
        for pace in [1, 7, 100_000] {
            let (mut near, mut far) = duplex(pace);
            let mut queue = SendQueue::default();
            let mut expected = Vec::new();
            for short in ["one", "two"] {
                queue.tail().extend_from_slice(short.as_bytes());
                // A part of the tail may be written when a body comes.
                let _ = timeout(Duration::ZERO, poll_fn(|cx| queue.poll_write(&mut near, cx))).await;
                queue.push(body.clone().into());
                expected.extend([short.as_bytes(), &body].concat());
            }
            queue.tail().extend_from_slice(b"three");
            expected.extend(b"three");
            assert!(queue.len() - queue.short_len() <= 2 * body.len(), "bodies count apart");
            let writing = poll_fn(|cx| queue.poll_write(&mut near, cx));
            let mut found = vec![0; expected.len()];
            let (written, read) = tokio::join!(writing, timeout(DEADLINE, far.read_exact(&mut found)));
            written.unwrap();
            read.expect("all that was queued").unwrap();
            assert!(found == expected, "{pace} bytes at a time");
            assert!(queue.is_empty() && queue.capacity() <= FREE_BYTES, "{queue:?}");
        }
    }
}
