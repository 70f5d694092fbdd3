//! Sending within HTTP/2's flow control, on many streams in turn.

use super::frames::{FRAME_BYTES, Frame, GOAWAY, HEAD_BYTES, INITIAL_WINDOW, SETTINGS, WINDOW_UPDATE, frames};
use crate::attacks::Peer;

/// How much may be sent on each of a connection's streams, and what the server said of them.
pub(super) struct Flow {
    /// Bytes that may be sent on the connection, on a new stream, and on each stream besides what a new one has.
    connection: i64,
    initial: i64,
    streams: Vec<Stream>,
    turn: usize,
    pub(super) sent: usize,
    pub(super) said: String,
}

pub(super) struct Stream {
    window: i64,
    left: usize,
    open: bool,
}

pub(super) const DEFAULT_WINDOW: i64 = 65_535;

impl Flow {
    pub(super) fn new(streams: usize, bytes: usize) -> Self {
        let stream = || Stream { window: 0, left: bytes, open: true };
        let streams = (0..streams).map(|_| stream()).collect();
        Self { connection: DEFAULT_WINDOW, initial: DEFAULT_WINDOW, streams, turn: 0, sent: 0, said: String::new() }
    }

    pub(super) fn sent_prefixes(&mut self) {
        for index in 0..self.streams.len() {
            self.count(index, 5);
        }
    }

    pub(super) fn count(&mut self, index: usize, bytes: usize) {
        let spent = i64::try_from(bytes).expect("short");
        self.connection -= spent;
        self.streams[index].window -= spent;
        self.streams[index].left -= bytes;
        self.sent += bytes;
    }

    pub(super) fn open(&self) -> usize {
        self.streams.iter().filter(|stream| stream.open).count()
    }

    pub(super) fn is_over(&self) -> bool {
        self.open() == 0
    }

    /// The next stream that may send, in turn, and how much.
    pub(super) fn next(&mut self) -> Option<(u32, usize)> {
        let count = self.streams.len();
        let index = (0..count).map(|step| (self.turn + step) % count).find(|&index| self.room(index) > 0)?;
        let length = self.room(index);
        self.turn = index + 1;
        self.count(index, length);
        Some((u32::try_from(2 * index + 1).ok()?, length))
    }

    pub(super) fn room(&self, index: usize) -> usize {
        let Stream { window, left, open } = &self.streams[index];
        let allowed = self.connection.min(self.initial + window).max(0);
        if *open { usize::try_from(allowed).unwrap_or(0).min(*left).min(FRAME_BYTES) } else { 0 }
    }

    /// Takes what the server said off what was heard.
    pub(super) fn read(&mut self, peer: &mut Peer) {
        let mut whole = 0;
        for frame in frames(&peer.heard) {
            whole += HEAD_BYTES + frame.payload.len();
            self.hear(&frame);
        }
        peer.heard.drain(..whole);
    }

    pub(super) fn hear(&mut self, frame: &Frame) {
        let number = |bytes: &[u8]| bytes.first_chunk().map_or(0, |bytes| i64::from(u32::from_be_bytes(*bytes)));
        let stream = usize::try_from(frame.stream / 2).unwrap_or(0);
        match frame.kind {
            SETTINGS => {
                for setting in frame.payload.chunks_exact(6) {
                    if setting[..2] == INITIAL_WINDOW.to_be_bytes() {
                        self.initial = number(&setting[2..]);
                    }
                }
            }
            WINDOW_UPDATE if frame.stream == 0 => self.connection += number(frame.payload),
            WINDOW_UPDATE => self.streams[stream].window += number(frame.payload),
            GOAWAY => {
                self.said = String::from("GOAWAY");
                self.streams.iter_mut().for_each(|stream| stream.open = false);
            }
            _ if frame.ends_stream() && self.streams[stream].open => {
                self.streams[stream].open = false;
                if self.said.is_empty() {
                    let status = frame.grpc_status();
                    self.said = status.map_or_else(|| "reset".to_owned(), |status| format!("grpc-status {status}"));
                }
            }
            _ => {}
        }
    }
}
