//! The server side of HTTP/1, within the limits, for the wires that have a body per call.

use std::{
    convert::Infallible,
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use everywire_core::{
    Budget, Code, Limit, Result, RpcError,
    wire::{CancellationToken, Reservation},
};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::{
    body::{Body, Incoming},
    rt::{self, Timer},
    server::conn::http1::Builder,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep_until},
};

use crate::{Socket, WebOrigins, arrived, encoding::ACCEPTED, head};

/// What a connection may buffer: the longest head of a request, and the largest piece of a body.
const BUFFER_BYTES: usize = 64 << 10;

/// Serves one connection until the peer closes it, or until `stop` and the answer to the request in hand; a request whose
/// head has not arrived by then is not waited for. An answer with `Connection: close` ends it too. Upgrades are served to
/// their beginning. Requests of pages that `origins` does not allow, requests that break HTTP, and OPTIONS
/// are answered here.
pub async fn serve<F, B>(
    socket: Socket,
    budget: &Arc<Budget>,
    origins: &WebOrigins,
    stop: &CancellationToken,
    answer: impl Fn(Request<Incoming>) -> F,
) -> hyper::Result<()>
where
    F: Future<Output = Response<B>>,
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + From<String> + 'static,
{
    let pulse = Arc::new(Pulse::default());
    let service = service_fn(async |request: Request<Incoming>| {
        let response = head::respond(request, origins, &answer).await;
        let closes = response.headers().contains_key(header::CONNECTION);
        pulse.answered(closes);
        Ok::<_, Infallible>(response)
    });
    let io = Pulsed { socket, pulse: Arc::clone(&pulse) };
    let mut connection = pin!(
        Builder::new()
            .timer(HeadTimer { pulse: Arc::clone(&pulse), budget: Arc::clone(budget) })
            .header_read_timeout(budget.limits().handshake_time)
            .max_buf_size(BUFFER_BYTES)
            .serve_connection(TokioIo::new(io), service)
            .with_upgrades()
    );
    tokio::select! {
        ended = &mut connection => return ended,
        () = stop.cancelled() => {}
    }
    pulse.is_stopping.store(true, Relaxed);
    connection.as_mut().graceful_shutdown();
    connection.await
}

/// The body of a request, whole.
#[derive(Debug)]
pub struct Received {
    /// As it was sent, without the chunks.
    pub bytes: Bytes,
    /// Counts them while they are needed.
    pub reservation: Reservation,
}

/// Reads a body within the limits `message_bytes`, `message_time` and `buffered_bytes`. A length announced beyond the limit
/// is refused before anything is read.
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
        // What is no data is trailers, which mean nothing here.
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// An answer below the wire's own protocol. It closes the connection, whose request may not have been read to its end.
pub fn refusal<B: From<String>>(status: StatusCode, reason: impl Into<String>) -> Response<B> {
    let mut response = Response::new(B::from(reason.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The [`refusal`] of a request of another method than POST.
pub fn not_post<B: From<String>>(wire: &str) -> Response<B> {
    let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, format!("{wire} calls are POST requests"));
    response.headers_mut().insert(header::ALLOW, head::METHODS);
    response
}

/// The [`refusal`] of a body that could not be received. `UNIMPLEMENTED` means a content coding that is not
/// [accepted](ACCEPTED).
pub fn not_received<B: From<String>>(error: &RpcError) -> Response<B> {
    let status = match error.code() {
        Code::ResourceExhausted => StatusCode::PAYLOAD_TOO_LARGE,
        Code::DeadlineExceeded => StatusCode::REQUEST_TIMEOUT,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unimplemented => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        _ => StatusCode::BAD_REQUEST,
    };
    let mut response = refusal(status, error.message());
    if status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
        // RFC 9110, section 15.5.16.
        response.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED));
    }
    response
}

/// What a connection's socket, requests and timer tell each other.
#[derive(Debug, Default)]
struct Pulse {
    /// Bytes have come in since the last answer, or that answer ends the connection.
    is_asking: AtomicBool,
    /// A request has been answered.
    has_answered: AtomicBool,
    /// No head is waited for any more.
    is_stopping: AtomicBool,
}

impl Pulse {
    /// Who is refused may have more to send than has been read.
    fn answered(&self, closes: bool) {
        self.has_answered.store(true, Relaxed);
        self.is_asking.store(closes, Relaxed);
    }
}

/// A socket that tells what comes in, and lingers if its peer is in the middle of something.
struct Pulsed {
    socket: Socket,
    pulse: Arc<Pulse>,
}

impl AsyncRead for Pulsed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.pulse.is_asking.store(true, Relaxed);
        } else if read.is_ready() {
            // Nobody is there to be listened to.
            self.pulse.is_asking.store(false, Relaxed);
        }
        read
    }
}

impl AsyncWrite for Pulsed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.pulse.is_asking.load(Relaxed) {
            self.socket.linger();
        }
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// Times the head of a request: `handshake_time` from its first byte, and on a new connection from its beginning. Between
/// requests `idle_time` counts. hyper itself has one time for both.
struct HeadTimer {
    pulse: Arc<Pulse>,
    budget: Arc<Budget>,
}

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    /// hyper asks for one whenever it begins to wait for a head, with `handshake_time` from now.
    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn rt::Sleep>> {
        let limits = self.budget.limits();
        let is_idle = self.pulse.has_answered.load(Relaxed);
        let wait = if is_idle { limits.idle_time.saturating_sub(limits.handshake_time) } else { Duration::ZERO };
        Box::pin(HeadSleep {
            pulse: Arc::clone(&self.pulse),
            budget: Arc::clone(&self.budget),
            is_idle,
            deadline: deadline + wait,
            sleep: None,
        })
    }
}

struct HeadSleep {
    pulse: Arc<Pulse>,
    budget: Arc<Budget>,
    /// The connection has answered a request, and no byte of the next one is there.
    is_idle: bool,
    deadline: Instant,
    /// Made when there is something to wait for: most heads are there.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl rt::Sleep for HeadSleep {}

impl Future for HeadSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.pulse.is_stopping.load(Relaxed) {
            return Poll::Ready(());
        }
        if this.is_idle && this.pulse.is_asking.load(Relaxed) {
            this.is_idle = false;
            this.deadline = Instant::now() + this.budget.limits().handshake_time;
            this.sleep = None;
        }
        let deadline = this.deadline.into();
        ready!(this.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline))).as_mut().poll(cx));
        if this.is_idle {
            this.budget.record(Limit::IdleTime, "an HTTP connection was closed");
        } else {
            this.budget.record(Limit::HandshakeTime, "the head of an HTTP request did not arrive in time");
        }
        Poll::Ready(())
    }
}
