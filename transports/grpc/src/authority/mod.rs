//! An authority with a `%`, which h2 rejects.
//!
//! gRPC's C library sends the path of a Unix socket as `:authority: %2Ftmp%2Fsock`, and its own servers accept any
//! authority. If [`http::uri::Authority`] rejects it, h2 resets the stream before a server sees the request. Nothing in this
//! crate uses the authority, so this reader beneath h2 replaces each `%` in it by a dot, whose code has the same length.

mod fields;

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::fields::Fields;

/// The length of the preface of every HTTP/2 connection.
pub(crate) const PREFACE: usize = 24;

// RFC 9113, sections 6.2 and 6.10.
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

/// A socket that turns authorities into ones that h2 accepts.
pub(crate) struct AnyAuthority<S> {
    socket: S,
    frames: Frames,
}

impl<S> AnyAuthority<S> {
    pub(crate) fn new(socket: S) -> Self {
        Self { socket, frames: Frames::new() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for AnyAuthority<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        self.frames.read(&mut buffer.filled_mut()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for AnyAuthority<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// The position in the frames at which the bytes read so far end.
pub(crate) struct Frames {
    head: [u8; 9],
    /// How many bytes of the head have arrived.
    head_bytes: usize,
    /// The parts of the frame that are still to come, in this order.
    has_padding: bool,
    skipped: usize,
    block: usize,
    padding: usize,
    fields: Fields,
}

impl Frames {
    pub(crate) fn new() -> Self {
        Self {
            head: [0; 9],
            head_bytes: 0,
            has_padding: false,
            skipped: PREFACE,
            block: 0,
            padding: 0,
            fields: Fields::default(),
        }
    }

    pub(crate) fn read(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            let read = self.step(bytes);
            bytes = &mut bytes[read..];
        }
    }

    /// Reads the next part of a frame, or what has arrived of it, and returns how many bytes it read.
    fn step(&mut self, bytes: &mut [u8]) -> usize {
        if self.has_padding {
            self.has_padding = false;
            self.padding = bytes[0].into();
            self.block = self.block.saturating_sub(self.padding);
            return 1;
        }
        if self.skipped > 0 {
            return take(&mut self.skipped, bytes.len());
        }
        if self.block > 0 {
            let read = take(&mut self.block, bytes.len());
            self.fields.read(&mut bytes[..read]);
            return read;
        }
        if self.padding > 0 {
            return take(&mut self.padding, bytes.len());
        }
        let read = bytes.len().min(self.head.len() - self.head_bytes);
        self.head[self.head_bytes..][..read].copy_from_slice(&bytes[..read]);
        self.head_bytes += read;
        if self.head_bytes == self.head.len() {
            self.begin();
        }
        read
    }

    /// Begins the payload of the frame whose head is complete.
    fn begin(&mut self) {
        self.head_bytes = 0;
        let [a, b, c, kind, flags, ..] = self.head;
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        match kind {
            HEADERS => {
                self.fields = Fields::default();
                self.has_padding = flags & PADDED != 0;
                self.skipped = if flags & PRIORITY != 0 { 5 } else { 0 };
                self.block = length.saturating_sub(self.skipped + usize::from(self.has_padding));
            }
            CONTINUATION => self.block = length,
            _ => self.skipped = length,
        }
    }
}

/// Takes up to `bytes` from what is left of a part, and returns how many it took.
fn take(left: &mut usize, bytes: usize) -> usize {
    let taken = bytes.min(*left);
    *left -= taken;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &[u8] = b"\x41\x04%2Fx";

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        [&[0, 0, u8::try_from(payload.len()).unwrap(), kind, flags, 0, 0, 0, 1], payload].concat()
    }

    /// Checks what `frames` become after the preface, read in pieces of any size.
    #[track_caller]
    fn becomes(frames: &[u8], expected: &[u8]) {
        let whole = [&[b'%'; PREFACE], frames].concat();
        for size in 1..=whole.len() {
            let (mut bytes, mut frames) = (whole.clone(), Frames::new());
            bytes.chunks_mut(size).for_each(|piece| frames.read(piece));
            assert!(bytes[PREFACE..] == *expected, "{size}: {}", bytes.escape_ascii());
        }
    }

    #[test]
    fn only_the_authority_is_changed() {
        let others = [
            // The method GET by index, the path, a name with `%`, a name by a long index, a change of the table's size.
            &b"\x82\x04\x05/%2Fx\x00\x0a:%uthority\x01%\x0f\x25\x01%\x3f\x25"[..],
            // A long value, and an empty one.
            b"\x04\x7f\x0a",
            &[b'%'; 137],
            b"\x04\x00",
        ]
        .concat();
        let authorities: [(&[u8], &[u8]); 4] = [
            (PLAIN, b"\x41\x04.2Fx"),
            (b"\x00\x0a:authority\x02%%", b"\x00\x0a:authority\x02.."),
            (b"\x01\x01%", b"\x01\x01."),
            // Huffman-coded: `%2`.
            (b"\x41\x82\x54\x5f", b"\x41\x82\x5c\x5f"),
        ];
        for (authority, changed) in authorities {
            let block = |authority: &[u8]| [authority, &others, authority, b"\x82"].concat();
            let framed = |authority: &[u8]| {
                let block = block(authority);
                let (first, second) = block.split_at(3);
                [
                    frame(4, 0, b"\x41\x01%"),
                    frame(HEADERS, 4, &block),
                    frame(0, 0, PLAIN),
                    frame(HEADERS, 4 | PADDED | PRIORITY, &[&[3], &b"%%%%%"[..], &block, b"\x41\x01%"].concat()),
                    frame(HEADERS, 0, first),
                    frame(CONTINUATION, 4, second),
                    frame(0, 1, b""),
                ]
                .concat()
            };
            becomes(&framed(authority), &framed(changed));
        }
    }

    #[test]
    fn malformed_frames_do_not_panic() {
        for bytes in [[0xff; 300], [HEADERS; 300], [CONTINUATION; 300], [0x7f; 300]] {
            let mut frames = Frames::new();
            frames.read(&mut frame(HEADERS, PADDED | PRIORITY, b""));
            frames.read(&mut bytes.clone());
            frames.read(&mut frame(HEADERS, 4, &bytes[..255]));
        }
    }
}
