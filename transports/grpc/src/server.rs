//! The server: HTTP/2 connections, and calls on them.

use std::{io, sync::Arc, time::Duration};

use everywire_core::{
    Budget, Limit, Result, RpcError, Service,
    descriptor::{Method, ServiceDescriptor},
    wire::{self, Call, CancellationToken, Io, Protocol, decode_again},
};
use everywire_net::arrived;
use http::{Request, Response};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{sync::Semaphore, time::timeout};

use crate::{
    body::Incoming,
    builtin::{self, Builtins},
    codec,
    compression::{self, Encoding},
    connection::Connection,
    envelope::{self, Body, Message, Received},
    fault, head, schema,
};

/// A gRPC server of one service.
///
/// It also answers `grpc.health.v1.Health` and server reflection (`v1` and `v1alpha`).
///
/// It keeps every limit except `batch_calls`, as gRPC has no batches. A connection may have as many streams as
/// `calls_in_flight` and `waiting_calls` together; one more is reset with `REFUSED_STREAM`. At `unsent_bytes` the calls of a
/// connection wait, while its windows are still read. A stream whose reply is not taken within `message_time` is reset with
/// `ENHANCE_YOUR_CALM`. An idle connection gets a GOAWAY; health's `Watch` and reflection are calls that keep it open, 16 on
/// a connection.
///
/// Requests may be compressed with gzip. A reply longer than 1 KiB is compressed if its request has `grpc-encoding: gzip`
/// and accepts it. Metadata beyond 16 KiB is `RESOURCE_EXHAUSTED`.
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
    type Shared = Shared;

    fn check(&self, descriptor: &ServiceDescriptor) -> Result<()> {
        schema::check(descriptor)
    }

    fn start(self, descriptor: &'static ServiceDescriptor, _budget: &Arc<Budget>) -> Result<Shared> {
        Ok(Shared { descriptor, builtins: Builtins::new(descriptor)? })
    }

    async fn serve<S: Service>(
        shared: Arc<Shared>,
        service: S,
        connection: wire::Connection<impl Io>,
    ) -> io::Result<()> {
        let wire::Connection { io, budget, stop, .. } = connection;
        let calls = Arc::new(Semaphore::new(builtin::CALLS));
        let session =
            Session { shared, service, builtin_calls: calls, budget: Arc::clone(&budget), stop: stop.clone() };
        Connection::serve(Arc::new(session), io, budget, stop).await
    }
}

/// What all connections share.
pub struct Shared {
    descriptor: &'static ServiceDescriptor,
    builtins: Builtins,
}

/// One connection, as its calls see it.
pub(crate) struct Session<S> {
    shared: Arc<Shared>,
    service: S,
    /// The calls of health and reflection that it may have open.
    builtin_calls: Arc<Semaphore>,
    budget: Arc<Budget>,
    stop: CancellationToken,
}

impl<S: Service> Session<S> {
    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Ends the calls of health and reflection, which may have no other end.
    pub(crate) fn stop_builtins(&self) {
        self.shared.builtins.stop();
    }

    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        if let Some(rejection) = head::rejection(&request) {
            return rejection;
        }
        let path = request.uri().path();
        let answer = match self.shared.descriptor.methods().iter().find(|method| method.path() == path) {
            Some(method) => {
                let deadline = envelope::deadline(request.headers());
                self.call(method, deadline, request).await
            }
            None => self.answer_other(request).await,
        };
        answer.unwrap_or_else(|error| fault::response(&error))
    }

    async fn call(
        &self,
        method: &Method,
        deadline: Result<Option<Duration>>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>> {
        if self.stop.is_cancelled() {
            return Err(RpcError::unavailable("the server is stopping"));
        }
        let call = self.run(method, request);
        let Some(time) = deadline? else { return call.await };
        timeout(time, call).await.unwrap_or_else(|_| {
            Err(RpcError::deadline_exceeded(format!(
                "{} was cut off after {time:?}, the caller's limit",
                method.name()
            )))
        })
    }

    async fn run(&self, method: &Method, request: Request<Incoming>) -> Result<Response<Body>> {
        let budget = &self.budget;
        let encoding = Encoding::of(request.headers());
        let gzip = encoding == Encoding::Gzip && compression::accepts_gzip(request.headers());
        // The headers are dropped here, since the call may wait for a long time.
        let received = arrived(Received::read(request.into_body(), budget), budget, &self.stop).await?;
        let mut call = GrpcCall { message: Some(received.into_message(encoding, budget)?), budget, gzip };
        Ok(self.service.dispatch(method, &mut call).await)
    }

    async fn answer_other(&self, request: Request<Incoming>) -> Result<Response<Body>> {
        let Shared { descriptor, builtins } = &*self.shared;
        let path = request.uri().path().to_owned();
        let name = path.trim_start_matches('/');
        let (service, method) = name.split_once('/').unwrap_or((name, ""));
        if let Some(builtin) = builtins.find(service) {
            let answering = builtins.answer(builtin, request, &self.builtin_calls);
            return arrived(answering, &self.budget, &self.stop).await;
        }
        if service == descriptor.full_name() {
            return Err(descriptor.unknown(method));
        }
        Err(RpcError::unimplemented(format!(
            "no service `{}` here; there is {}",
            service.escape_debug(),
            descriptor.full_name()
        )))
    }
}

/// One call.
pub(crate) struct GrpcCall<'a> {
    /// Let go when the arguments are read: a call may wait for long.
    pub(crate) message: Option<Message>,
    pub(crate) budget: &'a Budget,
    /// Whether the caller asks for a compressed reply.
    pub(crate) gzip: bool,
}

impl Call for GrpcCall<'_> {
    type Reply = Response<Body>;

    fn args<A: DeserializeOwned>(&mut self) -> Result<A> {
        let message = self.message.take().expect("arguments are read once");
        let (bytes, depth) = (&*message.bytes, self.budget.limits().depth);
        codec::from_slice_within(bytes, depth).or_else(|error| {
            if error.is_depth() {
                self.budget.record(Limit::Depth, &error);
            }
            decode_again(codec::Message { bytes, depth })
        })
    }

    fn args_bytes(&self) -> usize {
        self.message.as_ref().map_or(0, |message| message.bytes.len())
    }

    fn reply<R: Serialize>(&mut self, outcome: Result<R>) -> Self::Reply {
        let framed = outcome.and_then(|reply| envelope::frame(&reply).map_err(RpcError::internal));
        match framed {
            Ok(message) if self.gzip => envelope::gzip_response(message),
            Ok(message) => envelope::response(message),
            Err(error) => fault::response(&error),
        }
    }
}
