//! The bodies of a request and of a response on HTTP/2.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::HeaderMap;
use hyper::body::{Body as HttpBody, Frame};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Sleep, sleep},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{Status, body::Body as TonicBody};

use crate::clock::DRAIN_TIME;

/// The body of a request.
pub(crate) struct Incoming(pub(crate) RecvStream);

impl HttpBody for Incoming {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        Poll::Ready(match ready!(self.0.poll_data(cx)) {
            // Each byte that is read lets the peer send another one.
            Some(Ok(data)) => Some(self.0.flow_control().release_capacity(data.len()).map(|()| Frame::data(data))),
            Some(Err(error)) => Some(Err(error)),
            None => ready!(self.0.poll_trailers(cx)).transpose().map(|trailers| trailers.map(Frame::trailers)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}

/// The body of a response.
#[derive(Default)]
pub(crate) enum Body {
    /// None: the headers are the whole response.
    #[default]
    Empty,
    /// One message with its prefix; the trailers of success follow.
    Message(Bytes),
    /// Many messages and the trailers.
    Many(Pin<Box<dyn Messages>>),
}

/// The messages of a body of many.
pub(crate) trait Messages: HttpBody<Data = Bytes, Error = Status> + Send {
    /// Ready if the body has to end although the peer has not taken what is being sent: why.
    fn poll_end(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reason>;
}

/// The body of a response of the health or reflection service. It may have no end of its own, such as that of health's
/// `Watch`; after the shutdown it ends as soon as it has no more messages.
pub(crate) struct Endless {
    inner: TonicBody,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Runs while the peer does not take a message after that.
    drain: Option<Pin<Box<Sleep>>>,
    ended: bool,
    _permit: OwnedSemaphorePermit,
}

impl Endless {
    /// The stream of `inner`, which ends after `stopped`. Holds `permit` until then.
    pub(crate) fn new(inner: TonicBody, stopped: CancellationToken, permit: OwnedSemaphorePermit) -> Self {
        Self { inner, stopped: Box::pin(stopped.cancelled_owned()), drain: None, ended: false, _permit: permit }
    }
}

impl HttpBody for Endless {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        ready!(self.stopped.as_mut().poll(cx));
        self.ended = true;
        let mut trailers = HeaderMap::new();
        let added = Status::unavailable("the server is shutting down").add_header(&mut trailers);
        Poll::Ready(Some(added.map(|()| Frame::trailers(trailers))))
    }
}

impl Messages for Endless {
    fn poll_end(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reason> {
        ready!(self.stopped.as_mut().poll(cx));
        let drain = self.drain.get_or_insert_with(|| Box::pin(sleep(DRAIN_TIME)));
        drain.as_mut().poll(cx).map(|()| Reason::ENHANCE_YOUR_CALM)
    }
}
