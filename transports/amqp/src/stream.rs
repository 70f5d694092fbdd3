//! The stream between lapin and the broker. It checks each frame before lapin reads it.

use std::{
    fmt,
    future::Future,
    io::{self, Read, Write},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use async_rs::{
    Runtime, Tokio,
    traits::Reactor,
    util::{DummyIO, RuntimeParts},
};
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::{FutureExt, Stream, TryFutureExt};

use crate::frames::Frames;

/// Bytes that are read at a time.
const READ_BYTES: usize = 16 << 10;

/// The runtime that lapin runs in: tokio, with streams that are [`Checked`].
pub(crate) type CheckedRuntime = Runtime<RuntimeParts<Tokio, CheckedTokio>>;

/// The current runtime of tokio, for connections whose URL asks for frames of at most `frame_max` bytes.
pub(crate) fn runtime(frame_max: Option<u32>) -> CheckedRuntime {
    let tokio = Tokio::current();
    Runtime::new(RuntimeParts::new(tokio.clone(), CheckedTokio { tokio, frame_max }))
}

/// tokio's reactor. lapin has no other way to read from a stream of ours.
#[derive(Debug, Clone)]
pub(crate) struct CheckedTokio {
    tokio: Tokio,
    frame_max: Option<u32>,
}

impl Reactor for CheckedTokio {
    type TcpStream = Checked<<Tokio as Reactor>::TcpStream>;
    type Sleep = <Tokio as Reactor>::Sleep;

    // lapin has no use for it.
    fn register<H: Read + Write + Send + 'static>(
        &self,
        _: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        Err::<DummyIO, _>(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, time: Duration) -> Self::Sleep {
        self.tokio.sleep(time)
    }

    fn interval(&self, time: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.tokio.interval(time)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let frames = Frames::new(self.frame_max);
        self.tokio.tcp_connect_addr(address).map_ok(|stream| Checked::new(stream, frames)).boxed()
    }
}

/// A stream from the broker that yields only frames that lapin can read.
pub(crate) struct Checked<S> {
    stream: S,
    frames: Frames,
    buffer: Box<[u8]>,
}

impl<S> Checked<S> {
    fn new(stream: S, frames: Frames) -> Self {
        Self { stream, frames, buffer: vec![0; READ_BYTES].into() }
    }

    pub(crate) fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Checked<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let Self { stream, frames, buffer } = self.get_mut();
        while frames.is_empty() {
            match ready!(Pin::new(&mut *stream).poll_read(cx, buffer))? {
                0 => return Poll::Ready(Ok(0)),
                count => frames.push(&buffer[..count])?,
            }
        }
        Poll::Ready(Ok(frames.take(into)))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Checked<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_close(cx)
    }
}

impl<S> fmt::Debug for Checked<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checked").finish_non_exhaustive()
    }
}
