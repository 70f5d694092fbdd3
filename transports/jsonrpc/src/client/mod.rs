//! The client: JSON-RPC over the client of HTTP/1 that wires share, or over a WebSocket.

mod beside;
mod connection;
mod limits;
mod stream;
mod websocket;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use everywire_core::{Caller, Context, Result, RpcError, Streaming, descriptor::Method, wire::items_within};
use everywire_net::{Calls, pull::pulled, without_user_info};
use serde::{Serialize, de::DeserializeOwned};

use self::{connection::Connection, limits::CALLS};

/// A JSON-RPC client over HTTP (`http://…` or `jsonrpc://…`) or one WebSocket (`ws://…` or `jsonrpc+ws://…`).
///
/// Arguments travel by name. A WebSocket that was lost is opened again by the next call; calls that were in flight on it
/// are `UNAVAILABLE`, and whether they ran is not known.
///
/// A dropped call is cancelled at the server. Over HTTP its connection is closed. Over a WebSocket the client sends `$/cancelRequest`,
/// which everywire's servers know. Servers that don't know it learn of it when the WebSocket is closed: it is used for no new call,
/// and closed with the last call on it.
///
/// ```no_run
/// # async fn connect() -> everywire_core::Result<()> {
/// let client = everywire_jsonrpc::Client::connect("ws://127.0.0.1:4244").await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    connection: Connection,
    calls: Calls,
    last_id: Arc<AtomicU64>,
}

impl Client {
    /// A client of the server at `url`. The first call opens the connection. A malformed URL is `INVALID_ARGUMENT`.
    #[expect(clippy::unused_async, reason = "connecting is asynchronous on every wire")]
    pub async fn connect(url: &str) -> Result<Self> {
        let connection = Connection::new(url).ok_or_else(|| {
            let url = without_user_info(url);
            let text = format!("jsonrpc: `{url}` is not a valid URL; expected http://HOST:PORT or ws://HOST:PORT");
            RpcError::invalid_argument(text)
        })?;
        Ok(Self { connection, calls: Calls::new(without_user_info(url), CALLS), last_id: Arc::default() })
    }

    /// Sends the whole names of methods, such as `shop.v1.Stock.take`, as a server needs it that has several services with a method
    /// of the same name.
    #[must_use]
    pub fn qualified(self) -> Self {
        Self { calls: self.calls.qualified(), ..self }
    }

    /// Sets how long a call may take, connecting included. Default 30 s.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { calls: self.calls.timeout(timeout), ..self }
    }
}

impl Caller for Client {
    async fn call<A: Serialize + Send + Sync, R: DeserializeOwned + Send>(
        &self,
        method: &'static Method,
        cx: &Context,
        args: &A,
    ) -> Result<R> {
        let id = self.last_id.fetch_add(1, Relaxed) + 1;
        let name = self.calls.name(method);
        match &self.connection {
            Connection::Http(http) => {
                let request = everywire_json::request(name, args, id)?;
                let response = self.calls.run(method, cx, |outgoing| http.post(request, outgoing)).await?;
                everywire_json::reply(&response, Some(id))
            }
            Connection::WebSocket(socket) => {
                let params = everywire_json::params(name, args)?;
                let call = self.calls.run(method, cx, |outgoing| socket.call(id, name, params, outgoing));
                let (response, _) = call.await?;
                websocket::reply(&response, id)
            }
        }
    }

    async fn stream<A: Serialize + Send + Sync, R: DeserializeOwned + Send + 'static>(
        &self,
        method: &'static Method,
        cx: &Context,
        args: &A,
    ) -> Result<Streaming<R>> {
        let id = self.last_id.fetch_add(1, Relaxed) + 1;
        let name = self.calls.name(method);
        let (cx_of_pulls, ids) = (cx.clone(), Arc::clone(&self.last_id));
        let items = match &self.connection {
            Connection::Http(http) => {
                let request = everywire_json::request(name, args, id)?;
                let response = self.calls.run(method, cx, |outgoing| http.post(request, outgoing)).await?;
                let first = everywire_json::reply(&response, Some(id))?;
                pulled(first, stream::OverHttp { http: http.clone(), cx: cx_of_pulls, ids })
            }
            Connection::WebSocket(socket) => {
                let params = everywire_json::params(name, args)?;
                let call = self.calls.run(method, cx, |outgoing| socket.call(id, name, params, outgoing));
                let (response, connection) = call.await?;
                let first = websocket::reply(&response, id)?;
                pulled(first, stream::OverWebSocket { connection, cx: cx_of_pulls, ids })
            }
        };
        Ok(items_within(cx, method, items))
    }
}
