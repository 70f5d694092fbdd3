//! The server: HTTP/2 connections, and calls on them.

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc};

use bytes::Bytes;
use everywire_net::{Listener, Socket};
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rpc_core::{
    Budget, Call, CancellationToken, Limits, Method, Result, RpcError, Service, ServiceDescriptor, Transport,
    bad_arguments, unknown_method,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{io::AsyncReadExt, time::timeout};

use crate::{
    calls::{Calls, Executor},
    codec,
    companions::Companions,
    envelope::{self, Body, Received},
    fault, schema,
};

/// A gRPC server of one service, bound and not yet serving.
///
/// It also answers `grpc.health.v1.Health` and server reflection (`v1` and `v1alpha`).
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
}

impl Transport for Server {
    fn endpoint(&self) -> String {
        format!("grpc http://{}", self.address())
    }

    fn check(&self, descriptor: &ServiceDescriptor) -> Result<()> {
        schema::check(descriptor)
    }

    async fn serve<S: Service>(self, service: Arc<S>, budget: Arc<Budget>, shutdown: CancellationToken) -> Result<()> {
        let descriptor = service.descriptor();
        let companions = Companions::new(descriptor).await?;
        let host = Arc::new(Host { service, descriptor, companions, budget });
        let connections = self.listener.serve(&host.budget, shutdown.clone(), |stream, peer, shutdown| {
            connection(Arc::clone(&host), stream, peer, shutdown)
        });
        let stop = async {
            shutdown.cancelled().await;
            host.companions.stop().await;
        };
        tokio::join!(connections, stop);
        Ok(())
    }
}

/// What a client says first (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Headers of one request in bytes, as HTTP/2 counts them.
const HEADER_BYTES: u32 = 16 << 10;

/// Calls that a peer may open and reset at once before it counts as an attack (CVE-2023-44487).
const RESETS: usize = 32;

/// Runs one connection. hyper waits for the preface without a limit, so it is read here and given back.
async fn connection<S: Service>(host: Arc<Host<S>>, mut stream: Socket, peer: SocketAddr, shutdown: CancellationToken) {
    let greeting = timeout(host.limits().handshake_time, greeted(&mut stream));
    let greeted = tokio::select! {
        greeted = greeting => greeted.unwrap_or(false),
        () = shutdown.cancelled() => false,
    };
    if !greeted {
        tracing::debug!(%peer, "closed: no HTTP/2 preface");
        return;
    }
    stream.give_back(&PREFACE[..]);
    let io = TokioIo::new(stream);
    let calls = Calls::default();
    let http = http2(host.limits(), &calls);
    let session = Arc::new(Session { host, shutdown: shutdown.clone() });
    let service = service_fn(move |request| Arc::clone(&session).answer(request));
    let serving = async {
        let mut connection = pin!(http.serve_connection(io, service));
        tokio::select! {
            ended = &mut connection => return ended,
            () = shutdown.cancelled() => {}
        }
        connection.as_mut().graceful_shutdown();
        connection.await
    };
    if let Err(error) = calls.run(serving).await {
        tracing::debug!(%peer, %error, "the connection failed");
    }
}

async fn greeted(stream: &mut Socket) -> bool {
    let mut preface = [0; PREFACE.len()];
    stream.read_exact(&mut preface).await.is_ok() && preface == *PREFACE
}

fn http2(limits: &Limits, calls: &Calls) -> http2::Builder<Executor> {
    let mut builder = http2::Builder::new(calls.executor());
    builder
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .max_concurrent_streams(u32::try_from(limits.calls_in_flight).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(RESETS)
        .max_header_list_size(HEADER_BYTES)
        .max_send_buf_size(limits.unsent_bytes)
        .keep_alive_interval(limits.message_time)
        .keep_alive_timeout(limits.message_time);
    builder
}

/// The service and what every call needs.
struct Host<S> {
    service: Arc<S>,
    descriptor: &'static ServiceDescriptor,
    companions: Companions,
    budget: Arc<Budget>,
}

/// One connection, as its calls see it.
struct Session<S> {
    host: Arc<Host<S>>,
    shutdown: CancellationToken,
}

impl<S: Service> Session<S> {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        if !envelope::is_grpc(request.headers()) {
            let mut refused = Response::new(Body::Empty);
            *refused.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Ok(refused);
        }
        let path = request.uri().path();
        let Some(method) = self.host.descriptor.methods().iter().find(|method| method.path() == path) else {
            return Ok(self.host.answer_other(request).await);
        };
        let (head, body) = request.into_parts();
        Ok(self.call(method, &head.headers, body).await.unwrap_or_else(|error| fault::response(&error)))
    }

    async fn call(&self, method: &Method, headers: &HeaderMap, body: Incoming) -> Result<Response<Body>> {
        if self.shutdown.is_cancelled() {
            return Err(RpcError::unavailable("the server is shutting down"));
        }
        let call = self.host.run(method, body);
        let Some(time) = envelope::deadline(headers)? else { return call.await };
        timeout(time, call).await.unwrap_or_else(|_| {
            Err(RpcError::deadline_exceeded(format!(
                "{} was cut off after {time:?}, the caller's limit",
                method.name()
            )))
        })
    }
}

impl<S: Service> Host<S> {
    fn limits(&self) -> &Limits {
        self.budget.limits()
    }

    async fn run(&self, method: &Method, body: Incoming) -> Result<Response<Body>> {
        let receiving = Received::read(body, self.limits().message_bytes);
        let received = timeout(self.limits().message_time, receiving).await.unwrap_or_else(|_| {
            Err(RpcError::deadline_exceeded(format!("the message took more than {:?}", self.limits().message_time)))
        });
        let mut call = GrpcCall { message: received?.into_message()?, depth: self.limits().depth };
        Ok(self.service.dispatch(method.name(), &mut call).await)
    }

    async fn answer_other(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let name = path.trim_start_matches('/');
        let (service, method) = name.split_once('/').unwrap_or((name, ""));
        if let Some(response) = self.companions.answer(service, request).await {
            return response;
        }
        if service == self.descriptor.full_name() {
            return unknown_method(self.descriptor, method, &mut GrpcCall { message: Bytes::new(), depth: 0 });
        }
        fault::response(&RpcError::unimplemented(format!(
            "no service `{}` here; there is {}",
            service.escape_debug(),
            self.descriptor.full_name()
        )))
    }
}

/// One call: the bytes of its message.
struct GrpcCall {
    message: Bytes,
    depth: usize,
}

impl Call for GrpcCall {
    type Reply = Response<Body>;

    fn args<A: DeserializeOwned>(&mut self) -> Result<A> {
        codec::from_slice_within(&self.message, self.depth)
            .map_err(|_| bad_arguments::<A>(codec::Message { bytes: &self.message, depth: self.depth }))
    }

    fn reply<R: Serialize>(&mut self, outcome: Result<R>) -> Self::Reply {
        let framed = outcome.and_then(|reply| envelope::frame(&reply).map_err(RpcError::internal));
        match framed {
            Ok(message) => envelope::response(message),
            Err(error) => fault::response(&error),
        }
    }
}
