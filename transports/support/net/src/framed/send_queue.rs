//! What a connection has to send.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use everywire_core::wire::FREE_BYTES;
use tokio::io::AsyncWrite;

/// Bytes that wait to be written. Short frames are written together; a long body stays where it is.
#[derive(Debug, Default)]
pub struct SendQueue {
    pieces: VecDeque<Piece>,
    /// What comes after the pieces.
    tail: Vec<u8>,
    /// How much of the tail is written. Nothing is while there are pieces.
    written: usize,
    /// Bytes of pieces that are no bodies.
    between: usize,
    /// Bytes of bodies. They count in their own reservation of the budget.
    long: usize,
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

    /// Appends a long body, which counts in a reservation of its own, without a copy.
    pub fn push_body(&mut self, body: Bytes) {
        let mut tail = Bytes::from(std::mem::take(&mut self.tail));
        tail.advance(std::mem::take(&mut self.written));
        self.between += tail.len();
        self.long += body.len();
        self.pieces.push_back(Piece { bytes: tail, is_body: false });
        self.pieces.push_back(Piece { bytes: body, is_body: true });
    }

    /// Bytes in memory, besides long bodies.
    pub fn capacity(&self) -> usize {
        self.between + self.tail.capacity()
    }

    /// Writes until nothing is left.
    pub fn poll_write<IO: AsyncWrite + Unpin>(&mut self, io: &mut IO, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_empty() {
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
        Pin::new(io).poll_flush(cx)
    }

    fn advance(&mut self, written: usize) {
        let Some(piece) = self.pieces.front_mut() else {
            self.written += written;
            return;
        };
        piece.bytes.advance(written);
        *(if piece.is_body { &mut self.long } else { &mut self.between }) -= written;
        if piece.bytes.is_empty() {
            self.pieces.pop_front();
        }
    }
}
