//! One connection: HTTP with a message in each body, and the WebSocket session that it may become.

use std::{
    io,
    sync::{Mutex, OnceLock, PoisonError},
};

use bytes::Bytes;
use everywire_core::{
    RpcError, Service,
    wire::{CancellationToken, Encoded, Io, Socket},
};
use everywire_json::{Cancellable, answer_at};
use everywire_net::{
    context, encoding,
    http1::{self, not_post, not_received, rejection},
    pull::OpenStreams,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    upgrade::{self, OnUpgrade},
};

use crate::{
    frames::accept_key,
    gate::{Gate, Session, Shared},
    push::Answer,
    session::{self, Message},
};

/// A session that a request opened, and the request's headers.
struct Opened {
    upgrade: OnUpgrade,
    headers: HeaderMap,
}

/// One connection of a [`Shared`].
pub(crate) struct Connection<S> {
    shared: Shared<S>,
    stop: CancellationToken,
    /// The session that a request opened, to begin once hyper has sent the response.
    opened: Mutex<Option<Opened>>,
}

impl<S: Service> Connection<S> {
    pub(crate) fn new(shared: Shared<S>, stop: CancellationToken) -> Self {
        Self { shared, stop, opened: Mutex::new(None) }
    }

    /// Serves until the peer closes, or until the stop and the end of the calls in flight.
    pub(crate) async fn serve<IO: Io>(self, socket: Socket<IO>) -> io::Result<()> {
        let Shared { common, budget, .. } = &self.shared;
        let respond = |request| self.respond(request);
        let served = http1::serve(socket, budget, &common.origins, &self.stop, respond).await;
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Opened { upgrade, headers }) = opened else { return served.map_err(io::Error::other) };
        let Some((socket, read)) = http1::upgraded::<IO>(upgrade).await else { return Ok(()) };
        let session = Session { calls: Cancellable::default(), streams: OpenStreams::of_connection() };
        let call = |message, is_stopping| self.call(message, &session, &headers, is_stopping);
        session::serve(socket, read, &self.shared, &session.streams, call, &self.stop).await
    }

    /// The answer to a message of a session.
    fn call<'a>(
        &'a self,
        message: Message,
        session: &'a Session,
        headers: &'a HeaderMap,
        is_stopping: bool,
    ) -> impl Future<Output = Answer> + use<'a, S> {
        let gate = Gate {
            shared: &self.shared,
            session: Some(session),
            subscription: OnceLock::new(),
            headers,
            deadline: None,
            is_stopping,
        };
        async move {
            let response = answer_at(&gate, &message.bytes).await;
            Answer::Response(response, gate.subscription.into_inner())
        }
    }

    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if is_handshake(&request) {
            return self.open(request);
        }
        if request.method() != Method::POST {
            return not_post("JSON-RPC");
        }
        let budget = &self.shared.budget;
        let (head, body) = request.into_parts();
        let deadline = match context::deadline(&head.headers) {
            Ok(deadline) => deadline,
            Err(error) => return rejected(rejection(StatusCode::BAD_REQUEST, error.message()), &error),
        };
        let body = match encoding::receive(&head.headers, body, budget, &self.stop).await {
            Ok(body) => body,
            Err(error) => return rejected(not_received(&error), &error),
        };
        let is_stopping = self.stop.is_cancelled();
        let gate = Gate {
            shared: &self.shared,
            session: None,
            subscription: OnceLock::new(),
            headers: &head.headers,
            deadline,
            is_stopping,
        };
        match answer_at(&gate, &body.bytes).await {
            Some(answer) => self.sent(answer, &head.headers),
            // Every client accepts an empty 200; half of them take a 204 for a failure.
            None => json(Response::default()),
        }
    }

    /// The response with this answer, compressed if the request's `headers` accept gzip and the budget has room for it.
    fn sent(&self, answer: Encoded, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let compressed = encoding::compressed(&answer, headers, &self.shared.budget);
        let Some(compressed) = compressed else { return json(Response::new(Full::new(answer.into()))) };
        let mut response = json(Response::new(Full::new(compressed.into())));
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response
    }

    /// Answers a WebSocket handshake (RFC 6455, section 4.2).
    fn open(&self, mut request: Request<Incoming>) -> Response<Full<Bytes>> {
        let headers = request.headers();
        let version = headers.get(header::SEC_WEBSOCKET_VERSION);
        if version.is_some_and(|version| version != "13") {
            let mut response = rejection(StatusCode::UPGRADE_REQUIRED, "the version of WebSocket known here is 13");
            response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            return response;
        }
        let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| key.len() == KEY_BYTES);
        let key = key.filter(|_| version.is_some() && asks_for(headers, &header::CONNECTION, "upgrade"));
        let accept = key.and_then(|key| HeaderValue::try_from(accept_key(key.as_bytes())).ok());
        let Some(accept) = accept else {
            return rejection(StatusCode::BAD_REQUEST, "the WebSocket handshake lacks its version, key or connection");
        };
        let protocol = subprotocol(headers);
        let mut response = Response::default();
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.extend(protocol.map(|name| (header::SEC_WEBSOCKET_PROTOCOL, name)));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        let upgrade = upgrade::on(&mut request);
        let headers = std::mem::take(request.headers_mut());
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(Opened { upgrade, headers });
        response
    }
}

/// Sixteen bytes in base64.
const KEY_BYTES: usize = 24;

/// The names that clients use for JSON-RPC 2.0. None is registered.
const SUBPROTOCOLS: [&str; 4] = ["jsonrpc", "jsonrpc2", "jsonrpc2.0", "jsonrpc-2.0"];

/// Whether it opens a WebSocket. HTTP/1.0 has no upgrades (RFC 9110, section 7.8).
fn is_handshake<T>(request: &Request<T>) -> bool {
    request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && asks_for(request.headers(), &header::UPGRADE, "websocket")
}

/// The first subprotocol on offer that is known here, as the client spells it.
fn subprotocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let is_known = |offer: &&str| SUBPROTOCOLS.iter().any(|name| name.eq_ignore_ascii_case(offer));
    entries(headers, &header::SEC_WEBSOCKET_PROTOCOL).find(is_known).and_then(|name| name.parse().ok())
}

/// Whether a header that is a list has this entry.
fn asks_for(headers: &HeaderMap, name: &HeaderName, entry: &str) -> bool {
    entries(headers, name).any(|value| value.eq_ignore_ascii_case(entry))
}

/// The entries of a header that is a list.
fn entries<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// `response`, of a request that is rejected, with `error` as its body.
fn rejected(mut response: Response<Full<Bytes>>, error: &RpcError) -> Response<Full<Bytes>> {
    *response.body_mut() = everywire_json::rejection(error).into();
    json(response)
}

fn json(mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    // Without a charset: RFC 8259, section 11, defines none, and clients that compare the whole value reject it.
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
