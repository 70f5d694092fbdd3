//! The server: accepted connections, each with a session of its own.

use std::{io, net::SocketAddr, sync::Arc};

use everywire_core::{
    Budget, Limit, Result, Service, Transport,
    descriptor::ServiceDescriptor,
    wire::{CancellationToken, PerConnection, Waiting},
};
use everywire_net::{Listener, Socket};
use everywire_zmtp::{Engine, SocketType, Stream};

use crate::{call::ZerorpcCall, schema, session::ZerorpcSession};

/// A zerorpc server, bound and not yet serving.
///
/// It keeps all limits but `batch_calls` and `decompressed_bytes`, as zerorpc has no batches and no compression. A call
/// beyond `calls_in_all`, `call_time` or `depth` is answered with an error, and so is one for whose long reply
/// `buffered_bytes` has no room. What else is beyond a limit closes the connection, or pauses reading; see
/// [`Engine`].
///
/// A call that waits is cancelled when its client has left, or has sent no heartbeat for two periods, 10 s; all clients
/// send them. The id of a request, its `message_id`, has at most 255 bytes.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
}

impl Server {
    /// Binds `address`, such as `127.0.0.1:4243` or, as zerorpc writes it, `tcp://127.0.0.1:4243`. Port 0 takes a free
    /// one.
    pub async fn bind(address: &str) -> Result<Self> {
        Ok(Self { listener: Listener::bind("zerorpc", address).await? })
    }

    /// The bound address, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// The URL at which clients on this machine can connect, such as `tcp://127.0.0.1:4243`.
    pub fn url(&self) -> String {
        self.listener.url("tcp")
    }
}

impl Transport for Server {
    fn endpoint(&self) -> String {
        format!("zerorpc {}", self.url())
    }

    /// Refuses types that MessagePack loses or Python can't read: maps with keys other than strings, integers of 128
    /// bits, `Option<Option<T>>`. MessagePack describes itself, so a type without a shape is fine.
    fn check(&self, descriptor: &ServiceDescriptor) -> Result<()> {
        schema::check(descriptor)
    }

    async fn serve<S: Service>(self, service: Arc<S>, budget: Arc<Budget>, shutdown: CancellationToken) -> Result<()> {
        let engine = Arc::new(Engine::new("zerorpc", SocketType::Router, Arc::clone(&budget)));
        let connection = |stream: Socket, peer: SocketAddr, stop: CancellationToken| {
            let (engine, service) = (Arc::clone(&engine), Arc::clone(&service));
            let waiting = stream.waiting();
            async move {
                if let Err(error) = serve_connection(&engine, service, waiting, stream, peer, stop).await {
                    tracing::debug!(%peer, %error, "zerorpc connection ended");
                }
            }
        };
        self.listener.serve(&budget, shutdown, connection).await;
        Ok(())
    }
}

/// Runs one connection.
pub(crate) async fn serve_connection<S: Service>(
    engine: &Arc<Engine>,
    service: Arc<S>,
    waiting: Waiting,
    io: impl Stream,
    peer: SocketAddr,
    stop: CancellationToken,
) -> io::Result<()> {
    let descriptor = service.descriptor();
    // One count of references per connection: its calls don't meet those of others on it.
    let shared = Arc::new((PerConnection::new(service, waiting.clone()), Arc::clone(engine)));
    let dispatch = move |mut call: ZerorpcCall| {
        let shared = Arc::clone(&shared);
        async move {
            let (service, engine) = &*shared;
            let reply = service.dispatch(call.method(), &mut call).await;
            if call.is_too_deep() {
                engine
                    .budget()
                    .record(Limit::Depth, format_args!("zerorpc: {peer} has sent arguments that nest too deep"));
            }
            reply
        }
    };
    let session = ZerorpcSession::new(dispatch, descriptor, engine.budget().limits().depth, waiting);
    engine.serve(io, peer, session, stop).await
}
