//! Reads into a buffer that grows with its input.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{BufMut, BytesMut};
use tokio::io::AsyncRead;
use tokio_util::io::poll_read_buf;

/// What is reserved for a read, and the least room that is worth a read.
const READ_BYTES: usize = 16 << 10;
const LEAST_READ_BYTES: usize = 4 << 10;

/// Reads once into `input`, which lacks at least `missing` bytes. The room grows with what has arrived, at most doubling,
/// whatever the peer announced; and at most 16 KiB are read beyond the incoming message. Returns 0 at the end of the stream.
#[inline]
pub fn poll_read_more(
    io: Pin<&mut impl AsyncRead>,
    cx: &mut Context<'_>,
    input: &mut BytesMut,
    missing: usize,
) -> Poll<io::Result<usize>> {
    let room = missing.min(input.len());
    if input.capacity() - input.len() < room.max(LEAST_READ_BYTES) {
        input.reserve(room.max(READ_BYTES));
    }
    poll_read_buf(io, cx, &mut input.limit(room.max(READ_BYTES)))
}
