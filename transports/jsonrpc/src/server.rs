//! The server: its port, and what its connections share.

use std::{net::SocketAddr, sync::Arc};

use everywire_core::{
    Budget, Result, RpcError, Service, Transport,
    descriptor::ServiceDescriptor,
    wire::{CancellationToken, PerConnection, Waiting},
};
use everywire_json::{Cancellable, Endpoint};
use everywire_net::{Listener, Socket, WebOrigins};
use serde_json::value::{RawValue, to_raw_value};

use crate::{connection::Connection, schema};

/// The method that answers with the service's `OpenRPC` document.
const DISCOVER: &str = "rpc.discover";

/// A JSON-RPC server, bound to its port: HTTP and WebSocket.
///
/// It enforces all [`Limits`](everywire_core::Limits). `decompressed_bytes` applies only over HTTP, `calls_in_flight` and `unsent_bytes`
/// only in WebSocket sessions: over HTTP a connection has one call, and one answer, at a time. A batch counts as one call in
/// flight, because its calls run one after the other.
///
/// ```no_run
/// # async fn mount(service: impl everywire_core::Service) -> everywire_core::Result<()> {
/// use everywire_jsonrpc as jsonrpc;
///
/// let server = everywire_core::Server::new(service).mount(jsonrpc::Server::bind("127.0.0.1:4244").await?);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    origins: WebOrigins,
}

impl Server {
    /// Binds `address`, such as `127.0.0.1:4244`; port 0 takes a free one.
    pub async fn bind(address: &str) -> Result<Self> {
        Ok(Self { listener: Listener::bind("jsonrpc", address).await?, origins: WebOrigins::default() })
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

    /// The address, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// The URL at which clients on this machine can connect, such as `http://127.0.0.1:4244`.
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
        let document = schema::openrpc(service.descriptor());
        let document: Arc<RawValue> = to_raw_value(&document).map_err(RpcError::internal)?.into();
        let origins = Arc::new(self.origins);
        let connection = |socket: Socket, _, stop| {
            let waiting = socket.waiting();
            let shared = Shared {
                service: PerConnection::new(Arc::clone(&service), waiting.clone()),
                document: Arc::clone(&document),
                origins: Arc::clone(&origins),
                budget: Arc::clone(&budget),
                waiting,
            };
            Connection::new(Arc::new(shared), stop).serve(socket)
        };
        self.listener.serve(&budget, shutdown, connection).await;
        Ok(())
    }
}

/// What the calls of one connection share.
pub(crate) struct Shared<S> {
    service: PerConnection<S>,
    /// The service's `OpenRPC` document.
    document: Arc<RawValue>,
    pub(crate) origins: Arc<WebOrigins>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) waiting: Waiting,
}

/// What one message is addressed to.
pub(crate) struct Gate<'a, S> {
    pub(crate) shared: &'a Shared<S>,
    /// The calls of a WebSocket, which later messages can cancel.
    pub(crate) calls: Option<&'a Cancellable>,
    /// The server takes no new calls.
    pub(crate) is_stopping: bool,
}

impl<S: Service> Endpoint for Gate<'_, S> {
    type Service = PerConnection<S>;

    fn service(&self) -> &PerConnection<S> {
        &self.shared.service
    }

    fn budget(&self) -> &Arc<Budget> {
        &self.shared.budget
    }

    fn cancellable(&self) -> Option<&Cancellable> {
        self.calls
    }

    fn answer_itself(&self, method: &str) -> Option<Result<&RawValue>> {
        if self.is_stopping {
            return Some(Err(RpcError::unavailable("the server is stopping")));
        }
        (method == DISCOVER).then_some(Ok(&self.shared.document))
    }
}
