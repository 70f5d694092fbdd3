//! What a connection runs over.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use everywire_net::Socket;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};

/// A stream that knows whether its peer has left, even while nobody reads it.
pub trait Stream: AsyncRead + AsyncWrite + Send {
    /// Ready when the peer has closed its side, whatever it sent before. A stream that can't tell is never ready, so the end
    /// is found when it is read.
    fn poll_left(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    /// Lets the shutdown listen on for a while to a peer that may be sending, if closing the stream with unread bytes would take
    /// back what was written, as TCP's reset does.
    fn linger(self: Pin<&mut Self>) {}
}

impl Stream for Socket {
    fn poll_left(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Self::poll_left(self.get_mut(), cx)
    }

    fn linger(self: Pin<&mut Self>) {
        Self::linger(self.get_mut());
    }
}

/// For tests.
impl Stream for DuplexStream {}
