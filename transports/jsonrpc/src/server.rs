//! The server: its port, its limits, and what its connections share.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use everywire_net::Listener;
use jsonrpsee_server::{BatchRequestConfig, PingConfig, ServerConfig};
use rpc_core::{Budget, CancellationToken, Limits, Result, RpcError, Service, ServiceDescriptor, Transport};
use serde_json::value::{RawValue, to_raw_value};

use crate::{connection::Connection, dispatch::Dispatch, schema};

/// Responses that wait for one session's socket before its calls wait.
const WAITING_RESPONSES: u32 = 64;

/// How often a session is pinged. One at its limit of calls is not read, so a ping that can't be sent is how its end shows.
const PING_INTERVAL: Duration = Duration::from_secs(5);

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
}

impl Server {
    /// Binds `address`, such as `127.0.0.1:4244`; port 0 takes a free one.
    pub async fn bind(address: &str) -> Result<Self> {
        Ok(Self { listener: Listener::bind("jsonrpc", address).await? })
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

    async fn serve<S: Service>(self, service: Arc<S>, budget: Arc<Budget>, shutdown: CancellationToken) -> Result<()> {
        let host = Arc::new(Host::new(service, budget.limits().clone())?);
        let serve = |stream, _, shutdown| Connection::new(Arc::clone(&host)).serve(stream, shutdown);
        self.listener.serve(&budget, shutdown, serve).await;
        Ok(())
    }
}

/// What all connections share.
pub(crate) struct Host<S> {
    pub(crate) dispatch: Dispatch<S>,
    pub(crate) limits: Limits,
    /// The longest request in bytes.
    pub(crate) max_bytes: u32,
    pub(crate) batch: BatchRequestConfig,
    /// The same limits for WebSocket sessions.
    pub(crate) sessions: ServerConfig,
}

impl<S: Service> Host<S> {
    fn new(service: Arc<S>, limits: Limits) -> Result<Self> {
        let document = schema::openrpc(service.descriptor(), env!("CARGO_PKG_VERSION"));
        let document: Box<RawValue> = to_raw_value(&document).map_err(RpcError::internal)?;
        let max_bytes = u32::try_from(limits.message_bytes).unwrap_or(u32::MAX);
        let batch = BatchRequestConfig::Limit(u32::try_from(limits.batch_calls).unwrap_or(u32::MAX));
        // Pongs are not read either while a session is at its limit, so that a peer may owe them.
        let pings = PingConfig::new().ping_interval(PING_INTERVAL).inactive_limit(Duration::MAX);
        let sessions = ServerConfig::builder()
            .enable_ws_ping(pings)
            .max_request_body_size(max_bytes)
            .max_response_body_size(max_bytes)
            .set_batch_request_config(batch)
            .set_message_buffer_capacity(WAITING_RESPONSES)
            .build();
        let dispatch = Dispatch { service, document: document.into(), max_bytes: limits.message_bytes };
        Ok(Self { dispatch, limits, max_bytes, batch, sessions })
    }
}
