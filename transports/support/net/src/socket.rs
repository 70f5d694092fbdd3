//! A connection's socket.

use std::{
    io::{self, IoSlice, Read},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use everywire_core::{Budget, Limit, wire::Waiting};
use futures_util::FutureExt;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready},
    net::TcpStream,
    time::{Sleep, sleep},
};

/// A TCP stream whose peer has to take what is sent to it: everything, or the least rate, within `message_time`.
/// Otherwise peers that never read would hold their connections, and the memory of their answers, for good. And a peer
/// that sends much is read a little at a time, so that the other connections of the thread get their turn between.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    /// Bytes read since the other connections had their turn.
    turn: usize,
    /// Whether there may be bytes to read of which [`poll_left`](Self::poll_left) has taken the notice.
    unread: bool,
    budget: Arc<Budget>,
    /// The calls of this connection that wait.
    waiting: Waiting,
    /// From the first write that had to wait until all is written.
    wait: Option<Wait>,
    /// Whether the peer is listened to after the shutdown.
    lingers: bool,
    /// Until when, once the shutdown is done.
    linger_end: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
struct Wait {
    deadline: Pin<Box<Sleep>>,
    /// Bytes written since the deadline began.
    taken: usize,
}

/// A peer that takes so many bytes within `message_time` gets as much time again.
pub const LEAST_TAKEN_BYTES: usize = 64 << 10;

/// What is read of one connection at a time. A socket can hold thousands of short requests, whose work takes milliseconds.
const TURN_BYTES: usize = 16 << 10;

/// How long a peer that may have more to send is listened to after the last answer.
const LINGER: Duration = Duration::from_secs(2);

impl Socket {
    pub(crate) fn new(stream: TcpStream, budget: Arc<Budget>, waiting: Waiting) -> Self {
        Self { stream, turn: 0, unread: false, budget, waiting, wait: None, lingers: false, linger_end: None }
    }

    /// The count of this connection's waiting calls, which the [`Listener`](crate::Listener) reads.
    pub fn waiting(&self) -> Waiting {
        self.waiting.clone()
    }

    /// Lets the shutdown end only when the peer has closed its side too, or after 2 s. Closing a socket with unread bytes
    /// resets the connection, and the peer may lose answers that it has not read yet: for peers that may be sending.
    pub fn linger(&mut self) {
        self.lingers = true;
    }

    /// Ready when the peer has closed its side, or the connection broke: for who doesn't read now and would not see the
    /// end behind what it leaves unread.
    pub fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if ready!(self.stream.poll_read_ready(cx)).is_err() {
                return Poll::Ready(());
            }
            let found = self.stream.ready(Interest::READABLE).now_or_never();
            if found.is_some_and(|found| found.is_ok_and(Ready::is_read_closed)) {
                return Poll::Ready(());
            }
            // Only bytes have arrived. Without this notice of them, the next one is of more bytes, or of the end.
            let _ = self.stream.try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
            self.unread = true;
        }
    }

    /// Reads without waiting for a notice. False if there is nothing.
    fn read_unread(&mut self, buffer: &mut ReadBuf<'_>) -> io::Result<bool> {
        match (&*SockRef::from(&self.stream)).read(buffer.initialize_unfilled()) {
            Ok(length) => {
                buffer.advance(length);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn patient(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
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

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.turn >= TURN_BYTES {
            self.turn = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        if !(self.unread && self.read_unread(buffer)?) {
            self.unread = false;
            let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
            if read.is_pending() {
                self.turn = 0;
            }
            ready!(read)?;
        }
        self.turn += buffer.filled().len() - before;
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
        if self.linger_end.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
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

    use everywire_core::Limits;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        time::timeout,
    };

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(30);

    async fn pair() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let budget = Budget::new(Limits::default());
        let waiting = Waiting::new(&budget);
        (Socket::new(stream, budget, waiting), peer)
    }

    #[tokio::test]
    async fn who_does_not_read_learns_that_the_peer_has_left() {
        let (mut socket, mut peer) = pair().await;
        for sent in [&b""[..], b"bytes", b" and more"] {
            peer.write_all(sent).await.unwrap();
            let left = timeout(Duration::from_millis(50), poll_fn(|cx| socket.poll_left(cx))).await;
            assert!(left.is_err(), "the peer is still there");
        }
        drop(peer);
        timeout(DEADLINE, poll_fn(|cx| socket.poll_left(cx))).await.expect("the peer has left");
        let mut found = String::new();
        timeout(DEADLINE, socket.read_to_string(&mut found)).await.expect("an end").unwrap();
        assert_eq!(found, "bytes and more");
    }

    #[tokio::test]
    async fn who_sends_much_lets_others_have_their_turn() {
        let (mut socket, mut peer) = pair().await;
        let sent = vec![1; 4 * TURN_BYTES];
        let (mut turns, mut found) = (0, 0);
        peer.write_all(&sent).await.unwrap();
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

    #[tokio::test]
    async fn what_arrived_meanwhile_is_read_without_another_notice() {
        let (mut socket, mut peer) = pair().await;
        for sent in [&b"first"[..], b"second"] {
            peer.write_all(sent).await.unwrap();
            let _ = timeout(Duration::from_millis(50), poll_fn(|cx| socket.poll_left(cx))).await;
            let mut found = vec![0; sent.len()];
            timeout(DEADLINE, socket.read_exact(&mut found)).await.expect("it is there").unwrap();
            assert_eq!(found, sent);
        }
        let reading = socket.read_u8();
        let (read, sent) = tokio::join!(timeout(DEADLINE, reading), peer.write_all(b"x"));
        sent.unwrap();
        assert_eq!(read.expect("the next notice").unwrap(), b'x');
    }
}
