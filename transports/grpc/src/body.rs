//! Bodies of HTTP/2: how a request's arrives, and how one of the health or reflection service leaves.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use everywire_core::{Budget, Limit, wire::CancellationToken};
use h2::{Reason, RecvStream, SendStream};
use hyper::body::{Body as HttpBody, Frame};
use tokio::time::sleep;
use tonic::Status;

use crate::{builtin::Stream, connection::FAREWELL, send_queue::Piece};

/// The body of a request.
pub(crate) struct Incoming(pub(crate) RecvStream);

impl HttpBody for Incoming {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        Poll::Ready(match ready!(self.0.poll_data(cx)) {
            // What is read makes room for as much again.
            Some(Ok(data)) => Some(self.0.flow_control().release_capacity(data.len()).map(|()| Frame::data(data))),
            Some(Err(error)) => Some(Err(error)),
            None => ready!(self.0.poll_trailers(cx)).transpose().map(|trailers| trailers.map(Frame::trailers)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}

/// Sends `body` as the peer takes it: each message within `message_time`.
pub(crate) async fn pipe(
    mut body: Stream,
    mut stream: SendStream<Piece>,
    budget: Arc<Budget>,
    stop: CancellationToken,
) -> Result<(), h2::Error> {
    while let Some(frame) = next(&mut body, &mut stream).await? {
        let Ok(frame) = frame else {
            stream.send_reset(Reason::INTERNAL_ERROR);
            return Ok(());
        };
        let message = match frame.into_data() {
            Ok(message) => message,
            Err(frame) => return stream.send_trailers(frame.into_trailers().unwrap_or_default()),
        };
        let is_late = tokio::select! {
            biased;
            sent = send(message, &mut stream) => sent.map(|()| false)?,
            () = late(&budget, &stop) => true,
        };
        if is_late {
            budget.record(Limit::MessageTime, "a peer did not take its reply");
            stream.send_reset(Reason::ENHANCE_YOUR_CALM);
            return Ok(());
        }
    }
    stream.send_data(Piece::default(), true)
}

/// Completes when a peer has had its time to take a message. It has little of it after the stop.
async fn late(budget: &Budget, stop: &CancellationToken) {
    tokio::select! {
        () = sleep(budget.limits().message_time) => {}
        () = stop.cancelled() => sleep(FAREWELL).await,
    }
}

/// The next frame, unless the peer resets the stream before.
async fn next(
    body: &mut Stream,
    stream: &mut SendStream<Piece>,
) -> Result<Option<Result<Frame<Bytes>, Status>>, h2::Error> {
    poll_fn(|cx| match stream.poll_reset(cx) {
        Poll::Ready(reset) => Poll::Ready(Err(reset.map_or_else(|error| error, h2::Error::from))),
        Poll::Pending => body.poll_frame(cx).map(Ok),
    })
    .await
}

/// Hands `message` over as far as the windows are open, so that h2 doesn't have to keep it.
async fn send(mut message: Bytes, stream: &mut SendStream<Piece>) -> Result<(), h2::Error> {
    while !message.is_empty() {
        stream.reserve_capacity(message.len());
        while stream.capacity() == 0 {
            let Some(room) = poll_fn(|cx| stream.poll_capacity(cx)).await else {
                return Err(Reason::STREAM_CLOSED.into());
            };
            room?;
        }
        let piece = message.split_to(stream.capacity().min(message.len()));
        stream.send_data(piece.into(), false)?;
    }
    Ok(())
}
