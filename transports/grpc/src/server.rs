//! The server.

use std::{net::SocketAddr, sync::Arc};

use everywire_core::{
    Budget, Result, Service, Transport,
    descriptor::ServiceDescriptor,
    wire::{CancellationToken, PerConnection},
};
use everywire_net::{Listener, Socket};
use tokio::sync::Semaphore;

use crate::{
    builtin::{self, Builtins},
    connection::Connection,
    router::{Router, Shared},
    schema,
};

/// A gRPC server of one service, bound and not yet serving.
///
/// It also answers `grpc.health.v1.Health` and server reflection (`v1` and `v1alpha`).
///
/// It enforces every limit except `batch_calls`, because gRPC has no batches. A connection may have `calls_in_flight` plus
/// `waiting_calls` streams open; further ones are reset with `REFUSED_STREAM`. Once a peer leaves `unsent_bytes` unread,
/// its further calls wait, while its window updates are still read. A stream whose reply is not taken within `message_time`
/// is reset with `ENHANCE_YOUR_CALM`. An idle connection gets a GOAWAY. Health's `Watch` and reflection count as calls, so
/// they keep a connection open; it may have 16 of them.
///
/// Requests may be compressed with gzip. A reply of more than 1 KiB is compressed if its request has `grpc-encoding: gzip`
/// and accepts gzip. More than 16 KiB of metadata is `RESOURCE_EXHAUSTED`.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
}

impl Server {
    /// Binds `address`, such as `127.0.0.1:50051`; port 0 takes a free one.
    pub async fn bind(address: &str) -> Result<Self> {
        Ok(Self { listener: Listener::bind("grpc", address).await? })
    }

    /// The bound address.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// The URL at which clients on this machine can connect, such as `http://127.0.0.1:50051`.
    pub fn url(&self) -> String {
        self.listener.url("http")
    }
}

impl Transport for Server {
    fn endpoint(&self) -> String {
        format!("grpc {}", self.url())
    }

    fn check(&self, descriptor: &ServiceDescriptor) -> Result<()> {
        schema::check(descriptor)
    }

    async fn serve<S: Service>(self, service: Arc<S>, budget: Arc<Budget>, shutdown: CancellationToken) -> Result<()> {
        let descriptor = service.descriptor();
        let builtins = Builtins::new(descriptor)?;
        let shared = Arc::new(Shared { descriptor, builtins, budget });
        let connections = self.listener.serve(&shared.budget, shutdown.clone(), |socket: Socket, _, stop| {
            let service = PerConnection::new(Arc::clone(&service), socket.waiting());
            let builtins = Arc::new(Semaphore::new(builtin::CALLS));
            let router = Router { shared: Arc::clone(&shared), service, builtins, stop: stop.clone() };
            Connection::serve(Arc::new(router), socket, Arc::clone(&shared.budget), stop)
        });
        let stop = async {
            shutdown.cancelled().await;
            shared.builtins.stop();
        };
        tokio::join!(connections, stop);
        Ok(())
    }
}
