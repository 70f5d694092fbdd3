//! The client.

use std::{
    convert::Infallible,
    error::Error,
    fmt::Write,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use everywire_net::Shared;
use http::{
    HeaderValue, Request, Response, Uri,
    header::{CONTENT_TYPE, TE, USER_AGENT},
    uri::{Authority, PathAndQuery, Scheme},
};
use hyper::{
    body::{Body as HttpBody, Frame, Incoming},
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rpc_core::{Caller, Code, DEFAULT_TIMEOUT, Limits, Method, Result, RpcError};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};

use crate::{
    codec,
    envelope::{self, Received},
    fault,
};

/// A client of one gRPC server. Clones share its connection.
///
/// The connection is made at the first call, and again after it broke. Replies of more than 8 MiB are refused.
#[derive(Debug, Clone)]
pub struct Client {
    link: Arc<Shared<Link>>,
    server: Authority,
    timeout: Duration,
    timeout_header: HeaderValue,
}

/// An open connection, and the task that drives it.
struct Link {
    calls: SendRequest<Whole>,
    driver: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

const AGENT: HeaderValue = HeaderValue::from_static(concat!("grpc-everywire/", env!("CARGO_PKG_VERSION")));

/// While calls wait and nothing comes for so long, the server is asked whether it lives; a dead connection is left.
const PING: Duration = Duration::from_secs(30);

impl Client {
    /// A client of the server at `url`, such as `http://127.0.0.1:50051`; `grpc://` means the same.
    #[expect(clippy::unused_async, reason = "the clients of all wires connect by the same signature")]
    pub async fn connect(url: &str) -> Result<Self> {
        let malformed = || RpcError::invalid_argument(format!("grpc: `{url}` is no URL like http://HOST:PORT"));
        let http = url.strip_prefix("grpc://").map_or_else(|| url.to_owned(), |rest| format!("http://{rest}"));
        let uri: Uri = http.parse().map_err(|_| malformed())?;
        if uri.scheme() != Some(&Scheme::HTTP) || uri.path() != "/" {
            return Err(malformed());
        }
        let server = uri.into_parts().authority.filter(|server| !server.host().is_empty()).ok_or_else(malformed)?;
        let port = server.port_u16().ok_or_else(malformed)?;
        if server.as_str() != format!("{}:{port}", server.host()) {
            return Err(malformed());
        }
        let timeout_header = envelope::timeout_header(DEFAULT_TIMEOUT);
        Ok(Self { link: Arc::default(), server, timeout: DEFAULT_TIMEOUT, timeout_header })
    }

    /// Sets how long a call may take. The server is told, and cuts the call off by itself.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, timeout_header: envelope::timeout_header(timeout), ..self }
    }

    async fn exchange<A: Serialize, R: DeserializeOwned>(&self, method: &'static Method, args: &A) -> Result<R> {
        let message =
            envelope::frame(args).map_err(|error| RpcError::invalid_argument(format!("{}: {error}", method.name())))?;
        let (head, body) = self.send(method, message).await?.into_parts();
        let early = fault::status(&head.headers).transpose()?;
        if early.is_none() && !envelope::is_grpc(&head.headers) {
            return Err(fault::not_grpc(head.status));
        }
        let received = Received::read(body, Limits::default().message_bytes).await?;
        fault::status(received.trailers()).or(early.map(Ok)).ok_or_else(|| fault::not_grpc(head.status))??;
        let reply = codec::from_slice(&received.into_message()?);
        reply.map_err(|error| RpcError::new(Code::Internal, format!("{}: unreadable reply: {error}", method.name())))
    }

    async fn send(&self, method: &'static Method, message: Bytes) -> Result<Response<Incoming>> {
        let request = self.request(method, message)?;
        let link = self.link.get(|link| !link.calls.is_closed(), || self.open()).await?;
        link.calls.clone().send_request(request).await.map_err(|error| self.no_answer(&error))
    }

    fn request(&self, method: &'static Method, message: Bytes) -> Result<Request<Whole>> {
        let mut target = http::uri::Parts::default();
        target.scheme = Some(Scheme::HTTP);
        target.authority = Some(self.server.clone());
        target.path_and_query = Some(PathAndQuery::from_static(method.path()));
        let mut request = Request::new(Whole(Some(message)));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = Uri::from_parts(target).map_err(RpcError::internal)?;
        let headers = request.headers_mut();
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONTENT_TYPE, envelope::CONTENT_TYPE);
        headers.insert(USER_AGENT, AGENT);
        headers.insert(envelope::TIMEOUT, self.timeout_header.clone());
        Ok(request)
    }

    async fn open(&self) -> Result<Link> {
        timeout(Limits::default().handshake_time, self.handshake())
            .await
            .unwrap_or_else(|_| Err(RpcError::unavailable(format!("grpc: http://{} does not answer", self.server))))
    }

    async fn handshake(&self) -> Result<Link> {
        let stream = TcpStream::connect(self.server.as_str()).await.map_err(|error| self.no_answer(&error))?;
        stream.set_nodelay(true).map_err(|error| self.no_answer(&error))?;
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new()).keep_alive_interval(PING);
        let (calls, connection) = http.handshake(TokioIo::new(stream)).await.map_err(|error| self.no_answer(&error))?;
        let driver = tokio::spawn(async {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection failed");
            }
        });
        Ok(Link { calls, driver })
    }

    fn no_answer(&self, error: &dyn Error) -> RpcError {
        let mut reason = format!("grpc: no answer from http://{}: {error}", self.server);
        let mut cause = error.source();
        while let Some(next) = cause {
            let _ = write!(reason, ": {next}");
            cause = next.source();
        }
        RpcError::unavailable(reason)
    }
}

impl Caller for Client {
    async fn call<A: Serialize + Send + Sync, R: DeserializeOwned>(
        &self,
        method: &'static Method,
        args: &A,
    ) -> Result<R> {
        timeout(self.timeout, self.exchange(method, args)).await.unwrap_or_else(|_| {
            Err(RpcError::deadline_exceeded(format!("{}: no answer within {:?}", method.name(), self.timeout)))
        })
    }
}

/// A body that is there as a whole.
struct Whole(Option<Bytes>);

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
