//! The server: a REP socket for any number of clients.

use std::{io, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use everywire_core::{
    Budget, Result, RpcError, Service, Transport, descriptor::ServiceDescriptor, wire::CancellationToken,
};
use everywire_net::{Listener, Socket};
use everywire_zmtp::{Engine, Envelope, Peer, Reply, Session, SocketType};

use crate::{
    call::{LockerCall, NO},
    schema::{self, METHOD},
};

/// A locker, bound and not yet serving.
///
/// It keeps all limits but `depth`, `decompressed_bytes` and `batch_calls`, as nothing of a message is looked at, and
/// `calls_in_flight`: each connection has one call in flight, since answers carry no number and have to come in the order
/// of the requests. A call beyond `calls_in_all` or `call_time` is answered with `sorry`; what else is beyond a limit closes
/// the connection, or pauses reading; see [`Engine`]. A call that waits is cancelled when its client has left.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    resource: Arc<str>,
}

/// What clients ask for, unless it is told otherwise.
const DEFAULT_RESOURCE: &str = "locker";

impl Server {
    /// Binds `address`, such as `127.0.0.1:7777` or, as ZeroMQ writes it, `tcp://127.0.0.1:7777`. Port 0 takes a free
    /// one.
    pub async fn bind(address: &str) -> Result<Self> {
        let listener = Listener::bind("locker", address).await?;
        Ok(Self { listener, resource: DEFAULT_RESOURCE.into() })
    }

    /// Sets the `resource` that every message asks for. Default `locker`.
    #[must_use]
    pub fn resource(self, resource: &str) -> Self {
        Self { resource: resource.into(), ..self }
    }

    /// The bound address, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// The URL at which clients on this machine can connect, such as `tcp://127.0.0.1:7777`.
    pub fn url(&self) -> String {
        self.listener.url("tcp")
    }
}

impl Transport for Server {
    fn endpoint(&self) -> String {
        format!("locker {}", self.url())
    }

    /// Refuses a service without `acquire(resource: String)` whose reply has `go: bool`, and says what is missing. Further
    /// arguments must be optional; they are left out.
    fn check(&self, descriptor: &ServiceDescriptor) -> Result<()> {
        schema::check(descriptor)
    }

    async fn serve<S: Service>(self, service: Arc<S>, budget: Arc<Budget>, shutdown: CancellationToken) -> Result<()> {
        let method = service.descriptor().find(METHOD)?;
        let engine = Arc::new(Engine::new("locker", SocketType::Rep, Arc::clone(&budget)));
        let connection = |stream: Socket, peer: SocketAddr, stop: CancellationToken| {
            let (engine, service, resource) = (Arc::clone(&engine), Arc::clone(&service), Arc::clone(&self.resource));
            let dispatch = move |envelope| {
                let service = Arc::clone(&service);
                let mut call = LockerCall { envelope, method, resource: Arc::clone(&resource) };
                async move { service.dispatch(call.method, &mut call).await }
            };
            async move {
                if let Err(error) = engine.serve(stream, peer, LockerSession { dispatch }, stop).await {
                    tracing::debug!(%peer, %error, "locker connection ended");
                }
            }
        };
        self.listener.serve(&budget, shutdown, connection).await;
        Ok(())
    }
}

/// One connection. `dispatch` starts a call of the service.
struct LockerSession<D> {
    dispatch: D,
}

impl<D, F> Session for LockerSession<D>
where
    D: Fn(Envelope) -> F + Send,
    F: Future<Output = Reply> + Send + 'static,
{
    type Call = F;
    type Channel = ();

    fn receive(&mut self, envelope: Envelope, _body: &[Bytes], peer: &mut Peer<()>) -> io::Result<Option<((), F)>> {
        if peer.is_draining() {
            peer.output.push(&envelope, NO);
            return Ok(None);
        }
        Ok(Some(((), (self.dispatch)(envelope))))
    }

    fn refuse(&mut self, envelope: Envelope, (): (), _error: &RpcError) -> Reply {
        Reply { envelope, body: NO.to_vec() }
    }
}
