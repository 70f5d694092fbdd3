//! The client: jsonrpsee's, over HTTP or WebSocket.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use http::Uri;
use jsonrpsee_core::{
    client::{ClientT, Error as ClientError, async_client},
    middleware::RpcServiceBuilder,
    traits::ToRpcParams,
};
use jsonrpsee_http_client::{HttpBackend, HttpClient, HttpClientBuilder};
use jsonrpsee_ws_client::{PingConfig, WsClient, WsClientBuilder};
use rpc_core::{Caller, DEFAULT_TIMEOUT, Limits, Method, Result, RpcError};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::Mutex;

use crate::fault;

/// Calls under way at the same time; one more waits, and its time runs. Over HTTP each takes a connection.
const CALLS: usize = 512;

/// jsonrpsee's own timeout: never, because [`Client::timeout`] is kept here.
const NEVER: Duration = Duration::from_secs(u32::MAX as u64);

/// Bytes that a request takes besides its method's name and its arguments.
const ENVELOPE_BYTES: usize = 80;

/// How often a WebSocket is asked for a sign of life.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// How long it may give none before it counts as lost.
const PING_PATIENCE: Duration = Duration::from_mins(2);

/// A JSON-RPC client over HTTP (`http://…`) or one WebSocket (`ws://…`).
///
/// Arguments travel by name. A WebSocket that was lost is opened again by the next call; calls that were in flight on it
/// are `UNAVAILABLE`, and whether they ran is not known.
///
/// ```no_run
/// # async fn connect() -> rpc_core::Result<()> {
/// let client = everywire_jsonrpc::Client::connect("ws://127.0.0.1:4244").await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Client {
    url: String,
    timeout: Duration,
    link: Link,
}

impl Client {
    /// A client of the server at `url`. The connection is opened by the first call.
    #[expect(clippy::unused_async, reason = "connecting is asynchronous on every wire")]
    pub async fn connect(url: &str) -> Result<Self> {
        let link = match scheme(url)?.as_str() {
            "http" => Link::Http(http_client(url)?),
            _ => Link::WebSocket(WebSocket::new(url)),
        };
        Ok(Self { url: url.to_owned(), timeout: DEFAULT_TIMEOUT, link })
    }

    /// Sets how long a call may take, connecting included.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    async fn request<R: DeserializeOwned>(&self, method: &str, params: Params) -> Result<R> {
        let outcome = match &self.link {
            Link::Http(client) => client.request(method, params).await,
            Link::WebSocket(socket) => match socket.client().await {
                Ok(client) => client.request(method, params).await,
                Err(error) => return Err(error),
            },
        };
        outcome.map_err(|error| fault::from_client(&self.url, &error))
    }
}

impl Caller for Client {
    async fn call<A: Serialize + Send + Sync, R: DeserializeOwned>(
        &self,
        method: &'static Method,
        args: &A,
    ) -> Result<R> {
        let params = Params::new(method, args)?;
        match tokio::time::timeout(self.timeout, self.request(method.name(), params)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(RpcError::deadline_exceeded(format!(
                "jsonrpc {}: no answer to {} within {:?}",
                self.url,
                method.name(),
                self.timeout
            ))),
        }
    }
}

/// Arguments as the text of an object.
struct Params(Box<RawValue>);

impl Params {
    /// Refuses what is too long here, because jsonrpsee would close the WebSocket and fail every call on it.
    fn new<A: Serialize>(method: &Method, args: &A) -> Result<Self> {
        let text = to_raw_value(args).map_err(|error| {
            RpcError::invalid_argument(format!("the arguments of {} can't be written as JSON: {error}", method.name()))
        })?;
        let (bytes, limit) = (text.get().len() + method.name().len() + ENVELOPE_BYTES, Limits::default().message_bytes);
        if bytes > limit {
            return Err(RpcError::resource_exhausted(format!(
                "the arguments of {} are too long: a request may have {limit} bytes",
                method.name()
            )));
        }
        Ok(Self(text))
    }
}

impl ToRpcParams for Params {
    fn to_rpc_params(self) -> Result<Option<Box<RawValue>>, serde_json::Error> {
        Ok(Some(self.0))
    }
}

#[derive(Debug)]
enum Link {
    Http(HttpClient<jsonrpsee_http_client::RpcService<HttpBackend>>),
    WebSocket(WebSocket),
}

/// Twice what a server sends by default, because beyond it jsonrpsee closes the WebSocket.
fn max_response() -> u32 {
    u32::try_from(Limits::default().message_bytes * 2).unwrap_or(u32::MAX)
}

/// The scheme of `url`, if it is an address of this wire.
fn scheme(url: &str) -> Result<String> {
    let uri = url.parse::<Uri>().ok().filter(|uri| uri.host().is_some_and(|host| !host.is_empty()));
    let scheme = uri.as_ref().and_then(Uri::scheme_str).filter(|scheme| ["http", "ws"].contains(scheme));
    scheme.map(str::to_owned).ok_or_else(|| malformed(url))
}

fn malformed(url: &str) -> RpcError {
    RpcError::invalid_argument(format!("jsonrpc: `{url}` is no address; expected http://HOST:PORT or ws://HOST:PORT"))
}

fn http_client(url: &str) -> Result<HttpClient<jsonrpsee_http_client::RpcService<HttpBackend>>> {
    HttpClientBuilder::new()
        .set_rpc_middleware(RpcServiceBuilder::new())
        .max_request_size(u32::MAX)
        .max_response_size(max_response())
        .max_concurrent_requests(CALLS)
        .request_timeout(NEVER)
        .build(url)
        .map_err(|_| malformed(url))
}

type WebSocketClient = WsClient<async_client::RpcService>;

/// A WebSocket that is opened when it is needed.
#[derive(Debug)]
struct WebSocket {
    url: String,
    client: RwLock<Option<Arc<WebSocketClient>>>,
    /// Held by the one call that connects; the others wait for its outcome. Its content is the last failure.
    connecting: Mutex<Option<(Instant, RpcError)>>,
}

impl WebSocket {
    fn new(url: &str) -> Self {
        Self { url: url.to_owned(), client: RwLock::default(), connecting: Mutex::default() }
    }

    async fn client(&self) -> Result<Arc<WebSocketClient>> {
        if let Some(client) = self.connected() {
            return Ok(client);
        }
        let asked = Instant::now();
        let mut failure = self.connecting.lock().await;
        if let Some(client) = self.connected() {
            return Ok(client);
        }
        if let Some((at, error)) = &*failure
            && *at >= asked
        {
            return Err(error.clone());
        }
        let client = self.open().await.inspect_err(|error| *failure = Some((Instant::now(), error.clone())))?;
        *self.client.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&client));
        Ok(client)
    }

    fn connected(&self) -> Option<Arc<WebSocketClient>> {
        let client = self.client.read().unwrap_or_else(PoisonError::into_inner);
        client.as_ref().filter(|client| client.is_connected()).cloned()
    }

    async fn open(&self) -> Result<Arc<WebSocketClient>> {
        let client = WsClientBuilder::new()
            .set_rpc_middleware(RpcServiceBuilder::new())
            .max_request_size(u32::MAX)
            .max_response_size(max_response())
            .max_concurrent_requests(CALLS)
            .request_timeout(NEVER)
            .enable_ws_ping(PingConfig::new().ping_interval(PING_INTERVAL).inactive_limit(PING_PATIENCE))
            .build(&self.url)
            .await;
        client.map(Arc::new).map_err(|error: ClientError| fault::from_client(&self.url, &error))
    }
}
