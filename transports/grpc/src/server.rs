//! The server.

use std::{io, sync::Arc};

use everywire_core::{
    Result, Service,
    descriptor::{ServiceDescriptor, Services},
    wire::{self, Io, Protocol},
};
use tokio::sync::Semaphore;

use crate::{
    builtin::{self, Builtins},
    connection::Connection,
    router::{Router, Shared},
    schema,
};

/// A gRPC server of one service.
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
#[derive(Debug, Default)]
pub struct Server(());

impl Server {
    /// A server with the default settings.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Protocol for Server {
    const NAME: &'static str = "grpc";
    const SCHEME: &'static str = "http";
    const STREAMS: bool = true;
    type Shared = Shared;

    fn check(&self, descriptor: &ServiceDescriptor) -> Result<()> {
        schema::check(descriptor)
    }

    fn start(self, services: &Services) -> Result<Shared> {
        Ok(Shared { builtins: Builtins::new(services)? })
    }

    async fn serve<S: Service>(
        shared: Arc<Shared>,
        service: S,
        connection: wire::Connection<impl Io>,
    ) -> io::Result<()> {
        let wire::Connection { io, peer, budget, stop, .. } = connection;
        let builtin_calls = Arc::new(Semaphore::new(builtin::CALLS));
        let router = Router { shared, service, builtin_calls, peer, budget: Arc::clone(&budget), stop: stop.clone() };
        Connection::serve(Arc::new(router), io, budget, stop).await
    }
}
