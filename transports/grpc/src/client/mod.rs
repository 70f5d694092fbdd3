//! The client.

mod connection;
mod messages;

use std::{fmt, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use everywire_core::{
    Budget, Caller, Code, Context, DEFAULT_TIMEOUT, Limits, Result, RpcError, Streaming,
    descriptor::Method,
    wire::{Outgoing, items_within, response_within},
};
use everywire_net::without_user_info;
use http::{Response, Uri};
use hyper::body::Body as HttpBody;
use serde::{Serialize, de::DeserializeOwned};
use tonic::body::Body as TonicBody;

pub(crate) use self::connection::Whole;
use self::{connection::Connection, messages::read_items};
use crate::{
    codec::{self, Enums, Scope},
    compression::Encoding,
    envelope::{self, Received},
    head, status,
};

/// A client of one gRPC server. Clones share its connection.
///
/// The first call opens the connection, and a call that finds it lost opens it again.
///
/// ```no_run
/// # async fn connect() -> everywire_core::Result<()> {
/// let client = everywire_grpc::Client::connect("grpc://127.0.0.1:50051").await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    connection: Connection,
    timeout: Duration,
    budget: Arc<Budget>,
}

impl Client {
    /// A client of the server at `url`, such as `http://127.0.0.1:50051`; the scheme may also be `grpc`.
    ///
    /// A malformed URL is `INVALID_ARGUMENT`.
    #[expect(clippy::unused_async, reason = "connecting is asynchronous on every wire")]
    pub async fn connect(url: &str) -> Result<Self> {
        let http = url.strip_prefix("grpc://").map_or_else(|| url.to_owned(), |rest| format!("http://{rest}"));
        let uri = server_uri(&http).ok_or_else(|| {
            let url = without_user_info(url);
            RpcError::invalid_argument(format!("grpc: `{url}` is not a valid URL; expected http://HOST:PORT"))
        })?;
        Ok(Self {
            connection: Connection::new(http, uri),
            timeout: DEFAULT_TIMEOUT,
            budget: Budget::new(Limits::default()),
        })
    }

    /// Changes nothing, because gRPC always sends the whole names of methods. The clients of all wires have it.
    #[must_use]
    pub fn qualified(self) -> Self {
        self
    }

    /// Sets how long a call may take, connecting included; of a stream, how long until it begins. Default 30 s. The server learns it and
    /// cancels late calls.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Limits what replies may cost: `message_bytes`, `decompressed_bytes` and `depth` of each, and `buffered_bytes` of all
    /// that are arriving. The client reads gzip and does not ask for it.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { budget: Budget::new(limits), ..self }
    }

    /// Sends a request, and waits for the head of its response.
    async fn send<A: Serialize>(
        &self,
        method: &'static Method,
        outgoing: Outgoing<'_>,
        args: &A,
    ) -> Result<Response<TonicBody>> {
        let message = envelope::frame(args, Enums::new(method.enums_with_data()))
            .map_err(|error| RpcError::invalid_argument(format!("{}: {error}", method.name())))?;
        self.connection.send(method, &outgoing, message).await
    }
}

impl Caller for Client {
    async fn call<A: Serialize + Send + Sync, R: DeserializeOwned + Send>(
        &self,
        method: &'static Method,
        cx: &Context,
        args: &A,
    ) -> Result<R> {
        let outgoing = Outgoing::new(cx, self.timeout);
        let exchange = pin!(async {
            let response = self.send(method, outgoing, args).await?;
            read_response(method, response, &self.budget).await
        });
        response_within(self.timeout, cx, self.connection.url(), method, exchange).await
    }

    async fn stream<A: Serialize + Send + Sync, R: DeserializeOwned + Send + 'static>(
        &self,
        method: &'static Method,
        cx: &Context,
        args: &A,
    ) -> Result<Streaming<R>> {
        let sent = pin!(self.send(method, Outgoing::new(cx, self.timeout), args));
        let response = response_within(self.timeout, cx, self.connection.url(), method, sent).await?;
        Ok(items_within(cx, method, read_items(method, response, &self.budget)?))
    }
}

/// Parses `http://HOST:PORT`.
fn server_uri(url: &str) -> Option<Uri> {
    let uri: Uri = url.parse().ok()?;
    let server = uri.authority().filter(|server| !server.host().is_empty())?;
    let is_plain = server.as_str() == format!("{}:{}", server.host(), uri.port_u16()?);
    (uri.scheme_str() == Some("http") && uri.path() == "/" && is_plain).then_some(uri)
}

/// The reply, or the error, in a response.
pub(crate) async fn read_response<B, R>(method: &Method, response: Response<B>, budget: &Arc<Budget>) -> Result<R>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: fmt::Display,
    R: DeserializeOwned,
{
    let (response, body) = response.into_parts();
    let early = status::of(&response.headers).transpose()?;
    if early.is_none() && !head::is_grpc(&response.headers) {
        return Err(status::missing(response.status));
    }
    let received = Received::read(body, budget).await?;
    status::of(received.trailers()).or(early.map(Ok)).ok_or_else(|| status::missing(response.status))??;
    let encoding = Encoding::of(&response.headers);
    let message = received.into_message(encoding, budget).map_err(|error| match encoding {
        // A server must not use an encoding that its client has not offered.
        Encoding::Unknown => RpcError::new(Code::Internal, error.message()),
        _ => error,
    })?;
    read_message(method, &message.bytes, budget)
}

fn read_message<R: DeserializeOwned>(method: &Method, message: &[u8], budget: &Budget) -> Result<R> {
    let scope = Scope { depth: budget.limits().depth, enums: Enums::new(method.enums_with_data()) };
    codec::read(codec::Message::new(message, scope))
        .map_err(|error| RpcError::new(Code::Internal, format!("{}: unreadable reply: {error}", method.name())))
}
