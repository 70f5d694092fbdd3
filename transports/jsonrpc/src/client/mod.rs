//! The client: jsonrpsee's, over HTTP or WebSocket.

mod connection;

use std::{
    fmt::Display,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use everywire_core::{
    Caller, Code, DEFAULT_TIMEOUT, Limits, Result, RpcError,
    descriptor::Method,
    wire::{CallSlots, answer_within},
};
use http::Uri;
use jsonrpsee_core::middleware::Request;
use jsonrpsee_http_client::types::Id;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::{RawValue, to_raw_value};

use self::connection::{CALLS, Http, WebSocket};
use crate::fault;

/// Bytes that a request takes besides its method's name and its arguments.
const ENVELOPE_BYTES: usize = 80;

/// A JSON-RPC client over HTTP (`http://…`) or one WebSocket (`ws://…`).
///
/// Arguments travel by name. A WebSocket that was lost is opened again by the next call; calls that were in flight on it
/// are `UNAVAILABLE`, and whether they ran is not known.
///
/// A call that is dropped closes its connection, so that the server cancels it; JSON-RPC has no word for that. A WebSocket
/// with other calls in flight takes no new ones and is closed with the last of them; until then the dropped call runs on.
///
/// ```no_run
/// # async fn connect() -> everywire_core::Result<()> {
/// let client = everywire_jsonrpc::Client::connect("ws://127.0.0.1:4244").await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Client {
    url: String,
    timeout: Duration,
    last_id: AtomicU64,
    slots: CallSlots,
    connection: Connection,
}

#[derive(Debug)]
enum Connection {
    Http(Http),
    WebSocket(WebSocket),
}

impl Client {
    /// A client of the server at `url`. The connection is opened by the first call.
    #[expect(clippy::unused_async, reason = "connecting is asynchronous on every wire")]
    pub async fn connect(url: &str) -> Result<Self> {
        let uri = url.parse::<Uri>().ok().filter(|uri| uri.host().is_some_and(|host| !host.is_empty()));
        let connection = match uri.as_ref().and_then(Uri::scheme_str) {
            Some("http") => Http::new(url).map(Connection::Http),
            Some("ws") => Some(Connection::WebSocket(WebSocket::new(url))),
            _ => None,
        };
        let connection = connection.ok_or_else(|| {
            let text = format!("jsonrpc: `{url}` is not a valid URL; expected http://HOST:PORT or ws://HOST:PORT");
            RpcError::invalid_argument(text)
        })?;
        Ok(Self {
            url: url.to_owned(),
            timeout: DEFAULT_TIMEOUT,
            last_id: AtomicU64::new(0),
            slots: CallSlots::new(CALLS),
            connection,
        })
    }

    /// Sets how long a call may take, connecting included.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    async fn request<R: DeserializeOwned>(&self, method: &Method, params: &RawValue) -> Result<R> {
        let _slot = self.slots.take(method).await?;
        let id = Id::Number(self.last_id.fetch_add(1, Relaxed) + 1);
        let request = Request::borrowed(method.name(), Some(params), id.clone());
        let response = match &self.connection {
            Connection::Http(http) => http.call(request).await,
            Connection::WebSocket(socket) => socket.call(request).await,
        };
        let response = response?.into_response();
        if let Some(object) = response.as_error() {
            return Err(fault::from_object(object));
        }
        let result = response.as_success().filter(|_| *response.id() == id);
        let result = result.ok_or_else(|| self.unreadable("it answers another request"))?;
        everywire_json::read_value(result.get()).map_err(|error| self.unreadable(error))
    }

    fn unreadable(&self, reason: impl Display) -> RpcError {
        RpcError::new(Code::Internal, format!("jsonrpc {}: the answer can't be read: {reason}", self.url))
    }
}

impl Caller for Client {
    async fn call<A: Serialize + Send + Sync, R: DeserializeOwned>(
        &self,
        method: &'static Method,
        args: &A,
    ) -> Result<R> {
        let params = params(method.name(), args)?;
        let answer = self.request(method, &params);
        answer_within(self.timeout, &self.url, method, answer).await
    }
}

/// The arguments as an object. What is too long is refused here, because a server closes its WebSocket for it, which fails
/// every call on it.
fn params<A: Serialize>(method: &str, args: &A) -> Result<Box<RawValue>> {
    let params = to_raw_value(args).map_err(|error| {
        RpcError::invalid_argument(format!("the arguments of {method} can't be written as JSON: {error}"))
    })?;
    let limit = Limits::default().message_bytes;
    if params.get().len() + method.len() + ENVELOPE_BYTES > limit {
        let text = format!("the arguments of {method} are too long: a request may have {limit} bytes");
        return Err(RpcError::resource_exhausted(text));
    }
    Ok(params)
}
