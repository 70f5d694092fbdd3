//! One connection to a gRPC server, over which bytes are called with.

use std::{error::Error, time::Duration};

use everywire::{Code, Limits, Result, RpcError, grpc, wire::Outgoing};
use everywire_net::{context, with_causes};
use tokio_stream::once;
use tonic::{
    Request, Status, Streaming,
    client::Grpc as TonicClient,
    codegen::http::{HeaderMap, uri::PathAndQuery},
    metadata::MetadataMap,
    transport::{self, Channel, Endpoint},
};

use super::{Location, codec::Bytes};

/// A connection to a gRPC server.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Grpc {
    client: TonicClient<Channel>,
    timeout: Duration,
    metadata: MetadataMap,
}

impl Grpc {
    /// Connects to the server at `location`, whose URL is `grpc://HOST:PORT`.
    pub(super) async fn connect(location: &Location, timeout: Duration) -> Result<Self> {
        let url = &location.url;
        // It checks the URL, and connects only when it is called.
        grpc::Client::connect(url).await?;
        let unreachable =
            |error| RpcError::unavailable(format!("grpc: can't connect to {url}: {}", with_causes(&error)));
        let endpoint = Endpoint::from_shared(url.replacen("grpc://", "http://", 1)).map_err(unreachable)?;
        let limits = Limits::default();
        let channel = endpoint.connect_timeout(limits.handshake_time).connect().await.map_err(unreachable)?;
        let client = TonicClient::new(channel)
            .max_decoding_message_size(limits.message_bytes)
            .max_encoding_message_size(limits.message_bytes);
        let mut headers = HeaderMap::new();
        context::write(&mut headers, &Outgoing::new(&location.context, timeout), None);
        Ok(Self { client, timeout, metadata: MetadataMap::from_headers(headers) })
    }

    /// Calls the method at `path`, such as `/demo.v1.Calculator/Add`, whose request and reply are one message each.
    pub(super) async fn call(&self, path: &str, message: Vec<u8>) -> Result<Vec<u8>> {
        let (mut client, path) = (self.ready().await?, to_path(path)?);
        let mut request = self.request(message);
        request.set_timeout(self.timeout);
        client.unary(request, path, Bytes).await.map(tonic::Response::into_inner).map_err(|status| error(&status))
    }

    /// Calls the method at `path`, whose reply is many messages.
    pub(super) async fn stream(&self, path: &str, message: Vec<u8>) -> Result<Streaming<Vec<u8>>> {
        let (mut client, path) = (self.ready().await?, to_path(path)?);
        let replies = client.server_streaming(self.request(message), path, Bytes).await;
        replies.map(tonic::Response::into_inner).map_err(|status| error(&status))
    }

    /// Sends one message to a method that streams both ways, and returns the stream of its replies.
    pub(super) async fn ask(&self, path: &str, message: Vec<u8>) -> Result<Streaming<Vec<u8>>> {
        let (mut client, path) = (self.ready().await?, to_path(path)?);
        let replies = client.streaming(self.request(once(message)), path, Bytes).await;
        replies.map(tonic::Response::into_inner).map_err(|status| error(&status))
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.metadata.clone();
        request
    }

    async fn ready(&self) -> Result<TonicClient<Channel>> {
        let mut client = self.client.clone();
        client.ready().await.map_err(|error| RpcError::unavailable(with_causes(&error)))?;
        Ok(client)
    }
}

fn to_path(path: &str) -> Result<PathAndQuery> {
    path.parse().map_err(|_| RpcError::invalid_argument(format!("`{}` is not a path", path.escape_debug())))
}

/// The status of a call as an error. The connection's own errors have a status too.
pub(super) fn error(status: &Status) -> RpcError {
    let lost = status.source().and_then(|cause| cause.downcast_ref::<transport::Error>());
    if let Some(lost) = lost {
        return RpcError::unavailable(format!("grpc: the connection is lost: {}", with_causes(lost)));
    }
    let code = Code::from_number(status.code().into()).unwrap_or(Code::Unknown);
    RpcError::remote(code, status.message())
}
