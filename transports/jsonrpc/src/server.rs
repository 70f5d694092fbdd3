//! The server: connections of hyper's, with jsonrpsee's handling of HTTP requests and WebSocket sessions.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use everywire_net::Listener;
use http::{HeaderValue, Method, Request, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use jsonrpsee_core::middleware::RpcServiceBuilder;
use jsonrpsee_server::{
    BatchRequestConfig, ConnectionGuard, ConnectionState, HttpBody, HttpResponse, Methods, ServerConfig, ServerHandle,
    stop_channel, ws,
};
use rpc_core::{CancellationToken, Limits, Result, RpcError, Service, ServiceDescriptor, Transport};
use serde_json::value::{RawValue, to_raw_value};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use crate::{
    body::Timed,
    dispatch::{Dispatch, Session},
    envelope::NoResponse,
    gate::{Gate, Gated},
    schema,
};

/// How long a connection may be silent before its peer's kernel is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_mins(1);

/// Responses that wait for one session's socket before its calls wait.
const WAITING_RESPONSES: u32 = 64;

/// A JSON-RPC server, bound to its port: HTTP and WebSocket.
///
/// ```no_run
/// # async fn mount(service: impl rpc_core::Service) -> rpc_core::Result<()> {
/// use everywire_jsonrpc as jsonrpc;
///
/// let server = rpc_core::Server::new(service).mount(jsonrpc::Server::bind("127.0.0.1:4244").await?);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    limits: Limits,
}

impl Server {
    /// Binds `address`, such as `127.0.0.1:4244`; port 0 takes a free one.
    pub async fn bind(address: &str) -> Result<Self> {
        Ok(Self { listener: Listener::bind("jsonrpc", address).await?, limits: Limits::default() })
    }

    /// Sets the limits.
    ///
    /// `depth` is not kept here: `serde_json` stops at 128. `calls_in_flight` is a WebSocket session's; an HTTP
    /// connection has one. Instead of counting `unsent_bytes`, a session is not read while its socket takes no replies.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The address, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }
}

impl Transport for Server {
    fn endpoint(&self) -> String {
        format!("jsonrpc http://{}", self.address())
    }

    fn check(&self, descriptor: &ServiceDescriptor) -> Result<()> {
        schema::check(descriptor)
    }

    async fn serve<S: Service>(self, service: Arc<S>, shutdown: CancellationToken) -> Result<()> {
        let connections = self.limits.connections;
        let host = Arc::new(Host::new(service, self.limits)?);
        let serve = |stream, _, shutdown| connection(Arc::clone(&host), stream, shutdown);
        self.listener.serve(connections, shutdown, serve).await;
        Ok(())
    }
}

/// What all connections share.
struct Host<S> {
    dispatch: Dispatch<S>,
    limits: Limits,
    sessions: ServerConfig,
    max_bytes: u32,
    max_batch: u32,
}

impl<S: Service> Host<S> {
    fn new(service: Arc<S>, limits: Limits) -> Result<Self> {
        let document = schema::openrpc(service.descriptor(), env!("CARGO_PKG_VERSION"));
        let document: Box<RawValue> = to_raw_value(&document).map_err(RpcError::internal)?;
        let max_bytes = u32::try_from(limits.message_bytes).unwrap_or(u32::MAX);
        let max_batch = u32::try_from(limits.batch_calls).unwrap_or(u32::MAX);
        let sessions = ServerConfig::builder()
            .max_request_body_size(max_bytes)
            .max_response_body_size(max_bytes)
            .set_batch_request_config(BatchRequestConfig::Limit(max_batch))
            .set_message_buffer_capacity(WAITING_RESPONSES)
            .build();
        let dispatch = Dispatch { service, document: document.into(), max_bytes: limits.message_bytes };
        Ok(Self { dispatch, limits, sessions, max_bytes, max_batch })
    }
}

