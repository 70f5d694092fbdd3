//! The server: HTTP/1 connections, a call in each body.

use std::{borrow::Cow, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use everywire_core::{
    Budget, Result, RpcError, Service, Transport,
    descriptor::ServiceDescriptor,
    wire::{CancellationToken, PerConnection, offload},
};
use everywire_net::{
    Listener, Socket, WebOrigins, buffered, encoding,
    http1::{self, Received, not_post, not_received, refusal},
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::{
    body, call,
    codec::{Nil, decode},
    envelope::Frame,
    schema,
};

/// An XML-RPC server, bound and not yet serving. It answers POST on `/` and `/RPC2`.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    nil: Nil,
    origins: WebOrigins,
}

impl Server {
    /// Binds `address`, such as `127.0.0.1:4242`; port 0 takes a free one. The error names the wire and the address.
    pub async fn bind(address: &str) -> Result<Self> {
        let listener = Listener::bind("xmlrpc", address).await?;
        Ok(Self { listener, nil: Nil::LeftOut, origins: WebOrigins::default() })
    }

    /// Writes `<nil/>` to every client for a struct member that is `None`, as Python's `SimpleXMLRPCServer(allow_none=True)`
    /// does. By default such a member is left out unless the client is known to read nil, because a client that does not know
    /// this extension can't read any of the answer.
    #[must_use]
    pub fn nil(self) -> Self {
        Self { nil: Nil::Written, ..self }
    }

    /// Lets web pages of `origin`, such as `https://app.example`, call this server through a browser. Can be called more than
    /// once. By default only the server's own pages may call it, under an IP address or `localhost`.
    ///
    /// `INVALID_ARGUMENT` unless `origin` is a scheme and a host. There is no wildcard.
    pub fn allow_origin(mut self, origin: &str) -> Result<Self> {
        self.origins.allow_origin(origin)?;
        Ok(self)
    }

    /// Lets web pages that come from this server call it under the name `host` too, such as `rpc.example`. Can be called more
    /// than once. Programs that send an `Origin` made from the URL that they call need this as well.
    ///
    /// `INVALID_ARGUMENT` for a name with a scheme or a port.
    pub fn allow_host(mut self, host: &str) -> Result<Self> {
        self.origins.allow_host(host)?;
        Ok(self)
    }

    /// The bound address, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// The URL at which clients on this machine can connect, such as `http://127.0.0.1:4242`.
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
        let (nil, origins) = (self.nil, Arc::new(self.origins));
        let session = |socket: Socket, _, stop| {
            let service = PerConnection::new(Arc::clone(&service), socket.waiting());
            let (budget, origins) = (Arc::clone(&budget), Arc::clone(&origins));
            Session { service, nil, budget, origins, stop }.run(socket)
        };
        self.listener.serve(&budget, shutdown, session).await;
        Ok(())
    }
}

/// One connection.
struct Session<S> {
    service: PerConnection<S>,
    nil: Nil,
    budget: Arc<Budget>,
    origins: Arc<WebOrigins>,
    stop: CancellationToken,
}

impl<S: Service> Session<S> {
    async fn run(self, socket: Socket) {
        let answer = |request| self.answer(request);
        let served = http1::serve(socket, &self.budget, &self.origins, &self.stop, answer).await;
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
        let body = match encoding::receive(&head.headers, body, &self.budget, &self.stop).await {
            Ok(body) => body,
            Err(error) => return not_received(&error),
        };
        let reply = if self.stop.is_cancelled() {
            Frame::Response.fault(RpcError::unavailable("the server is stopping"))
        } else {
            self.reply(&head.headers, body).await
        };
        let (reply, gzip) = match encoding::compressed(&reply, &head.headers) {
            Some(compressed) => (compressed, true),
            None => (reply, false),
        };
        match buffered(reply, &self.budget) {
            Ok(reply) => response(reply, gzip),
            Err(full) => response(Frame::Response.fault(full).into(), false),
        }
    }

    async fn reply(&self, headers: &HeaderMap, Received { bytes, mut reservation }: Received) -> Vec<u8> {
        let limit = self.budget.limits().decompressed_bytes;
        let document = match offload(bytes.len(), || decode(&bytes, body::charset(headers), limit)) {
            Ok(document) => document,
            Err(error) => return call::fault(Frame::Response, error, &self.budget),
        };
        if let Cow::Owned(text) = &document
            && let Err(full) = reservation.try_resize(bytes.len() + text.len())
        {
            return Frame::Response.fault(full);
        }
        let nil = if body::reads_nil(headers) { Nil::Written } else { self.nil };
        call::answer(&self.service, &document, nil, &self.budget).await
    }
}

fn response(reply: Bytes, gzip: bool) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(reply));
    response.headers_mut().insert(header::CONTENT_TYPE, body::CONTENT_TYPE);
    if gzip {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}
