//! The server: HTTP/1 connections, a call in each body.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use everywire_net::{
    Listener, Socket, buffered,
    http1::{self, not_post, not_received, refusal},
};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use rpc_core::{Budget, CancellationToken, Result, RpcError, Service, ServiceDescriptor, Transport, aside};

use crate::{body, call, codec::document, envelope::Frame, schema};

/// An XML-RPC server, bound and not yet serving. It answers POST on `/` and `/RPC2`.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
}

impl Server {
    /// Binds `address`, such as `127.0.0.1:4242`; port 0 takes a free one. The error names the wire and the address.
    pub async fn bind(address: &str) -> Result<Self> {
        Ok(Self { listener: Listener::bind("xmlrpc", address).await? })
    }

    /// The bound address, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Where clients on this machine find it, such as `http://127.0.0.1:4242`.
    pub fn url(&self) -> String {
        self.listener.url("http")
    }
}

impl Transport for Server {
    fn endpoint(&self) -> String {
        format!("xmlrpc {}", self.url())
    }

    /// Refuses types that XML-RPC loses or can't write: `Option<Option<T>>`, and maps whose keys are no text or number. A type
    /// without a shape is fine: XML-RPC describes itself.
    fn check(&self, descriptor: &ServiceDescriptor) -> Result<()> {
        schema::check(descriptor)
    }

    async fn serve<S: Service>(self, service: Arc<S>, budget: Arc<Budget>, shutdown: CancellationToken) -> Result<()> {
        let session =
            |socket, _, stop| Session { service: Arc::clone(&service), budget: Arc::clone(&budget), stop }.run(socket);
        self.listener.serve(&budget, shutdown, session).await;
        Ok(())
    }
}

/// One connection.
struct Session<S> {
    service: Arc<S>,
    budget: Arc<Budget>,
    stop: CancellationToken,
}

impl<S: Service> Session<S> {
    async fn run(self, socket: Socket) {
        let served = http1::serve(socket, &self.budget, &self.stop, |request| self.answer(request)).await;
        if let Err(error) = served {
            tracing::debug!(%error, "an XML-RPC connection ended early");
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        if !matches!(head.uri.path(), "/" | "/RPC2") {
            return refusal(StatusCode::NOT_FOUND, "XML-RPC is at / and /RPC2");
        }
        if head.method != Method::POST {
            return not_post("XML-RPC");
        }
        let body = match body::request(&head.headers, body, &self.budget, &self.stop).await {
            Ok(body) => body,
            Err(error) => return not_received(&error),
        };
        let reply = match aside(body.bytes.len(), || document(&body.bytes)) {
            _ if self.stop.is_cancelled() => Frame::Response.fault(RpcError::unavailable("the server is stopping")),
            Ok(document) => call::answer(&*self.service, document, &self.budget).await,
            Err(error) => Frame::Response.fault(error),
        };
        let gzip = reply.len() > body::GZIP_THRESHOLD && body::accepts_gzip(&head.headers);
        let reply = if gzip { aside(reply.len(), || body::compress(&reply)) } else { reply };
        match buffered(reply, &self.budget) {
            Ok(reply) => response(reply, gzip),
            Err(full) => response(Frame::Response.fault(full).into(), false),
        }
    }
}

fn response(reply: Bytes, gzip: bool) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(reply));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    if gzip {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}
