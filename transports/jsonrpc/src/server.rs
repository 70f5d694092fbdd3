//! The server: its port, and what its connections share.

use std::{net::SocketAddr, sync::Arc};

use everywire_net::Listener;
use rpc_core::{Budget, Call, CancellationToken, Result, RpcError, Service, ServiceDescriptor, Transport};
use serde_json::value::{RawValue, to_raw_value};

use crate::{connection::Connection, schema};

/// The method that answers with the service's `OpenRPC` document.
const DISCOVER: &str = "rpc.discover";

/// A JSON-RPC server, bound to its port: HTTP and WebSocket.
///
/// It keeps every one of [`Limits`](rpc_core::Limits) but `decompressed_bytes`, as it takes nothing compressed.
/// `calls_in_flight` and `unsent_bytes` have a place only in WebSocket sessions: over HTTP a connection has one call, and one
/// answer, at a time. A batch counts as one call in flight, because its calls run one after the other.
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

    /// Where clients on this machine find it, such as `http://127.0.0.1:4244`.
    pub fn url(&self) -> String {
        self.listener.url("http")
    }
}

impl Transport for Server {
    fn endpoint(&self) -> String {
        format!("jsonrpc {}", self.url())
    }

    fn check(&self, descriptor: &ServiceDescriptor) -> Result<()> {
        everywire_json::check("jsonrpc", descriptor)
    }

    async fn serve<S: Service>(self, service: Arc<S>, budget: Arc<Budget>, shutdown: CancellationToken) -> Result<()> {
        let document = schema::openrpc(service.descriptor(), env!("CARGO_PKG_VERSION"));
        let document = to_raw_value(&document).map_err(RpcError::internal)?;
        let host = Arc::new(Host { service, document, budget: Arc::clone(&budget) });
        let connection = |socket, _, stop| Connection::new(Arc::clone(&host), stop).serve(socket);
        self.listener.serve(&budget, shutdown, connection).await;
        Ok(())
    }
}

/// What all connections share.
pub(crate) struct Host<S> {
    service: Arc<S>,
    /// The service's `OpenRPC` document.
    document: Box<RawValue>,
    pub(crate) budget: Arc<Budget>,
}

/// The service as one message meets it.
pub(crate) struct Door<S> {
    pub(crate) host: Arc<Host<S>>,
    /// The server takes no new calls.
    pub(crate) is_stopping: bool,
}

impl<S: Service> Service for Door<S> {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        self.host.service.descriptor()
    }

    async fn dispatch<C: Call>(&self, method: &str, call: &mut C) -> C::Reply {
        if self.is_stopping {
            return call.reply::<()>(Err(RpcError::unavailable("the server is stopping")));
        }
        if method == DISCOVER {
            return call.reply(Ok(&*self.host.document));
        }
        self.host.service.dispatch(method, call).await
    }
}
