//! The server: accepted connections, each with a session of its own.

use std::{io, sync::Arc};

use everywire_core::{
    Limit, Result, Service,
    descriptor::{ServiceDescriptor, Services},
    wire::{Connection, Io, Protocol},
};
use everywire_zmtp::{Engine, SocketType};

use crate::{
    call::{self, Request, ZerorpcCall},
    id::MessageIds,
    schema,
    session::ZerorpcSession,
};

/// A zerorpc server.
///
/// It keeps all limits but `batch_calls` and `decompressed_bytes`, as zerorpc has no batches and no compression. A call
/// beyond `calls_in_all`, `call_time` or `depth` gets an error, and so does one for whose long reply `buffered_bytes` has no
/// room. Exceeding another limit closes the connection or pauses reading; see [`Engine`].
///
/// A call that waits is cancelled when its client has left, or has sent no heartbeat for two periods, 10 s; all clients
/// send them. The id of a request, its `message_id`, has at most 255 bytes.
#[derive(Debug, Default)]
pub struct Server(());

impl Server {
    /// A server with the default settings.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Protocol for Server {
    const NAME: &'static str = "zerorpc";
    const SCHEME: &'static str = "tcp";
    const STREAMS: bool = true;
    type Shared = Shared;

    /// Rejects types that MessagePack loses or Python can't read: maps with keys other than strings, integers of 128
    /// bits, `Option<Option<T>>`. MessagePack describes itself, so a type without a shape is fine.
    fn check(&self, descriptor: &ServiceDescriptor) -> Result<()> {
        schema::check(descriptor)
    }

    fn start(self, services: &Services) -> Result<Shared> {
        Ok(Shared { services: services.clone(), engine: Engine::new(Self::NAME, SocketType::Router) })
    }

    async fn serve<S: Service>(shared: Arc<Shared>, service: S, connection: Connection<impl Io>) -> io::Result<()> {
        let (peer, budget, waiting) =
            (connection.peer.clone(), Arc::clone(&connection.budget), connection.waiting.clone());
        let calls = call::Connection { peer, budget: Arc::clone(&budget), ids: MessageIds::new() };
        // One count of references per connection: calls of different connections don't contend for it.
        let context = Arc::new((service, Arc::new(calls)));
        let dispatch = move |request: Request| {
            let context = Arc::clone(&context);
            async move {
                let (service, connection) = &*context;
                let mut call = ZerorpcCall::new(request, connection);
                let reply = service.dispatch(call.method(), &mut call).await;
                if call.is_too_deep() {
                    let call::Connection { peer, budget, .. } = &**connection;
                    let reason = format_args!("zerorpc: {peer} has sent arguments that nest too deep");
                    budget.record(Limit::Depth, reason);
                }
                reply
            }
        };
        let session = ZerorpcSession::new(dispatch, &shared.services, budget, waiting);
        shared.engine.serve(connection, session).await
    }
}

/// What all connections share.
#[derive(Debug)]
pub struct Shared {
    services: Services,
    engine: Engine,
}
