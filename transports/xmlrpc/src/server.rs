//! The server: hyper's HTTP/1 connections, kept alive.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use everywire_net::{Listener, drive, is_foreign_page};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioTimer;
use rpc_core::{CancellationToken, Limits, Result, RpcError, Service, ServiceDescriptor, Transport};
use tokio::net::TcpStream;

use crate::{
    body::{self, BodyError},
    call,
    codec::document,
    envelope::Frame,
    patience::Patience,
    schema,
};

/// An XML-RPC server, bound and not yet serving. It answers POST on `/` and `/RPC2`.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    limits: Limits,
}

impl Server {
    /// Binds `address`, such as `127.0.0.1:4242`; port 0 takes a free one. The error names the wire and the address.
    pub async fn bind(address: &str) -> Result<Self> {
        Ok(Self { listener: Listener::bind("xmlrpc", address).await?, limits: Limits::default() })
    }

    /// Sets what a peer may cost. All limits apply but two, which HTTP/1 keeps at one call and one reply in flight per
    /// connection: `calls_in_flight` and `unsent_bytes`. `handshake_time` is also how long a connection may stay idle.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The bound address, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }
}

impl Transport for Server {
    fn endpoint(&self) -> String {
        format!("xmlrpc http://{}", self.address())
    }

    /// Refuses types that XML-RPC loses or can't write: `Option<Option<T>>`, and maps whose keys are no text or number. A type
    /// without a shape is fine: XML-RPC describes itself.
    fn check(&self, descriptor: &ServiceDescriptor) -> Result<()> {
        schema::check(descriptor)
    }

    async fn serve<S: Service>(self, service: Arc<S>, shutdown: CancellationToken) -> Result<()> {
        let limits = Arc::new(self.limits);
        let session = |stream, _, stop: CancellationToken| {
            Arc::new(Session { service: Arc::clone(&service), limits: Arc::clone(&limits), stop }).run(stream)
        };
        self.listener.serve(limits.connections, shutdown, session).await;
        Ok(())
    }
}

/// What a connection may buffer: the longest head of a request, and the largest piece of a body.
const BUFFER_BYTES: usize = 1 << 16;

/// One connection.
struct Session<S> {
    service: Arc<S>,
    limits: Arc<Limits>,
    stop: CancellationToken,
}

impl<S: Service> Session<S> {
    async fn run(self: Arc<Self>, stream: TcpStream) {
        let session = Arc::clone(&self);
        let service = service_fn(move |request| {
            let session = Arc::clone(&session);
            async move { Ok::<_, Infallible>(session.answer(request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.handshake_time)
            .max_buf_size(BUFFER_BYTES)
            .serve_connection(Patience::new(stream, self.limits.message_time), service);
        if let Err(error) = drive(connection, self.stop.clone()).await {
            tracing::debug!(%error, "an XML-RPC connection ended early");
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        if !matches!(head.uri.path(), "/" | "/RPC2") {
            return refusal(StatusCode::NOT_FOUND, "XML-RPC is at / and /RPC2");
        }
        if head.method != Method::POST {
            let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, "XML-RPC calls are POST requests");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
            return response;
        }
        if is_foreign_page(&head.headers) {
            return refusal(StatusCode::FORBIDDEN, "pages of other origins may not call this server");
        }
        let body = body::read(&head.headers, body, self.limits.message_bytes);
        let body = match tokio::time::timeout(self.limits.message_time, body).await {
            Ok(Ok(body)) => body,
            Ok(Err(error)) => return refused_body(&error),
            Err(_) => return refusal(StatusCode::REQUEST_TIMEOUT, "the request took too long to arrive"),
        };
        let reply = match document(&body) {
            _ if self.stop.is_cancelled() => Frame::Response.fault(RpcError::unavailable("the server is stopping")),
            Ok(document) => call::answer(&*self.service, document, &self.limits).await,
            Err(error) => Frame::Response.fault(error),
        };
        response(reply, body::accepts_gzip(&head.headers))
    }
}

fn response(mut reply: Vec<u8>, accepts_gzip: bool) -> Response<Full<Bytes>> {
    let gzip = accepts_gzip && reply.len() > body::GZIP_THRESHOLD;
    if gzip {
        reply = body::compress(&reply);
    }
    let mut response = Response::new(Full::from(reply));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    if gzip {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn refused_body(error: &BodyError) -> Response<Full<Bytes>> {
    let status = match error {
        BodyError::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
        BodyError::UnknownCoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        BodyError::NotGzip(_) | BodyError::Broken(_) => StatusCode::BAD_REQUEST,
    };
    refusal(status, error.to_string())
}

/// An answer below XML-RPC. It closes the connection, whose request may not have been read to its end.
fn refusal(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
