//! The client.

use std::{
    convert::Infallible,
    error::Error,
    fmt,
    future::{pending, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use everywire_core::{
    Budget, Caller, Code, DEFAULT_TIMEOUT, Limits, Result, RpcError, descriptor::Method, wire::answer_within,
};
use http::{
    HeaderValue, Request, Response, Uri,
    header::{CONTENT_TYPE, TE},
    uri::PathAndQuery,
};
use hyper::body::{Body as HttpBody, Frame};
use serde::{Serialize, de::DeserializeOwned};
use tonic::{
    TimeoutExpired,
    body::Body as TonicBody,
    transport::{Channel, Endpoint},
};
use tower::Service;

use crate::{
    codec,
    compression::Encoding,
    envelope::{self, Received},
    head, status,
};

/// A client of one gRPC server. Clones share its connection.
///
/// The connection is made at the first call, and again after it broke.
#[derive(Debug, Clone)]
pub struct Client {
    channel: Channel,
    url: String,
    timeout: Duration,
    timeout_header: HeaderValue,
    budget: Arc<Budget>,
}

/// While calls wait and nothing comes for so long, the server is asked whether it lives; a dead connection is left.
const PING: Duration = Duration::from_secs(30);

impl Client {
    /// A client of the server at `url`, such as `http://127.0.0.1:50051`; `grpc://` means the same.
    #[expect(clippy::unused_async, reason = "the clients of all wires connect by the same signature")]
    pub async fn connect(url: &str) -> Result<Self> {
        let malformed =
            || RpcError::invalid_argument(format!("grpc: `{url}` is not a valid URL; expected http://HOST:PORT"));
        let http = url.strip_prefix("grpc://").map_or_else(|| url.to_owned(), |rest| format!("http://{rest}"));
        let uri: Uri = http.parse().map_err(|_| malformed())?;
        let port = uri.port_u16().ok_or_else(malformed)?;
        let server = uri.authority().filter(|server| !server.host().is_empty()).ok_or_else(malformed)?;
        let plain = server.as_str() == format!("{}:{port}", server.host());
        if uri.scheme_str() != Some("http") || uri.path() != "/" || !plain {
            return Err(malformed());
        }
        let endpoint = Endpoint::from(uri)
            .connect_timeout(Limits::default().handshake_time)
            .keep_alive_timeout(PING)
            .http2_keep_alive_interval(PING);
        let channel = endpoint.connect_lazy();
        let timeout_header = envelope::timeout_header(DEFAULT_TIMEOUT);
        let budget = Budget::new(Limits::default());
        Ok(Self { channel, url: http, timeout: DEFAULT_TIMEOUT, timeout_header, budget })
    }

    /// Sets how long a call may take. The server is told, and cuts the call off by itself.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, timeout_header: envelope::timeout_header(timeout), ..self }
    }

    /// Sets what replies may cost: `message_bytes`, `decompressed_bytes` and `depth` of each, and `buffered_bytes` of all
    /// on their way. The client reads gzip and does not ask for it.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { budget: Budget::new(limits), ..self }
    }

    async fn exchange<A: Serialize, R: DeserializeOwned>(&self, method: &'static Method, args: &A) -> Result<R> {
        let message =
            envelope::frame(args).map_err(|error| RpcError::invalid_argument(format!("{}: {error}", method.name())))?;
        read_answer(method, self.send(method, message).await?, &self.budget).await
    }

    fn request(&self, method: &'static Method, message: Bytes) -> Request<TonicBody> {
        let mut request = Request::new(TonicBody::new(Whole(Some(message))));
        *request.method_mut() = http::Method::POST;
        *request.version_mut() = http::Version::HTTP_2;
        *request.uri_mut() = PathAndQuery::from_static(method.path()).into();
        let headers = request.headers_mut();
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONTENT_TYPE, envelope::CONTENT_TYPE);
        headers.insert(envelope::TIMEOUT, self.timeout_header.clone());
        request
    }

    async fn send(&self, method: &'static Method, message: Bytes) -> Result<Response<TonicBody>> {
        let request = self.request(method, message);
        let mut channel = self.channel.clone();
        let sent = async {
            poll_fn(|context| channel.poll_ready(context)).await?;
            channel.call(request).await
        };
        match sent.await {
            // The channel reads the header of the deadline too. Ours rings at the same moment and says what it means.
            Err(error) if causes(&error).any(<dyn Error>::is::<TimeoutExpired>) => pending().await,
            Err(error) => Err(self.no_answer(&error)),
            Ok(response) => Ok(response),
        }
    }

    fn no_answer(&self, error: &tonic::transport::Error) -> RpcError {
        let reason: Vec<_> = causes(error).map(ToString::to_string).collect();
        RpcError::unavailable(format!("grpc: no answer from {}: {}", self.url, reason.join(": ")))
    }
}

/// The reply, or the error, in a response.
pub(crate) async fn read_answer<B, R>(method: &Method, response: Response<B>, budget: &Arc<Budget>) -> Result<R>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: fmt::Display,
    R: DeserializeOwned,
{
    let (response, body) = response.into_parts();
    let early = status::of(&response.headers).transpose()?;
    if early.is_none() && !head::is_grpc(&response.headers) {
        return Err(status::not_grpc(response.status));
    }
    let received = Received::read(body, budget).await?;
    status::of(received.trailers()).or(early.map(Ok)).ok_or_else(|| status::not_grpc(response.status))??;
    let encoding = Encoding::of(&response.headers);
    let message = received.into_message(encoding, budget).map_err(|error| match encoding {
        // A server must not use what its client has not offered.
        Encoding::Unknown => RpcError::new(Code::Internal, error.message()),
        _ => error,
    })?;
    let reply = codec::from_slice_within(&message.bytes, budget.limits().depth);
    reply.map_err(|error| RpcError::new(Code::Internal, format!("{}: unreadable reply: {error}", method.name())))
}

fn causes<'a>(error: &'a tonic::transport::Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

impl Caller for Client {
    async fn call<A: Serialize + Send + Sync, R: DeserializeOwned>(
        &self,
        method: &'static Method,
        args: &A,
    ) -> Result<R> {
        answer_within(self.timeout, &self.url, method, self.exchange(method, args)).await
    }
}

/// A body that is there as a whole.
pub(crate) struct Whole(pub(crate) Option<Bytes>);

impl HttpBody for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}
