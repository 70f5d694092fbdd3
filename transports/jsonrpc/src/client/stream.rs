//! How the client asks for the items of a stream.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use everywire_core::{Context, DEFAULT_TIMEOUT, Result, wire::Outgoing};
use everywire_json::{ABORT, End, NEXT, Next};
use everywire_net::pull::{Part, Pull, response_in_time};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    connection::Http,
    websocket::{self, Open},
};

/// A stream over HTTP. Each pull is a call.
pub(super) struct OverHttp {
    pub(super) http: Http,
    pub(super) cx: Context,
    pub(super) ids: Arc<AtomicU64>,
}

/// A stream over a WebSocket. It ends with the connection, so a pull may wait for as long as it takes.
pub(super) struct OverWebSocket {
    pub(super) connection: Arc<Open>,
    pub(super) cx: Context,
    pub(super) ids: Arc<AtomicU64>,
}

impl Pull for OverHttp {
    /// Servers have tokens of any type.
    type Token = Value;

    async fn pull<R: DeserializeOwned + Send>(&self, token: &Value, received: u64) -> Result<Part<R, Value>> {
        let id = self.ids.fetch_add(1, Relaxed) + 1;
        let request = everywire_json::request(NEXT, &Next { token, received: Some(received) }, id)?;
        let response = self.http.post(request, Outgoing::new(&self.cx, DEFAULT_TIMEOUT));
        everywire_json::reply(&response_in_time(self.http.address(), response).await?, Some(id))
    }

    async fn end(&self, token: &Value) {
        let id = self.ids.fetch_add(1, Relaxed) + 1;
        if let Ok(request) = everywire_json::request(ABORT, &End { token }, id) {
            let response = self.http.post(request, Outgoing::new(&self.cx, DEFAULT_TIMEOUT));
            // A server that can't be reached ends the stream by itself.
            let _ = response_in_time(self.http.address(), response).await;
        }
    }
}

impl Pull for OverWebSocket {
    type Token = Value;

    async fn pull<R: DeserializeOwned + Send>(&self, token: &Value, _received: u64) -> Result<Part<R, Value>> {
        let id = self.ids.fetch_add(1, Relaxed) + 1;
        let params = everywire_json::params(NEXT, &Next { token, received: None })?;
        let outgoing = Outgoing::new(&self.cx, DEFAULT_TIMEOUT);
        let response = self.connection.call(id, NEXT, params, outgoing).await?;
        websocket::reply(&response, id)
    }

    async fn end(&self, token: &Value) {
        if let Ok(params) = everywire_json::params(ABORT, &End { token }) {
            self.connection.notify(ABORT, params).await;
        }
    }
}
