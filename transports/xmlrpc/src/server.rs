//! The server: HTTP/1 connections, a call in each body.

use std::{borrow::Cow, io, sync::Arc, time::Instant};

use bytes::Bytes;
use everywire_core::{
    Budget, Peer, Result, RpcError, Service,
    descriptor::{ServiceDescriptor, Services},
    wire::{CancellationToken, Connection, Encoded, Io, Protocol, offload},
};
use everywire_net::{
    WebOrigins, context, encoding,
    http1::{self, Received, not_post, not_received, rejection},
    pull::OpenStreams,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::{
    body,
    call::{self, Around},
    codec::{Nil, decode},
    envelope::Frame,
    schema,
};

/// An XML-RPC server. It answers POST on `/` and `/RPC2` of the connections of the listener that it is mounted with.
#[derive(Debug, Default)]
pub struct Server {
    nil: Nil,
    origins: WebOrigins,
}

impl Server {
    /// A server with the default settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes `<nil/>` to every client for a struct member that is `None`, as Python's `SimpleXMLRPCServer(allow_none=True)`
    /// does. By default such a member is left out unless the client is known to read nil, because a client that does not know
    /// this extension can't read any of the reply.
    #[must_use]
    pub fn nil(self) -> Self {
        Self { nil: Nil::Written, ..self }
    }

    /// Sets the web pages that may call this server through a browser. By default only the server's own pages may, under an
    /// IP address or `localhost`.
    #[must_use]
    pub fn origins(self, origins: WebOrigins) -> Self {
        Self { origins, ..self }
    }
}

impl Protocol for Server {
    const NAME: &'static str = "xmlrpc";
    const SCHEME: &'static str = "http";
    const STREAMS: bool = true;
    type Shared = Common;

    /// Rejects types that XML-RPC loses or can't write: `Option<Option<T>>`, and maps whose keys are neither text nor numbers. A
    /// type without a shape is fine: XML-RPC describes itself.
    fn check(&self, descriptor: &ServiceDescriptor) -> Result<()> {
        schema::check(descriptor)
    }

    fn start(self, _services: &Services) -> Result<Common> {
        Ok(Common { settings: self, streams: OpenStreams::of_listener() })
    }

    async fn serve<S: Service>(common: Arc<Common>, service: S, connection: Connection<impl Io>) -> io::Result<()> {
        let Connection { io, peer, budget, stop, .. } = connection;
        let connection = HttpConnection { service, common: &common, peer, budget, stop };
        let answer = |request| connection.answer(request);
        let origins = &common.settings.origins;
        http1::serve(io, &connection.budget, origins, &connection.stop, answer).await.map_err(io::Error::other)
    }
}

/// What all connections share.
#[derive(Debug)]
pub struct Common {
    settings: Server,
    streams: Arc<OpenStreams>,
}

/// One connection.
struct HttpConnection<'a, S> {
    service: S,
    common: &'a Common,
    peer: Peer,
    budget: Arc<Budget>,
    stop: CancellationToken,
}

impl<S: Service> HttpConnection<'_, S> {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        if !matches!(head.uri.path(), "/" | "/RPC2") {
            return rejection(StatusCode::NOT_FOUND, "XML-RPC is at / and /RPC2");
        }
        if head.method != Method::POST {
            return not_post("XML-RPC");
        }
        let deadline = match context::deadline(&head.headers) {
            Ok(deadline) => deadline,
            Err(error) => return rejection(StatusCode::BAD_REQUEST, error.message()),
        };
        let body = match encoding::receive(&head.headers, body, &self.budget, &self.stop).await {
            Ok(body) => body,
            Err(error) => return not_received(&error),
        };
        let reply = if self.stop.is_cancelled() {
            Frame::Response.fault(RpcError::unavailable("the server is shutting down"), &self.budget)
        } else {
            self.reply(&head.headers, deadline, body).await
        };
        match encoding::compressed(&reply, &head.headers, &self.budget) {
            Some(compressed) => response(compressed, true),
            None => response(reply, false),
        }
    }

    async fn reply(
        &self,
        headers: &HeaderMap,
        deadline: Option<Instant>,
        Received { bytes, mut reservation }: Received,
    ) -> Encoded {
        let limit = self.budget.limits().decompressed_bytes;
        let document = match offload(bytes.len(), || decode(&bytes, body::charset(headers), limit)) {
            Ok(document) => document,
            Err(error) => return call::fault(Frame::Response, error, &self.budget),
        };
        if let Cow::Owned(text) = &document
            && let Err(full) = reservation.try_resize(bytes.len() + text.len())
        {
            return Frame::Response.fault(full, &self.budget);
        }
        let Common { settings, streams } = self.common;
        let nil = if body::reads_nil(headers) { Nil::Written } else { settings.nil };
        let around = Around { headers, deadline, peer: &self.peer, nil, budget: &self.budget, streams: Some(streams) };
        call::answer(&self.service, &document, around).await
    }
}

fn response(reply: Encoded, gzip: bool) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(reply.into()));
    response.headers_mut().insert(header::CONTENT_TYPE, body::CONTENT_TYPE);
    if gzip {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}
