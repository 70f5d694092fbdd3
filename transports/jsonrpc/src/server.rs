//! The server: its settings, and what its connections share.

use std::{io, sync::Arc};

use everywire_core::{
    Result, RpcError, Service,
    descriptor::{ServiceDescriptor, Services},
    wire::{self, Io, Protocol},
};
use everywire_net::{WebOrigins, pull::OpenStreams};
use serde_json::value::to_raw_value;

use crate::{
    connection::Connection,
    gate::{Common, Shared},
    schema,
};

/// A JSON-RPC server over HTTP and WebSocket.
///
/// It enforces all [`Limits`](everywire_core::Limits). `decompressed_bytes` applies only over HTTP, `calls_in_flight` and `unsent_bytes`
/// only in WebSocket sessions: over HTTP a connection has one call, and one answer, at a time. A batch counts as one call in
/// flight, because its calls run one after the other.
///
/// ```no_run
/// # async fn mount(service: impl everywire_core::Service) -> everywire_core::Result<()> {
/// use everywire_jsonrpc as jsonrpc;
/// use everywire_net::Tcp;
///
/// let tcp = Tcp::bind("127.0.0.1:4244").await?;
/// let server = everywire_core::Server::new(service).mount((tcp, jsonrpc::Server::new()));
/// # Ok(()) }
/// ```
#[derive(Debug, Default)]
pub struct Server {
    origins: WebOrigins,
}

impl Server {
    /// A server with the default settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the web pages that may call this server through a browser. By default only the server's own pages may, under an
    /// IP address or `localhost`.
    #[must_use]
    pub fn origins(self, origins: WebOrigins) -> Self {
        Self { origins }
    }
}

impl Protocol for Server {
    const NAME: &'static str = "jsonrpc";
    const SCHEME: &'static str = "http";
    const STREAMS: bool = true;
    type Shared = Common;

    fn check(&self, descriptor: &ServiceDescriptor) -> Result<()> {
        everywire_json::check(Self::NAME, descriptor)
    }

    fn start(self, services: &Services) -> Result<Common> {
        let document = to_raw_value(&schema::openrpc_of(services)).map_err(RpcError::internal)?;
        Ok(Common { document, origins: self.origins, streams: OpenStreams::of_listener() })
    }

    async fn serve<S: Service>(
        common: Arc<Common>,
        service: S,
        connection: wire::Connection<impl Io>,
    ) -> io::Result<()> {
        let wire::Connection { io, peer, budget, waiting, stop, .. } = connection;
        Connection::new(Shared { service, common, budget, waiting, peer }, stop).serve(io).await
    }
}
