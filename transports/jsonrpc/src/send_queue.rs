//! What a session has to send.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use everywire_core::wire::FREE_BYTES;
use everywire_json::Answer;
use tokio::io::AsyncWrite;

use crate::frames::{Close, TEXT, put_header};

/// The capacity that is kept when everything is written.
const KEPT_BYTES: usize = 64 << 10;

/// Frames that wait to be written. Short ones are written together; a long answer stays where it is.
#[derive(Debug, Default)]
pub(crate) struct SendQueue {
    ready: VecDeque<Piece>,
    /// What comes after the pieces.
    tail: BytesMut,
    /// Bytes of pieces that are no answers.
    between: usize,
    /// Bytes of answers among the pieces. They count in their own reservation of the budget.
    long: usize,
}

#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    is_answer: bool,
}

impl SendQueue {
    /// Bytes that are not written yet.
    pub(crate) fn len(&self) -> usize {
        self.short_len() + self.long
    }

    /// Those of them that count in no reservation of their own.
    pub(crate) fn short_len(&self) -> usize {
        self.between + self.tail.len()
    }

    pub(crate) fn push(&mut self, answer: Answer) {
        let length = answer.as_ref().len();
        put_header(&mut self.tail, TEXT, length);
        if length <= FREE_BYTES {
            return self.tail.extend_from_slice(answer.as_ref());
        }
        self.between += self.tail.len();
        self.long += length;
        self.ready.push_back(Piece { bytes: self.tail.split().freeze(), is_answer: false });
        self.ready.push_back(Piece { bytes: answer.into(), is_answer: true });
    }

    pub(crate) fn push_control(&mut self, opcode: u8, payload: &[u8]) {
        put_header(&mut self.tail, opcode, payload.len());
        self.tail.extend_from_slice(payload);
    }

    pub(crate) fn push_close(&mut self, close: &Close) {
        close.put(&mut self.tail);
    }

    /// Writes until nothing is left.
    pub(crate) fn poll_write<IO: AsyncWrite + Unpin>(
        &mut self,
        io: &mut IO,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.len() == 0 {
            return Poll::Ready(Ok(()));
        }
        while self.len() > 0 {
            let next = self.ready.front().map_or(&self.tail[..], |piece| &piece.bytes);
            match ready!(Pin::new(&mut *io).poll_write(cx, next))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.advance(written),
            }
        }
        if self.tail.capacity() > KEPT_BYTES {
            self.tail = BytesMut::new();
        }
        Pin::new(io).poll_flush(cx)
    }

    fn advance(&mut self, written: usize) {
        let Some(piece) = self.ready.front_mut() else { return self.tail.advance(written) };
        piece.bytes.advance(written);
        *(if piece.is_answer { &mut self.long } else { &mut self.between }) -= written;
        if piece.bytes.is_empty() {
            self.ready.pop_front();
        }
    }
}

impl Extend<Answer> for SendQueue {
    fn extend<I: IntoIterator<Item = Answer>>(&mut self, answers: I) {
        answers.into_iter().for_each(|answer| self.push(answer));
    }
}
