//! What is spoken on a connection.

use std::{io, sync::Arc};

use tokio_util::sync::CancellationToken;

use crate::{
    Budget, Result, Service, Transport,
    accept::serve_connections,
    descriptor::ServiceDescriptor,
    listener::{Io, Listener, Peer},
    socket::Socket,
    waiting::{PerConnection, Waiting},
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
/// the service's descriptor. Everything else is [`serve`](Self::serve), once for each connection.
pub trait Protocol: Send + 'static {
    /// The name of the wire, such as `xmlrpc`, for the log and the list of endpoints.
    const NAME: &'static str;

    /// The scheme of its URLs, such as `http`.
    const SCHEME: &'static str;

    /// What all connections of one listener share.
    type Shared: Send + Sync + 'static;

    /// Rejects a service whose types or names this wire can't carry. Called before any wire serves.
    fn check(&self, _descriptor: &ServiceDescriptor) -> Result<()> {
        Ok(())
    }

    /// Prepares to serve a service with this `descriptor` within the limits of `budget`.
    fn start(self, descriptor: &'static ServiceDescriptor, budget: &Arc<Budget>) -> Result<Self::Shared>;

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

/// An accepted connection.
#[derive(Debug)]
#[non_exhaustive]
pub struct Connection<IO> {
    /// Its stream.
    pub io: Socket<IO>,
    /// Who is at the other end.
    pub peer: Peer,
    /// The limits, and what is used of them by all connections.
    pub budget: Arc<Budget>,
    /// The count of its waiting calls, which the service that it is served with keeps.
    pub waiting: Waiting,
    /// Cancelled when the server shuts down.
    pub stop: CancellationToken,
}

impl<IO: Io> Connection<IO> {
    /// A connection with `peer` over `io`, within the limits of `budget`.
    pub fn new(io: IO, peer: Peer, budget: &Arc<Budget>, stop: CancellationToken) -> Self {
        let io = Socket::new(io, Arc::clone(budget));
        Self { io, peer, budget: Arc::clone(budget), waiting: Waiting::new(budget), stop }
    }
}

impl<L: Listener, P: Protocol> Transport for (L, P) {
    fn endpoint(&self) -> String {
        format!("{} {}", P::NAME, self.0.url(P::SCHEME))
    }

    fn check(&self, descriptor: &ServiceDescriptor) -> Result<()> {
        self.1.check(descriptor)
    }

    async fn serve<S: Service>(self, service: Arc<S>, budget: Arc<Budget>, shutdown: CancellationToken) -> Result<()> {
        let (listener, protocol) = self;
        let shared = Arc::new(protocol.start(service.descriptor(), &budget)?);
        let serve = |connection: Connection<L::Io>| {
            let service = PerConnection::new(Arc::clone(&service), connection.waiting.clone());
            P::serve(Arc::clone(&shared), service, connection)
        };
        serve_connections(P::NAME, listener, &budget, &shutdown, serve).await;
        Ok(())
    }
}
