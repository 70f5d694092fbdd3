//! The client: XML-RPC over the client of HTTP/1 that wires share.

mod connection;

use std::time::Duration;

use bytes::Bytes;
use everywire_core::{
    Caller, Code, Context, Limit, Limits, Result, Streaming,
    descriptor::Method,
    wire::{Outgoing, items_within},
};
use everywire_net::{Calls, Http1Client, pull::pulled};
use http::{Response, header};
use serde::{Serialize, de::DeserializeOwned};

use crate::{body::charset, envelope, fault::unsendable, streams::Pulling};

/// Calls in flight, each on a connection, and as many again that wait for other calls.
const CALLS: usize = 512;

/// An XML-RPC client of one server. Each call takes an idle connection or opens one. Clones share the connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: Http1Client,
    calls: Calls,
}

impl Client {
    /// Checks that a server is at `url`, such as `http://127.0.0.1:4242` or `http://host/RPC2`. The first call opens the
    /// connection that is kept: one that carries nothing blocks a server without threads, such as Python's.
    ///
    /// A malformed URL, or one that is not of `http`, is `INVALID_ARGUMENT`; a server that does not respond is `UNAVAILABLE`.
    pub async fn connect(url: &str) -> Result<Self> {
        let http = connection::open(url)?;
        http.probe().await?;
        let calls = Calls::new(http.address(), CALLS);
        Ok(Self { http, calls })
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

    /// Sets how many connections there are at a time, at least one, and as many again for calls of methods that
    /// [wait](Method::waits). A call beyond them waits for one, and its time runs. Default 512. Python's `SimpleXMLRPCServer`
    /// wants fewer: it runs one call at a time, and only five more connections can wait for it.
    #[must_use]
    pub fn connections(self, most: usize) -> Self {
        Self { calls: self.calls.at_most(most), ..self }
    }

    /// Sets what calls may cost: `message_bytes` of a request and of a response, the response's `decompressed_bytes` and
    /// `depth`, and `buffered_bytes` of all responses that are being received.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { http: self.http.limits(limits), ..self }
    }

    /// Asks the server to compress its responses; pays on slow networks only. Compressed responses are read in any case.
    #[must_use]
    pub fn gzip(self) -> Self {
        Self { http: self.http.header(header::ACCEPT_ENCODING, "gzip"), ..self }
    }
}

impl Caller for Client {
    async fn call<A: Serialize + Send + Sync, R: DeserializeOwned + Send>(
        &self,
        method: &'static Method,
        cx: &Context,
        args: &A,
    ) -> Result<R> {
        let request = request(&self.http, self.calls.name(method), args)?;
        let response = self.calls.run(method, cx, |outgoing| connection::post(&self.http, request, outgoing)).await?;
        read(&self.http, &response)
    }

    async fn stream<A: Serialize + Send + Sync, R: DeserializeOwned + Send + 'static>(
        &self,
        method: &'static Method,
        cx: &Context,
        args: &A,
    ) -> Result<Streaming<R>> {
        let first = self.call(method, cx, args).await?;
        Ok(items_within(cx, method, pulled(first, Pulling { http: self.http.clone(), cx: cx.clone() })))
    }
}

/// The document that calls the method `name`.
fn request<A: Serialize>(http: &Http1Client, name: &str, args: &A) -> Result<Vec<u8>> {
    let request =
        envelope::method_call(name, args).map_err(|error| unsendable(Code::InvalidArgument, "arguments", &error))?;
    let budget = http.budget();
    // A server that rejects a long request may close before it has read all of it, and its response is then lost.
    if request.len() > budget.limits().message_bytes {
        return Err(budget.exceeded(Limit::MessageBytes, "the request is too long"));
    }
    Ok(request)
}

fn read<R: DeserializeOwned>(http: &Http1Client, response: &Response<Bytes>) -> Result<R> {
    envelope::read_response(response.body(), charset(response.headers()), http.budget().limits())
}

/// Calls the method `name` without a limit of time.
pub(crate) async fn post<A: Serialize, R: DeserializeOwned>(
    http: &Http1Client,
    name: &str,
    args: &A,
    outgoing: Outgoing<'_>,
) -> Result<R> {
    let request = request(http, name, args)?;
    read(http, &connection::post(http, request, outgoing).await?)
}
