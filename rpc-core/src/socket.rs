//! A connection's socket.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use crate::{budget::Budget, limits::Limit, listener::Io};

/// A stream whose peer has to read what it is sent: everything, or 64 KiB, within `message_time`. Otherwise a peer that never
/// reads would keep its connection, and the memory of its replies, forever. Input is read a little at a time, so that the
/// other connections on the thread get their turn.
#[derive(Debug)]
pub struct Socket<IO> {
    io: IO,
    /// Bytes read since the other connections had their turn.
    turn: usize,
    budget: Arc<Budget>,
    /// From the first write that had to wait until all is written.
    wait: Option<Wait>,
    /// Whether to read on after the shutdown.
    lingers: bool,
    /// When reading on ends, once the stream is shut down.
    linger_end: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
struct Wait {
    deadline: Pin<Box<Sleep>>,
    /// Bytes written since the deadline began.
    taken: usize,
}

/// A peer that reads this many bytes within `message_time` gets the same time again.
pub const LEAST_TAKEN_BYTES: usize = 64 << 10;

/// What is read of one connection at a time. A socket can hold thousands of short requests, whose work takes milliseconds.
const TURN_BYTES: usize = 16 << 10;

/// How long to read on, after the last reply, from a peer that may have more to send.
const LINGER: Duration = Duration::from_secs(2);

impl<IO: Io> Socket<IO> {
    pub(crate) fn new(io: IO, budget: Arc<Budget>) -> Self {
        Self { io, turn: 0, budget, wait: None, lingers: false, linger_end: None }
    }

    /// Lets the shutdown end only when the peer has closed its side too, or after 2 s. Otherwise a peer that is still sending
    /// may lose replies that it has not read yet, if the stream [resets](Io::RESETS).
    pub fn linger(&mut self) {
        self.lingers = IO::RESETS;
    }

    fn within_time(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let Poll::Ready(written) = written else {
            let time = self.budget.limits().message_time;
            let wait = self.wait.get_or_insert_with(|| Wait { deadline: Box::pin(sleep(time)), taken: 0 });
            ready!(wait.deadline.as_mut().poll(cx));
            self.budget.record(Limit::MessageTime, "a peer did not read what was sent to it");
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read")));
        };
        if let (Some(wait), Ok(bytes)) = (&mut self.wait, &written) {
            wait.taken += bytes;
            self.wait.take_if(|wait| wait.taken >= LEAST_TAKEN_BYTES);
        }
        Poll::Ready(written)
    }
}

impl<IO: Io> Io for Socket<IO> {
    const RESETS: bool = IO::RESETS;

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.io.poll_closed(cx)
    }
}

impl<IO: Io> AsyncRead for Socket<IO> {
    #[inline]
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.turn >= TURN_BYTES {
            self.turn = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        if read.is_pending() {
            self.turn = 0;
        }
        ready!(read)?;
        self.turn += buffer.filled().len() - before;
        Poll::Ready(Ok(()))
    }
}

impl<IO: Io> AsyncWrite for Socket<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.within_time(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bytes);
        self.within_time(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// A flush follows the last write, so the deadline ends.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wait = None;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger_end.is_none() {
            ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
        }
        let mut nowhere = [0; 4 << 10];
        while self.lingers {
            if self.linger_end.get_or_insert_with(|| Box::pin(sleep(LINGER))).as_mut().poll(cx).is_ready() {
                break;
            }
            let mut read = ReadBuf::new(&mut nowhere);
            let ended = ready!(self.as_mut().poll_read(cx, &mut read)).is_err() || read.filled().is_empty();
            self.lingers = !ended;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use tokio::{
        io::{AsyncWriteExt, duplex},
        time::timeout,
    };

    use super::*;
    use crate::limits::Limits;

    const DEADLINE: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn a_peer_that_sends_much_lets_others_have_their_turn() {
        let (near, mut far) = duplex(4 * TURN_BYTES);
        let mut socket = Socket::new(near, Budget::new(Limits::default()));
        let sent = vec![1; 4 * TURN_BYTES];
        let (mut turns, mut found) = (0, 0);
        far.write_all(&sent).await.unwrap();
        let reading = poll_fn(|cx| {
            turns += 1;
            while found < sent.len() {
                let mut bytes = [0; TURN_BYTES / 2];
                let mut buffer = ReadBuf::new(&mut bytes);
                ready!(Pin::new(&mut socket).poll_read(cx, &mut buffer)).unwrap();
                found += buffer.filled().len();
            }
            Poll::Ready(())
        });
        timeout(DEADLINE, reading).await.expect("all that was sent");
        assert!(turns >= 4, "read in {turns} turns");
    }
}
