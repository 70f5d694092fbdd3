//! What carries a client's calls: HTTP, or a WebSocket.

use bytes::Bytes;
use everywire_core::{Limits, Result, RpcError, wire::Outgoing};
use everywire_net::{Http1Client, Target, code_of_status};
use http::{HeaderValue, Uri, header};

use super::{limits::max_response, websocket::WebSocket};

/// How the server is reached. Nothing is opened before the first call. Clones share it.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a client has one")]
pub(super) enum Connection {
    Http(Http),
    WebSocket(WebSocket),
}

impl Connection {
    /// `None` if `url` is malformed.
    pub(super) fn new(url: &str) -> Option<Self> {
        let uri = url.parse::<Uri>().ok().filter(|uri| uri.host().is_some_and(|host| !host.is_empty()))?;
        match uri.scheme_str()? {
            "http" | "jsonrpc" => {
                Target::parse(url, &["http", "jsonrpc"]).ok().map(|target| Self::Http(Http::new(target)))
            }
            "ws" => Some(Self::WebSocket(WebSocket::new(url))),
            "jsonrpc+ws" => Some(Self::WebSocket(WebSocket::new(url.trim_start_matches("jsonrpc+")))),
            _ => None,
        }
    }
}

/// HTTP, with as many connections as there are calls at the same time.
#[derive(Debug, Clone)]
pub(super) struct Http(Http1Client);

impl Http {
    fn new(target: Target) -> Self {
        const JSON: &str = "application/json";
        let client = Http1Client::new(target, HeaderValue::from_static(JSON)).header(header::ACCEPT, JSON);
        let most = max_response();
        // The number of calls bounds what is buffered.
        let limits =
            Limits { message_bytes: most, decompressed_bytes: most, buffered_bytes: usize::MAX, ..Limits::default() };
        Self(client.limits(limits))
    }

    pub(super) fn address(&self) -> &str {
        self.0.address()
    }

    /// Posts a request and returns the body of its response.
    pub(super) async fn post(&self, request: Vec<u8>, outgoing: Outgoing<'_>) -> Result<Bytes> {
        let response = self.0.post(request, &outgoing).await?;
        let status = response.status();
        if !status.is_success() {
            let text = format!("the server at {} responds with HTTP {status}", self.0.address());
            return Err(RpcError::new(code_of_status(status.as_u16()), text));
        }
        Ok(response.into_body())
    }
}
