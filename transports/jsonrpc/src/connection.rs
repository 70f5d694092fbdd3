//! One connection: hyper's HTTP, whose requests jsonrpsee handles, and the WebSocket session that it may become.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
};

use everywire_net::{Socket, is_foreign_page};
use http::{HeaderValue, Method, Request, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use jsonrpsee_core::middleware::RpcServiceBuilder;
use jsonrpsee_server::{
    ConnectionGuard, ConnectionState, HttpBody, HttpResponse, Methods, ServerHandle, http as jsonrpsee_http,
    stop_channel, ws,
};
use rpc_core::{CancellationToken, Service};

use crate::{
    body::Timed,
    dispatch::Session,
    envelope::NoResponse,
    gate::{Gate, Gated},
    server::Host,
};

/// One connection of a [`Host`].
pub(crate) struct Connection<S> {
    host: Arc<Host<S>>,
    gate: Arc<Gate>,
    /// The session that a request opened, to begin once hyper has sent the response.
    opened: Mutex<Option<WebSocket>>,
}

/// A WebSocket session.
struct WebSocket {
    session: Pin<Box<dyn Future<Output = ()> + Send>>,
    stop: ServerHandle,
}

impl<S: Service> Connection<S> {
    pub(crate) fn new(host: Arc<Host<S>>) -> Self {
        let gate = Gate::new(host.limits.calls_in_flight);
        Self { host, gate, opened: Mutex::new(None) }
    }

    /// Serves until the peer closes, or until `shutdown` and the end of the calls in flight.
    pub(crate) async fn serve(self, stream: Socket, shutdown: CancellationToken) {
        if let Err(error) = self.serve_http(stream, &shutdown).await {
            tracing::debug!(%error, "an HTTP connection ended early");
        }
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(socket) = opened {
            socket.serve(&shutdown).await;
        }
    }

    async fn serve_http(&self, stream: Socket, shutdown: &CancellationToken) -> hyper::Result<()> {
        let socket = TokioIo::new(Gated::new(stream, Arc::clone(&self.gate)));
        let service = service_fn(async |request| Ok::<_, Infallible>(self.answer(request).await));
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.host.limits.handshake_time)
                .serve_connection(socket, service)
                .with_upgrades()
        );
        tokio::select! {
            ended = &mut connection => return ended,
            () = shutdown.cancelled() => {}
        }
        connection.as_mut().graceful_shutdown();
        connection.await
    }

    async fn answer(&self, mut request: Request<Incoming>) -> HttpResponse {
        if request.method() == Method::GET && ws::is_upgrade_request(&request) {
            return self.open(request).await;
        }
        if !jsonrpsee_http::content_type_is_json(&request) && !is_foreign_page(request.headers()) {
            // Many a `curl` forgets the header.
            request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let Host { dispatch, limits, max_bytes, batch, .. } = &*self.host;
        let request = request.map(|body| Timed::new(body, limits.message_time));
        let response = jsonrpsee_http::call_with_service(request, *batch, *max_bytes, dispatch.clone()).await;
        if response.extensions().get::<NoResponse>().is_some() {
            return empty(StatusCode::NO_CONTENT);
        }
        match response.status() {
            // Only a body that did not arrive makes jsonrpsee answer so.
            StatusCode::INTERNAL_SERVER_ERROR => empty(StatusCode::REQUEST_TIMEOUT),
            _ => response,
        }
    }

    /// Answers a WebSocket handshake.
    async fn open(&self, request: Request<Incoming>) -> HttpResponse {
        if is_foreign_page(request.headers()) {
            return empty(StatusCode::FORBIDDEN);
        }
        // The listener counts connections; jsonrpsee's own count is one place for this one.
        let place = ConnectionGuard::new(1).try_acquire().expect("a new guard has a place");
        let (stopped, stop) = stop_channel();
        let state = ConnectionState::new(stopped, 0, place);
        let (dispatch, gate) = (self.host.dispatch.clone(), Arc::clone(&self.gate));
        let session = move |running| Session { dispatch: dispatch.clone(), gate: Arc::clone(&gate), _running: running };
        let middleware = RpcServiceBuilder::new().layer_fn(session);
        match ws::connect(request, self.host.sessions.clone(), Methods::new(), state, middleware).await {
            Ok((response, session)) => {
                let socket = WebSocket { session: Box::pin(session), stop };
                *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(socket);
                response
            }
            Err(_) => empty(StatusCode::BAD_REQUEST),
        }
    }
}

/// Ends the tasks that jsonrpsee started for a session, even if the connection is dropped in the middle.
impl<S> Drop for Connection<S> {
    fn drop(&mut self) {
        self.gate.close();
    }
}

impl WebSocket {
    async fn serve(mut self, shutdown: &CancellationToken) {
        tokio::select! {
            () = &mut self.session => return,
            () = shutdown.cancelled() => {}
        }
        // From here jsonrpsee takes no call, finishes those in flight and says goodbye. Stopping fails only once it has ended.
        let _ = self.stop.stop();
        self.session.await;
    }
}

fn empty(status: StatusCode) -> HttpResponse {
    let mut response = HttpResponse::new(HttpBody::empty());
    *response.status_mut() = status;
    response
}
