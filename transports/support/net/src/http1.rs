//! The server side of HTTP/1, within the limits, for the wires that have a body per call.

use std::{convert::Infallible, pin::pin, sync::Arc};

use bytes::Bytes;
use everywire_core::{
    Budget, Code, Limit, Result, RpcError,
    wire::{CancellationToken, Io, Reservation, Socket},
};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::{
    body::{Body, Incoming},
    server::conn::http1::Builder,
    service::service_fn,
    upgrade::{OnUpgrade, Parts},
};
use hyper_util::rt::TokioIo;

use crate::{
    WebOrigins, arrived,
    encoding::ACCEPTED,
    head,
    head_timer::{Activity, HeadTimer, Tracked},
};

/// What a connection may buffer: the longest head of a request, and the largest piece of a body.
const BUFFER_BYTES: usize = 64 << 10;

/// Serves one connection until the peer closes it, a response has `Connection: close`, or `stop` is cancelled. The request in
/// progress then still gets its response; a request whose head has not arrived is dropped. Connections may be [upgraded].
/// Requests of pages that `origins` does not allow, requests that break HTTP, and OPTIONS get their response here and do not
/// reach `answer`.
pub async fn serve<F, B>(
    socket: Socket<impl Io>,
    budget: &Arc<Budget>,
    origins: &WebOrigins,
    stop: &CancellationToken,
    answer: impl Fn(Request<Incoming>) -> F,
) -> hyper::Result<()>
where
    F: Future<Output = Response<B>>,
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + From<String> + 'static,
{
    let activity = Arc::new(Activity::default());
    let service = service_fn(async |request: Request<Incoming>| {
        let response = head::respond(request, origins, &answer).await;
        let closes = response.headers().contains_key(header::CONNECTION);
        activity.answered(closes);
        Ok::<_, Infallible>(response)
    });
    let io = Tracked::new(socket, &activity);
    let mut connection = pin!(
        Builder::new()
            .timer(HeadTimer::new(&activity, budget))
            .header_read_timeout(budget.limits().handshake_time)
            .max_buf_size(BUFFER_BYTES)
            .serve_connection(TokioIo::new(io), service)
            .with_upgrades()
    );
    tokio::select! {
        ended = &mut connection => return ended,
        () = stop.cancelled() => {}
    }
    activity.stop();
    connection.as_mut().graceful_shutdown();
    connection.await
}

/// The socket of a connection that [`serve`] has upgraded, and the bytes behind the request that were read already. None if
/// the connection broke before.
pub async fn upgraded<IO: Io>(upgrade: OnUpgrade) -> Option<(Socket<IO>, Bytes)> {
    let parts = upgrade.await.ok()?.downcast::<TokioIo<Tracked<IO>>>().ok()?;
    let Parts { io, read_buf, .. } = parts;
    Some((io.into_inner().into_socket(), read_buf))
}

/// The body of a request, whole.
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

/// A response below the wire's own protocol. It closes the connection, whose request may not have been read to its end.
pub fn rejection<B: From<String>>(status: StatusCode, reason: impl Into<String>) -> Response<B> {
    let mut response = Response::new(B::from(reason.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The [`rejection`] of a request of another method than POST.
pub fn not_post<B: From<String>>(wire: &str) -> Response<B> {
    let mut response = rejection(StatusCode::METHOD_NOT_ALLOWED, format!("{wire} calls are POST requests"));
    response.headers_mut().insert(header::ALLOW, head::METHODS);
    response
}

/// The [`rejection`] of a body that could not be received. `UNIMPLEMENTED` means a content coding that is not
/// [accepted](ACCEPTED).
pub fn not_received<B: From<String>>(error: &RpcError) -> Response<B> {
    let status = match error.code() {
        Code::ResourceExhausted => StatusCode::PAYLOAD_TOO_LARGE,
        Code::DeadlineExceeded => StatusCode::REQUEST_TIMEOUT,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unimplemented => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        _ => StatusCode::BAD_REQUEST,
    };
    let mut response = rejection(status, error.message());
    if status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
        // RFC 9110, section 15.5.16.
        response.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED));
    }
    response
}
