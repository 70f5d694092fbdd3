//! A connection's socket.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use rpc_core::{Budget, Limit};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

/// A TCP stream whose peer has to take what is sent to it: everything, or the least rate, within `message_time`.
/// Otherwise peers that never read would hold their connections, and the memory of their answers, for good.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    /// Bytes that were read and given back.
    ahead: Bytes,
    budget: Arc<Budget>,
    /// From the first write that had to wait until all is written.
    wait: Option<Wait>,
}

#[derive(Debug)]
struct Wait {
    deadline: Pin<Box<Sleep>>,
    /// Bytes written since the deadline began.
    taken: usize,
}

/// A peer that takes so many bytes within `message_time` gets as much time again.
const LEAST_TAKEN_BYTES: usize = 64 << 10;

impl Socket {
    pub(crate) fn new(stream: TcpStream, budget: Arc<Budget>) -> Self {
        Self { stream, ahead: Bytes::new(), budget, wait: None }
    }

    /// Lets `bytes` be read again, before what comes next.
    pub fn give_back(&mut self, bytes: impl Into<Bytes>) {
        self.ahead = bytes.into();
    }

    fn patient(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let Poll::Ready(written) = written else {
            let time = self.budget.limits().message_time;
            let wait = self.wait.get_or_insert_with(|| Wait { deadline: Box::pin(sleep(time)), taken: 0 });
            ready!(wait.deadline.as_mut().poll(cx));
            self.budget.note(Limit::MessageTime, "a peer did not read what was sent to it");
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read")));
        };
        if let (Some(wait), Ok(bytes)) = (&mut self.wait, &written) {
            wait.taken += bytes;
            self.wait.take_if(|wait| wait.taken >= LEAST_TAKEN_BYTES);
        }
        Poll::Ready(written)
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let length = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.ahead[..length]);
        self.ahead.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.patient(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.patient(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Who flushes has nothing more to write.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wait = None;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
