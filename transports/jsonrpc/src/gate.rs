//! Backpressure for WebSocket sessions.
//!
//! jsonrpsee reads a session's messages without end and starts a task for each. So the socket itself holds back: it has
//! nothing to read while the session's calls are at their limit, or while the peer leaves replies unread.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, ready},
};

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Reads in a row before the tasks of what was read get a turn and are counted: at 8 KiB each, 64 KiB.
const READS_IN_A_ROW: u32 = 8;

/// Counts the calls in flight on one connection, and closes it.
#[derive(Debug)]
pub(crate) struct Gate {
    limit: usize,
    in_flight: AtomicUsize,
    closed: AtomicBool,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl Gate {
    /// A gate for `limit` calls in flight.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            in_flight: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
        })
    }

    /// Counts a call until its place is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> Place {
        self.in_flight.fetch_add(1, SeqCst);
        Place(Arc::clone(self))
    }

    /// Ends the connection at once, whoever holds its socket.
    pub(crate) fn close(&self) {
        self.closed.store(true, SeqCst);
        self.reader.wake();
        self.writer.wake();
    }

    /// Ready when more may be read. `unread` says that the peer leaves replies unread.
    fn poll_open(&self, cx: &Context<'_>, unread: bool) -> Poll<()> {
        let is_held = || !self.is_closed() && (unread || self.in_flight.load(SeqCst) >= self.limit);
        if is_held() {
            self.reader.register(cx.waker());
            if is_held() {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }

    fn is_closed(&self) -> bool {
        self.closed.load(SeqCst)
    }
}

/// One call in flight.
#[derive(Debug)]
pub(crate) struct Place(Arc<Gate>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, SeqCst);
        self.0.reader.wake();
    }
}

/// A socket behind its gate.
#[derive(Debug)]
pub(crate) struct Gated<T> {
    socket: T,
    gate: Arc<Gate>,
    /// The peer does not take what is to be written.
    unread: bool,
    /// Since the socket had nothing to read.
    reads: u32,
}

impl<T: Unpin> Gated<T> {
    pub(crate) fn new(socket: T, gate: Arc<Gate>) -> Self {
        Self { socket, gate, unread: false, reads: 0 }
    }

    /// Writes by `write` and notes whether the peer keeps up.
    fn poll_out<R>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut T>, &mut Context<'_>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        let outcome = write(Pin::new(&mut self.socket), cx);
        if outcome.is_pending() {
            self.unread = true;
            self.gate.writer.register(cx.waker());
        } else if self.unread {
            self.unread = false;
            self.gate.reader.wake();
        }
        if self.gate.is_closed() { Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())) } else { outcome }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Gated<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.gate.poll_open(cx, this.unread));
        if this.gate.is_closed() {
            return Poll::Ready(Ok(()));
        }
        if this.reads == READS_IN_A_ROW {
            this.reads = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let outcome = Pin::new(&mut this.socket).poll_read(cx, buffer);
        this.reads = if outcome.is_ready() { this.reads + 1 } else { 0 };
        outcome
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Gated<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_out(cx, |socket, cx| socket.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_out(cx, |socket, cx| socket.poll_write_vectored(cx, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
