//! The server: a REP socket for any number of clients.

use std::{io, sync::Arc};

use bytes::Bytes;
use everywire_core::{
    Result, Service,
    descriptor::{Method, ServiceDescriptor, Services},
    wire::{Connection, Io, Protocol},
};
use everywire_zmtp::{Engine, Envelope, Peer, Reply, Session, SocketType};

use crate::{
    call::{LockerCall, NO},
    schema::{self, METHOD},
};

/// A locker.
///
/// It keeps all limits but `depth`, `decompressed_bytes` and `batch_calls`, as nothing of a message is looked at, and
/// `calls_in_flight`: each connection has one call in flight, since answers carry no number and have to come in the order
/// of the requests. A call beyond `calls_in_all` or `call_time` is answered with `sorry`; what else is beyond a limit closes
/// the connection, or pauses reading; see [`Engine`]. A call that waits is cancelled when its client has left.
#[derive(Debug)]
pub struct Server {
    resource: Arc<str>,
}

/// What clients ask for, unless it is told otherwise.
const DEFAULT_RESOURCE: &str = "locker";

impl Default for Server {
    fn default() -> Self {
        Self { resource: DEFAULT_RESOURCE.into() }
    }
}

impl Server {
    /// A server with the default resource.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the `resource` that every message asks for. Default `locker`.
    #[must_use]
    pub fn resource(self, resource: &str) -> Self {
        Self { resource: resource.into() }
    }
}

impl Protocol for Server {
    const NAME: &'static str = "locker";
    const SCHEME: &'static str = "tcp";
    /// The service may have methods that stream: they can't be called here. `check` rejects an `acquire` that does.
    const STREAMS: bool = true;
    type Shared = Shared;

    /// Rejects a service without `acquire(resource: String)` whose reply has `go: bool`, and says what is missing. Further
    /// arguments must be optional; they are left out.
    fn check(&self, descriptor: &ServiceDescriptor) -> Result<()> {
        schema::check(descriptor)
    }

    fn start(self, services: &Services) -> Result<Shared> {
        let engine = Engine::new(Self::NAME, SocketType::Rep);
        Ok(Shared { engine, method: services.find(METHOD)?, resource: self.resource })
    }

    async fn serve<S: Service>(shared: Arc<Shared>, service: S, connection: Connection<impl Io>) -> io::Result<()> {
        let (service, method, resource) = (Arc::new(service), shared.method, Arc::clone(&shared.resource));
        let peer = connection.peer.clone();
        let dispatch = move |envelope| {
            let service = Arc::clone(&service);
            let (resource, context) = (Arc::clone(&resource), peer.clone().into());
            let mut call = LockerCall { envelope, method, resource, context };
            async move { service.dispatch(call.method, &mut call).await }
        };
        shared.engine.serve(connection, LockerSession { dispatch }).await
    }
}

/// What all connections share.
#[derive(Debug)]
pub struct Shared {
    engine: Engine,
    method: &'static Method,
    resource: Arc<str>,
}

/// One connection. `dispatch` starts a call of the service.
struct LockerSession<D> {
    dispatch: D,
}

impl<D, F> Session for LockerSession<D>
where
    D: Fn(Envelope) -> F + Send,
    F: Future<Output = Reply> + Send,
{
    type Call = F;
    type Request = Envelope;
    type Channel = ();

    fn receive(
        &mut self,
        envelope: Envelope,
        _body: &[Bytes],
        peer: &mut Peer<'_, Self>,
    ) -> io::Result<Option<((), Envelope)>> {
        if peer.is_draining() {
            peer.output.push(&envelope, NO);
            return Ok(None);
        }
        Ok(Some(((), envelope)))
    }

    fn call(&mut self, envelope: Envelope) -> F {
        (self.dispatch)(envelope)
    }
}
