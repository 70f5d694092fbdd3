//! The protocols that connections speak.

use std::{io, sync::Arc};

use tokio_util::sync::CancellationToken;

use crate::{
    accept::serve_connections,
    budget::Budget,
    connection::Connection,
    descriptor::{Method, ServiceDescriptor, Services},
    error::{Result, RpcError},
    listener::{Io, Listener},
    server::Transport,
    service::Service,
    waiting::PerConnection,
};

/// A wire whose calls travel over byte streams.
///
/// A pair of a [`Listener`] and a protocol is a [`Transport`]: it accepts connections within the limits, serves each in a task of
/// its own, and on shutdown waits until they have answered their calls.
///
/// ```no_run
/// # use everywire_core::{Server, Service, wire::{Listener, Protocol}};
/// # fn mount(service: impl Service, tcp: impl Listener, lines: impl Protocol) {
/// let server = Server::new(service).mount((tcp, lines));
/// # }
/// ```
///
/// # Notes for implementers
/// The value holds the settings. [`start`](Self::start) turns it into what all connections share, and may prepare what depends on
/// the services. Everything else is [`serve`](Self::serve), once for each connection.
pub trait Protocol: Send + 'static {
    /// The name of the wire, such as `xmlrpc`, for the log and the list of endpoints.
    const NAME: &'static str;

    /// The scheme of its URLs, such as `http`.
    const SCHEME: &'static str;

    /// Whether [`Call::stream`](crate::wire::Call::stream) works on it. A service with a method that [streams](Method::streams) is
    /// rejected otherwise.
    const STREAMS: bool = false;

    /// What all connections of one listener share.
    type Shared: Send + Sync + 'static;

    /// Rejects a service whose types or names this wire can't carry. Called before any wire serves.
    fn check(&self, _descriptor: &ServiceDescriptor) -> Result<()> {
        Ok(())
    }

    /// Prepares to serve these services.
    fn start(self, services: &Services) -> Result<Self::Shared>;

    /// Serves one connection until its peer closes it, or until [`stop`](Connection::stop) is cancelled and the calls in flight
    /// are answered. Dropping the future ends the connection.
    ///
    /// Return an error if the connection breaks or if its peer breaks a rule; the server logs it at the level `debug`.
    fn serve<S: Service>(
        shared: Arc<Self::Shared>,
        service: S,
        connection: Connection<impl Io>,
    ) -> impl Future<Output = io::Result<()>> + Send;
}

impl<L: Listener, P: Protocol> Transport for (L, P) {
    fn endpoint(&self) -> String {
        format!("{} {}", P::NAME, self.0.url(P::SCHEME))
    }

    fn check(&self, descriptor: &ServiceDescriptor) -> Result<()> {
        if !P::STREAMS {
            check_streams(P::NAME, descriptor)?;
        }
        self.1.check(descriptor)
    }

    async fn serve<S: Service>(self, service: Arc<S>, budget: Arc<Budget>, shutdown: CancellationToken) -> Result<()> {
        let (listener, protocol) = self;
        let shared = Arc::new(protocol.start(service.services())?);
        let serve = |connection: Connection<L::Io>| {
            let service = PerConnection::new(Arc::clone(&service), connection.waiting.clone());
            P::serve(Arc::clone(&shared), service, connection)
        };
        serve_connections(P::NAME, listener, &budget, &shutdown, serve).await;
        Ok(())
    }
}

/// Rejects a service with a method that streams, on `wire`, which has no streams.
pub fn check_streams(wire: &str, descriptor: &ServiceDescriptor) -> Result<()> {
    let streams: Vec<_> = descriptor.methods().iter().filter(|method| method.streams()).map(Method::name).collect();
    if streams.is_empty() {
        return Ok(());
    }
    let (service, streams) = (descriptor.full_name(), streams.join(", "));
    Err(RpcError::failed_precondition(format!(
        "{wire} can't carry {service}: it has no streams, and these methods need them: {streams}"
    )))
}
