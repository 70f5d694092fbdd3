//! The HTTP/2 connection of a client: tonic's `Channel`.

use std::{
    convert::Infallible,
    error::Error,
    future::{pending, poll_fn},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use everywire_core::{Limits, Result, RpcError, descriptor::Method, wire::Outgoing};
use everywire_net::context;
use http::{
    HeaderValue, Request, Response, Uri,
    header::{CONTENT_TYPE, TE},
    uri::PathAndQuery,
};
use hyper::body::{Body as HttpBody, Frame};
use tonic::{
    TimeoutExpired,
    body::Body as TonicBody,
    transport::{Channel, Endpoint},
};
use tower::Service;

use crate::envelope;

/// How often a server is pinged while calls wait for it, and how long it may take to answer before its connection counts as
/// lost.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// A connection that is opened by the first call, and again after it was lost. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    channel: Channel,
    url: String,
}

impl Connection {
    /// A connection to the server at `url`, which `uri` was parsed from.
    pub(crate) fn new(url: String, uri: Uri) -> Self {
        let endpoint = Endpoint::from(uri)
            .connect_timeout(Limits::default().handshake_time)
            .keep_alive_timeout(PING_INTERVAL)
            .http2_keep_alive_interval(PING_INTERVAL);
        Self { channel: endpoint.connect_lazy(), url }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Sends `message`, which has its prefix, and waits for the head of the response.
    pub(crate) async fn send(
        &self,
        method: &'static Method,
        outgoing: &Outgoing<'_>,
        message: Bytes,
    ) -> Result<Response<TonicBody>> {
        let request = request(method, outgoing, message);
        let mut channel = self.channel.clone();
        let sent = async {
            poll_fn(|cx| channel.poll_ready(cx)).await?;
            channel.call(request).await
        };
        match sent.await {
            // The channel reads `grpc-timeout` too. The client's own timer fires at the same moment with a better message.
            Err(error) if causes(&error).any(<dyn Error>::is::<TimeoutExpired>) => pending().await,
            Err(error) => Err(self.no_answer(&error)),
            Ok(response) => Ok(response),
        }
    }

    fn no_answer(&self, error: &tonic::transport::Error) -> RpcError {
        let reason: Vec<_> = causes(error).map(ToString::to_string).collect();
        RpcError::unavailable(format!("grpc: no response from {}: {}", self.url, reason.join(": ")))
    }
}

fn request(method: &'static Method, outgoing: &Outgoing<'_>, message: Bytes) -> Request<TonicBody> {
    let mut request = Request::new(TonicBody::new(Whole(Some(message))));
    *request.method_mut() = http::Method::POST;
    *request.version_mut() = http::Version::HTTP_2;
    *request.uri_mut() = PathAndQuery::from_static(method.path()).into();
    let headers = request.headers_mut();
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(CONTENT_TYPE, envelope::CONTENT_TYPE);
    // gRPC clients send their timeout in any case. That of a stream ends only the wait for its beginning.
    let timeout = if method.streams() { outgoing.timeout() } else { Some(outgoing.time_left()) };
    context::write(headers, outgoing, timeout);
    request
}

fn causes<'a>(error: &'a tonic::transport::Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

/// A body whose bytes are all there.
pub(crate) struct Whole(pub(crate) Option<Bytes>);

impl HttpBody for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}
