//! What a connection runs over.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use everywire_net::Socket;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};

/// A stream that knows whether its peer has left, even while nobody reads it.
pub trait Stream: AsyncRead + AsyncWrite + Send {
    /// Whether closing it with unread bytes takes back what was written, as TCP's reset does.
    const RESETS: bool = false;

    /// Ready when the peer has closed its side, whatever it sent before. A stream that can't tell is never ready, so the end
    /// is found when it is read.
    fn poll_left(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

impl Stream for Socket {
    const RESETS: bool = true;

    fn poll_left(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Self::poll_left(self.get_mut(), cx)
    }
}

/// For tests.
impl Stream for DuplexStream {}
