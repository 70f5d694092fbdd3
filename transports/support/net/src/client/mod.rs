//! The client side of HTTP/1, for the wires that have a body per call: one call at a time on each connection, since HTTP/1
//! answers in order.

mod connection;
mod pool;
mod target;

use std::sync::Arc;

use bytes::Bytes;
use everywire_core::{Budget, Code, DEFAULT_TIMEOUT, Limits, Result, RpcError, wire::Outgoing};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header};
use http_body_util::Full;

pub use self::target::{Target, without_user_info};
use self::{
    connection::{Connection, Failure},
    pool::Pool,
};
use crate::{causes::with_causes, context};

/// Posts bodies to one server. Each call takes an idle connection or opens one. Clones share the connections.
///
/// A request is sent again, on another connection, only if no byte of it was written to a connection that the server had
/// closed. A call that is dropped closes its connection.
#[derive(Debug, Clone)]
pub struct Http1Client {
    target: Target,
    headers: HeaderMap,
    budget: Arc<Budget>,
    pool: Arc<Pool>,
}

impl Http1Client {
    /// A client of the server at `target`, whose requests and responses have bodies of `content_type`.
    pub fn new(target: Target, content_type: HeaderValue) -> Self {
        let mut headers = HeaderMap::new();
        // RFC 9112, section 3.2: `Host` first.
        headers.insert(header::HOST, target.host.clone());
        headers.insert(header::CONTENT_TYPE, content_type);
        headers.extend(target.authorization.clone().map(|credentials| (header::AUTHORIZATION, credentials)));
        Self { target, headers, budget: Budget::new(Limits::default()), pool: Arc::default() }
    }

    /// Adds a header to all requests.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }

    /// Sets what responses may cost: `message_bytes` and `decompressed_bytes` of each, and `buffered_bytes` of all that are
    /// being received.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { budget: Budget::new(limits), ..self }
    }

    /// The limits, and the current usage.
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Where the server is, as `HOST:PORT`.
    pub fn address(&self) -> &str {
        &self.target.address
    }

    /// Checks that the server accepts connections, or is `UNAVAILABLE`. The connection is closed at once: one that carries
    /// nothing blocks a server without threads, such as Python's.
    pub async fn probe(&self) -> Result<()> {
        let connecting = tokio::time::timeout(DEFAULT_TIMEOUT, Connection::open(self.address()));
        let connected = connecting.await.map_err(|_| {
            let address = self.address();
            RpcError::unavailable(format!("{address} does not accept a connection within {DEFAULT_TIMEOUT:?}"))
        })?;
        connected.map(drop)
    }

    /// Sends `body`, and what is sent of the call's context, and returns the response with its decoded body, whatever the status.
    /// Has no time limit, since calls have one.
    ///
    /// A failed connection is `UNAVAILABLE`, a response over a limit `RESOURCE_EXHAUSTED`, and an unknown content coding
    /// `INTERNAL`.
    pub async fn post(&self, body: Vec<u8>, outgoing: &Outgoing<'_>) -> Result<Response<Bytes>> {
        let mut request = self.request(body, outgoing);
        while let Some(mut connection) = self.pool.take() {
            match connection.exchange(request, &self.budget).await {
                // The server had closed the connection and has not seen the request, so another connection may carry it.
                Err(Failure::Unsent(unsent)) => request = *unsent,
                outcome => return self.finish(connection, outcome),
            }
        }
        let mut connection = Connection::open(self.address()).await?;
        let outcome = connection.exchange(request, &self.budget).await;
        self.finish(connection, outcome)
    }

    fn request(&self, body: Vec<u8>, outgoing: &Outgoing<'_>) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target.path.clone();
        *request.headers_mut() = self.headers.clone();
        context::write(request.headers_mut(), outgoing, outgoing.timeout());
        request
    }

    fn finish(&self, connection: Connection, outcome: Result<Response<Bytes>, Failure>) -> Result<Response<Bytes>> {
        let response = outcome.map_err(|failure| self.failed(&failure))?;
        self.pool.put(connection);
        Ok(response)
    }

    fn failed(&self, failure: &Failure) -> RpcError {
        let address = self.address();
        match failure {
            Failure::Unsent(_) => RpcError::unavailable(format!("{address} closed the connection")),
            Failure::Broken(error) => {
                RpcError::unavailable(format!("{address} broke off before its response: {}", with_causes(error)))
            }
            Failure::Body(error) => {
                let code = match error.code() {
                    Code::DataLoss => Code::Unavailable,
                    Code::ResourceExhausted => Code::ResourceExhausted,
                    _ => Code::Internal,
                };
                RpcError::new(code, format!("the response of {address} can't be read: {}", error.message()))
            }
        }
    }
}