/// Serves one connection: HTTP requests, then the WebSocket session that one of them may have opened.
async fn connection<S: Service>(host: Arc<Host<S>>, stream: TcpStream, shutdown: CancellationToken) {
    let _ = SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
    let gate = Gate::new(host.limits.calls_in_flight);
    let _closing = CloseOnDrop(&gate);
    let upgrade = Mutex::new(None);
    let socket = TokioIo::new(Gated::new(stream, Arc::clone(&gate)));
    let service = service_fn(async |request| Ok::<_, Infallible>(answer(&host, &gate, &upgrade, request).await));
    let mut http = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(host.limits.handshake_time)
            .serve_connection(socket, service)
            .with_upgrades()
    );
    let ended = tokio::select! {
        ended = &mut http => ended,
        () = shutdown.cancelled() => {
            http.as_mut().graceful_shutdown();
            http.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection ended early");
    }
    let session = upgrade.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(session) = session {
        run(session, shutdown).await;
    }
}

/// Ends what jsonrpsee started for a session, when the session's own future ends or is dropped.
struct CloseOnDrop<'a>(&'a Gate);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A WebSocket session that begins once its HTTP response is sent.
struct Upgraded {
    session: Pin<Box<dyn Future<Output = ()> + Send>>,
    stop: ServerHandle,
}

async fn run(mut upgraded: Upgraded, shutdown: CancellationToken) {
    tokio::select! {
        () = &mut upgraded.session => return,
        () = shutdown.cancelled() => {}
    }
    // From here jsonrpsee takes no call, finishes those in flight and says goodbye. It fails only if it has done so.
    let _ = upgraded.stop.stop();
    upgraded.session.await;
}

async fn answer<S: Service>(
    host: &Host<S>,
    gate: &Arc<Gate>,
    upgrade: &Mutex<Option<Upgraded>>,
    mut request: Request<Incoming>,
) -> HttpResponse {
    if request.method() == Method::GET && ws::is_upgrade_request(&request) {
        return open(host, gate, upgrade, request).await;
    }
    forgive_content_type(&mut request);
    let request = request.map(|body| Timed::new(body, host.limits.message_time));
    let batch = BatchRequestConfig::Limit(host.max_batch);
    let response =
        jsonrpsee_server::http::call_with_service(request, batch, host.max_bytes, host.dispatch.clone()).await;
    if response.extensions().get::<NoResponse>().is_some() { no_content() } else { response }
}

/// Many a `curl` forgets the header. A request with an `Origin` is not forgiven: a browser would then let any page call
/// this server, whereas for JSON it asks first and is refused.
fn forgive_content_type(request: &mut Request<Incoming>) {
    if !jsonrpsee_server::http::content_type_is_json(request) && !request.headers().contains_key(header::ORIGIN) {
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
}

fn no_content() -> HttpResponse {
    let mut response = HttpResponse::new(HttpBody::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// Answers a WebSocket handshake and leaves the session in `upgrade`.
async fn open<S: Service>(
    host: &Host<S>,
    gate: &Arc<Gate>,
    upgrade: &Mutex<Option<Upgraded>>,
    request: Request<Incoming>,
) -> HttpResponse {
    // The listener counts connections; jsonrpsee's own count is one place for this one.
    let place = ConnectionGuard::new(1).try_acquire().expect("a new guard has a place");
    let (stopped, stop) = stop_channel();
    let state = ConnectionState::new(stopped, 0, place);
    let (dispatch, gate) = (host.dispatch.clone(), Arc::clone(gate));
    let middleware = RpcServiceBuilder::new().layer_fn(move |running| Session {
        dispatch: dispatch.clone(),
        gate: Arc::clone(&gate),
        _running: running,
    });
    match ws::connect(request, host.sessions.clone(), Methods::new(), state, middleware).await {
        Ok((response, session)) => {
            let session = Upgraded { session: Box::pin(session), stop };
            *upgrade.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
            response
        }
        Err(mut response) => {
            *response.status_mut() = StatusCode::BAD_REQUEST;
            response
        }
    }
}
