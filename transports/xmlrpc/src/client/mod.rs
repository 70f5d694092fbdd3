//! The client: keeps connections alive and one call on each at a time, since HTTP/1 answers in order.

mod connection;
mod pool;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use everywire_core::{
    Budget, Caller, Code, DEFAULT_TIMEOUT, Limit, Limits, Result, RpcError,
    descriptor::Method,
    wire::{CallSlots, answer_within},
};
use everywire_net::code_of_status;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header, uri::PathAndQuery};
use http_body_util::Full;
use serde::{Serialize, de::DeserializeOwned};

use self::{
    connection::{Connection, Failure},
    pool::Pool,
};
use crate::{body, envelope, fault::unsendable};

/// Calls in flight, each on a connection, and as many again that wait for other calls. Further calls wait for a slot, and
/// their time runs.
const CALLS: usize = 512;

/// An XML-RPC client of one server. Calls share it by reference; each takes an idle connection or opens one.
#[derive(Debug)]
pub struct Client {
    target: Target,
    pool: Pool,
    slots: CallSlots,
    timeout: Duration,
    budget: Arc<Budget>,
    gzip: bool,
}

impl Client {
    /// Looks whether a server is at `url`, such as `http://127.0.0.1:4242` or `http://host/RPC2`. The first call opens the
    /// connection that is kept: one that carries nothing blocks a server without threads, such as Python's.
    ///
    /// A URL that is none, or not of `http`, is `INVALID_ARGUMENT`; a server that doesn't answer is `UNAVAILABLE`.
    pub async fn connect(url: &str) -> Result<Self> {
        let target = Target::parse(url)?;
        let connecting = tokio::time::timeout(DEFAULT_TIMEOUT, Connection::open(&target.address));
        connecting.await.map_err(|_| {
            RpcError::unavailable(format!("{} does not accept a connection within {DEFAULT_TIMEOUT:?}", target.address))
        })??;
        Ok(Self {
            target,
            pool: Pool::default(),
            slots: CallSlots::new(CALLS),
            timeout: DEFAULT_TIMEOUT,
            budget: Budget::new(Limits::default()),
            gzip: false,
        })
    }

    /// Sets how long a call waits for its answer. Default [`DEFAULT_TIMEOUT`].
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Sets how many connections there are at a time, at least one, and as many again for calls of methods that
    /// [wait](Method::waits). A call beyond them waits for one, and its time runs. Default 512. Python's `SimpleXMLRPCServer`
    /// wants fewer: it runs one call at a time, and only five more connections can wait for it.
    #[must_use]
    pub fn connections(self, most: usize) -> Self {
        Self { slots: CallSlots::new(most), ..self }
    }

    /// Sets what calls may cost: `message_bytes` of a request and of an answer, the answer's `decompressed_bytes` and
    /// `depth`, and `buffered_bytes` of all answers on their way.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { budget: Budget::new(limits), ..self }
    }

    /// Asks the server to compress its answers; pays on slow networks only. Compressed answers are read in any case.
    #[must_use]
    pub fn gzip(self) -> Self {
        Self { gzip: true, ..self }
    }

    async fn exchange(&self, method: &Method, body: Vec<u8>) -> Result<Response<Bytes>> {
        let _slot = self.slots.take(method).await?;
        let mut request = self.request(body);
        while let Some(mut connection) = self.pool.take() {
            match connection.exchange(request, &self.budget).await {
                // The server had closed the connection: it has not seen the request, so another may carry it.
                Err(Failure::Unsent(unsent)) => request = *unsent,
                outcome => return self.finish(connection, outcome),
            }
        }
        let mut connection = Connection::open(&self.target.address).await?;
        let outcome = connection.exchange(request, &self.budget).await;
        self.finish(connection, outcome)
    }

    fn request(&self, document: Vec<u8>) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::from(document));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.target.path.clone();
        let headers = request.headers_mut();
        headers.insert(header::HOST, self.target.host.clone());
        headers.insert(header::CONTENT_TYPE, body::CONTENT_TYPE);
        headers.insert(body::EXTENSIONS, HeaderValue::from_static("nil"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("everywire/", env!("CARGO_PKG_VERSION"))));
        if self.gzip {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        request
    }

    fn finish(&self, connection: Connection, outcome: Result<Response<Bytes>, Failure>) -> Result<Response<Bytes>> {
        let response = outcome.map_err(|failure| self.unanswered(&failure))?;
        self.pool.put(connection);
        match response.status() {
            StatusCode::OK => Ok(response),
            status => {
                let code = code_of_status(status.as_u16());
                Err(RpcError::remote(code, format!("the server answers HTTP {status}")))
            }
        }
    }

    fn unanswered(&self, failure: &Failure) -> RpcError {
        let address = &self.target.address;
        match failure {
            Failure::Unsent(_) => RpcError::unavailable(format!("{address} closed the connection")),
            Failure::Broken(error) => RpcError::unavailable(format!("{address} broke off before its answer: {error}")),
            Failure::Body(error) => {
                let code = match error.code() {
                    Code::DataLoss => Code::Unavailable,
                    Code::ResourceExhausted => Code::ResourceExhausted,
                    _ => Code::Internal,
                };
                RpcError::new(code, format!("the answer of {address} can't be read: {}", error.message()))
            }
        }
    }
}

