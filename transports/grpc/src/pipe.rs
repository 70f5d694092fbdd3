//! Sends the bodies of many messages: replies that are streams, and those of the health and reflection services.

use std::{future::poll_fn, pin::Pin, sync::Arc, task::Poll};

use bytes::Bytes;
use everywire_core::{Budget, Limit};
use h2::{Reason, SendStream};
use hyper::body::Frame;
use tokio::time::sleep;
use tonic::Status;

use crate::{body::Messages, send_queue::Piece};

/// Sends `body` as fast as the peer takes it. The peer has `message_time` for each message.
pub(crate) async fn pipe(
    mut body: Pin<Box<dyn Messages>>,
    mut stream: SendStream<Piece>,
    budget: Arc<Budget>,
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
        let ended = tokio::select! {
            biased;
            sent = send(message, &mut stream) => { sent?; continue }
            reason = poll_fn(|cx| body.as_mut().poll_end(cx)) => reason,
            () = sleep(budget.limits().message_time) => Reason::ENHANCE_YOUR_CALM,
        };
        if ended == Reason::ENHANCE_YOUR_CALM {
            budget.record(Limit::MessageTime, "a peer did not take its reply");
        }
        stream.send_reset(ended);
        return Ok(());
    }
    stream.send_data(Piece::default(), true)
}

/// The next frame, or an error if the peer resets the stream first.
async fn next(
    body: &mut Pin<Box<dyn Messages>>,
    stream: &mut SendStream<Piece>,
) -> Result<Option<Result<Frame<Bytes>, Status>>, h2::Error> {
    poll_fn(|cx| match stream.poll_reset(cx) {
        Poll::Ready(reset) => Poll::Ready(Err(reset.map_or_else(|error| error, h2::Error::from))),
        Poll::Pending => body.as_mut().poll_frame(cx).map(Ok),
    })
    .await
}

/// Passes h2 only as much of `message` at a time as the windows allow, so that h2 buffers little of it.
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
