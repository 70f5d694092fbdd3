//! The server: accepted connections, each with a session of its own.

use std::{io, net::SocketAddr, sync::Arc};

use bytes::BytesMut;
use everywire_net::{Listener, Socket};
use everywire_zmtp::{Engine, SocketType};
use rpc_core::{Budget, CancellationToken, Result, Service, ServiceDescriptor, Transport};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{call::ZerorpcCall, schema, session::ZerorpcSession};

/// A zerorpc server, bound and not yet serving.
///
/// It keeps all limits but `batch_calls` and `decompressed_bytes`; zerorpc has no batches and no compression. A call that waits is cancelled when its client
/// has sent no heartbeat for two periods, 10 s; all clients send them.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
}

impl Server {
    /// Binds `address`, such as `127.0.0.1:4243` or, as zerorpc writes it, `tcp://127.0.0.1:4243`. Port 0 takes a free
    /// one.
    pub async fn bind(address: &str) -> Result<Self> {
        let address = address.strip_prefix("tcp://").unwrap_or(address);
        Ok(Self { listener: Listener::bind("zerorpc", address).await? })
    }

    /// The bound address, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }
}

impl Transport for Server {
    fn endpoint(&self) -> String {
        format!("zerorpc tcp://{}", self.address())
    }

    /// Refuses types that MessagePack loses or Python can't read: maps with keys other than strings, integers of 128
    /// bits, `Option<Option<T>>`. MessagePack describes itself, so a type without a shape is fine.
    fn check(&self, descriptor: &ServiceDescriptor) -> Result<()> {
        schema::check(descriptor)
    }

    async fn serve<S: Service>(self, service: Arc<S>, budget: Arc<Budget>, shutdown: CancellationToken) -> Result<()> {
        let engine = Arc::new(Engine::new(SocketType::Router, Arc::clone(&budget)));
        let connection = |stream: Socket, peer: SocketAddr, stop: CancellationToken| {
            let (engine, service) = (Arc::clone(&engine), Arc::clone(&service));
            async move {
                if let Err(error) = serve_connection(&engine, service, stream, stop).await {
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
    engine: &Engine,
    service: Arc<S>,
    io: impl AsyncRead + AsyncWrite + Send,
    stop: CancellationToken,
) -> io::Result<()> {
    let descriptor = service.descriptor();
    let dispatch = move |mut call: ZerorpcCall| {
        let service = Arc::clone(&service);
        async move { service.dispatch(call.method(), &mut call).await }
    };
    let session = ZerorpcSession::new(dispatch, descriptor, engine.limits().depth);
    engine.serve(io, BytesMut::new(), session, stop).await
}