impl Caller for Client {
    async fn call<A: Serialize + Send + Sync, R: DeserializeOwned>(
        &self,
        method: &'static Method,
        args: &A,
    ) -> Result<R> {
        let request = envelope::method_call(method.name(), args)
            .map_err(|error| unsendable(Code::InvalidArgument, "arguments", &error))?;
        // A server that refuses a long request may close before it has read it, and its refusal is lost.
        if request.len() > self.budget.limits().message_bytes {
            return Err(self.budget.exceeded(Limit::MessageBytes, "the request is too long"));
        }
        let answer = self.exchange(method, request);
        let response = answer_within(self.timeout, &self.target.address, method, answer).await?;
        envelope::read_response(response.body(), body::charset(response.headers()), self.budget.limits())
    }
}

/// A URL, taken apart once.
#[derive(Debug)]
struct Target {
    /// `HOST:PORT`, to connect to.
    address: String,
    host: HeaderValue,
    path: Uri,
}

impl Target {
    fn parse(url: &str) -> Result<Self> {
        let wrong = |why: &str| RpcError::invalid_argument(format!("xmlrpc: `{url}` is not a valid URL: {why}"));
        let uri: Uri = url.parse().map_err(|_| wrong("expected http://HOST:PORT/PATH"))?;
        if !matches!(uri.scheme_str(), Some("http" | "xmlrpc")) {
            return Err(wrong("expected http://"));
        }
        let authority =
            uri.authority().filter(|authority| !authority.host().is_empty()).ok_or_else(|| wrong("no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("user names and passwords are not supported"));
        }
        let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        Ok(Self {
            address: format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80)),
            host: authority.as_str().parse().map_err(|_| wrong("no host"))?,
            path: path.parse().map_err(|_| wrong("no path"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let cases = [
            ("http://127.0.0.1:4242", Some(("127.0.0.1:4242", "127.0.0.1:4242", "/"))),
            ("http://localhost/RPC2?x=1", Some(("localhost:80", "localhost", "/RPC2?x=1"))),
            ("xmlrpc://[::1]:1/", Some(("[::1]:1", "[::1]:1", "/"))),
            ("https://localhost", None),
            ("localhost:4242", None),
            ("http://", None),
            ("http://user:secret@localhost", None),
            ("", None),
            ("http://a b", None),
        ];
        for (url, expected) in cases {
            let target = Target::parse(url);
            let found = target.as_ref().ok().map(|target| {
                (target.address.as_str(), target.host.to_str().unwrap(), target.path.path_and_query().unwrap().as_str())
            });
            assert_eq!(found, expected, "{url}");
            if let Err(error) = target {
                assert_eq!(error.code(), Code::InvalidArgument, "{url}");
                assert!(error.message().contains(url), "{error}");
            }
        }
    }
}
