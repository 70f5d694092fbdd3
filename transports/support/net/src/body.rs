//! Reads the bodies of requests and responses, within the limits.

use std::sync::Arc;

use bytes::Bytes;
use everywire_core::{
    Budget, Limit, Result, RpcError,
    wire::{CancellationToken, Reservation},
};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use crate::message::arrived;

/// A complete body.
#[derive(Debug)]
pub struct Received {
    /// As it was sent, without the chunks.
    pub bytes: Bytes,
    /// Counts them while they are needed.
    pub reservation: Reservation,
}

/// Reads a body within the limits `message_bytes`, `message_time` and `buffered_bytes`. A length announced beyond the limit is
/// rejected before anything is read.
pub async fn receive(body: Incoming, budget: &Arc<Budget>, stop: &CancellationToken) -> Result<Received> {
    arrived(collect(body, budget), budget, stop).await
}

/// Reads a body without a limit of time, for clients, whose calls have one. One that breaks off is `DATA_LOSS`.
pub async fn collect(mut body: Incoming, budget: &Arc<Budget>) -> Result<Received> {
    let limit = budget.limits().message_bytes;
    let too_long = || budget.exceeded(Limit::MessageBytes, "the body is too long");
    if body.size_hint().lower() > limit as u64 {
        return Err(too_long());
    }
    let mut received = Received { bytes: next(&mut body).await?.unwrap_or_default(), reservation: budget.reserve() };
    if received.bytes.len() > limit {
        return Err(too_long());
    }
    // An ordinary request arrives in one piece and stays where it was received.
    if body.is_end_stream() {
        return Ok(received);
    }
    let mut whole = Vec::from(received.bytes);
    while let Some(more) = next(&mut body).await? {
        let length = whole.len() + more.len();
        if length > limit {
            return Err(too_long());
        }
        received.reservation.try_resize(length)?;
        whole.extend_from_slice(&more);
    }
    Ok(Received { bytes: whole.into(), ..received })
}

async fn next(body: &mut Incoming) -> Result<Option<Bytes>> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| RpcError::data_loss(format!("the body broke off: {error}")))?;
        // Anything else is trailers, which have no meaning here.
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}
