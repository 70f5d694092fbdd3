//! The streams of the operating system.

use std::{
    io::{self, IoSlice, Read},
    pin::Pin,
    task::{Context, Poll, ready},
};

use everywire_core::wire::Io;
use futures_util::FutureExt;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready},
    net::TcpStream,
};

/// A TCP connection or a Unix socket. It finds out that its peer has left even while bytes are unread.
#[derive(Debug)]
pub struct OsStream<S> {
    stream: S,
    /// Whether there may be bytes to read although tokio has been told that there are none.
    has_unread: bool,
}

impl<S> OsStream<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, has_unread: false }
    }
}

/// What tokio's streams have in common without a trait of tokio's for it.
pub trait Raw: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Ready when bytes or the end have arrived since the notice was [cleared](Self::clear_readable).
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Whether the end has arrived.
    fn is_read_closed(&self) -> bool;

    /// Clears the notice of what has arrived, so that the next one is of more bytes, or of the end.
    fn clear_readable(&self);

    /// Reads without a notice.
    fn read_now(&self, buffer: &mut [u8]) -> io::Result<usize>;
}

macro_rules! raw {
    ($stream:ty) => {
        impl Raw for $stream {
            fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Self::poll_read_ready(self, cx)
            }

            fn is_read_closed(&self) -> bool {
                let found = self.ready(Interest::READABLE).now_or_never();
                found.is_some_and(|found| found.is_ok_and(Ready::is_read_closed))
            }

            fn clear_readable(&self) {
                let _ = self.try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
            }

            fn read_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
                (&*SockRef::from(self)).read(buffer)
            }
        }
    };
}

raw!(TcpStream);
#[cfg(unix)]
raw!(tokio::net::UnixStream);

impl<S: Raw> Io for OsStream<S> {
    const RESETS: bool = true;

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if ready!(self.stream.poll_read_ready(cx)).is_err() || self.stream.is_read_closed() {
                return Poll::Ready(());
            }
            self.stream.clear_readable();
            self.has_unread = true;
        }
    }
}

impl<S: Raw> AsyncRead for OsStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.has_unread {
            match self.stream.read_now(buffer.initialize_unfilled()) {
                Ok(length) => {
                    buffer.advance(length);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.has_unread = false,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: Raw> AsyncWrite for OsStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        time::timeout,
    };

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(30);

    async fn pair() -> (OsStream<TcpStream>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        (OsStream::new(stream), peer)
    }

    #[tokio::test]
    async fn the_peer_is_seen_to_have_left_behind_unread_bytes() {
        let (mut stream, mut peer) = pair().await;
        for sent in [&b""[..], b"bytes", b" and more"] {
            peer.write_all(sent).await.unwrap();
            let left = timeout(Duration::from_millis(50), poll_fn(|cx| stream.poll_closed(cx))).await;
            assert!(left.is_err(), "the peer is still there");
        }
        drop(peer);
        timeout(DEADLINE, poll_fn(|cx| stream.poll_closed(cx))).await.expect("the peer has left");
        let mut found = String::new();
        timeout(DEADLINE, stream.read_to_string(&mut found)).await.expect("an end").unwrap();
        assert_eq!(found, "bytes and more");
    }

    #[tokio::test]
    async fn what_arrived_meanwhile_is_read_without_another_notice() {
        let (mut stream, mut peer) = pair().await;
        for sent in [&b"first"[..], b"second"] {
            peer.write_all(sent).await.unwrap();
            let _ = timeout(Duration::from_millis(50), poll_fn(|cx| stream.poll_closed(cx))).await;
            let mut found = vec![0; sent.len()];
            timeout(DEADLINE, stream.read_exact(&mut found)).await.expect("it is there").unwrap();
            assert_eq!(found, sent);
        }
        let reading = stream.read_u8();
        let (read, sent) = tokio::join!(timeout(DEADLINE, reading), peer.write_all(b"x"));
        sent.unwrap();
        assert_eq!(read.expect("the next notice").unwrap(), b'x');
    }
}
