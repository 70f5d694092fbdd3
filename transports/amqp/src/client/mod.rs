//! The client: one connection, opened when a call needs it, that carries many calls at a time.

mod cancel;
mod connection;
mod items;
mod pending;
mod servers;

use std::{sync::Arc, time::Duration};

use everywire_core::{
    Caller, Context, Result, Streaming,
    descriptor::Method,
    wire::{Outgoing, items_within},
};
use everywire_net::{Calls, Reconnecting};
use serde::{Serialize, de::DeserializeOwned};

use self::{connection::Connection, items::Items};
use crate::broker::{Broker, queue_name};

/// Calls in flight, and as many again that wait for other calls.
const CALLS: usize = 1_024;

/// A client of the servers at one broker: everywire's, or others that take JSON-RPC from a queue.
///
/// At most 1,024 calls are in flight at a time, and as many again of methods that [wait](Method::waits). Further calls are
/// sent later.
///
/// It reconnects by itself: a call that finds the connection lost opens a new one. Calls that wait when the connection breaks
/// are `UNAVAILABLE`, and whether they ran is not known. A queue that does not exist is `UNAVAILABLE` at once, and a full one
/// `RESOURCE_EXHAUSTED`. A queue that no server consumes keeps a call until its timeout.
///
/// The time of a call travels with it: the broker drops a request that waited in the queue for longer, and the server ends a
/// call that runs for longer.
///
/// If a call is dropped before its response arrives, the client cancels it at each server of its queue that has replied on this
/// connection, and the one that has the call ends it at once. The connection remembers the last 16 servers that replied, for all
/// queues of the clones that share it. If no server of the queue has replied for 5 s, as when the first call is dropped, the
/// connection also takes no new calls and is closed with the last one on it, at once if there is no other. A server that the
/// cancellation did not reach notices that, because it looks for its callers every 5 s.
///
/// So a dropped call runs until its deadline if its server has not replied on this connection, or has restarted since, while
/// a server of the queue replied in the last 5 s.
///
/// Of a stream, at most 1,024 items and 1 MiB of messages, or one longer message, are on the way or unread. Dropping it cancels it at
/// its server at once. If its server is gone, the client notices within 10 s, because it looks for the servers of open streams every 5 s.
#[derive(Debug, Clone)]
pub struct Client {
    broker: Broker,
    queue: Option<String>,
    connection: Reconnecting<Connection>,
    calls: Calls,
}

impl Client {
    /// Connects to the broker at `url`, such as `amqp://user:password@host:5672/vhost`.
    ///
    /// A malformed URL is `INVALID_ARGUMENT`; a broker that does not respond, `UNAVAILABLE`.
    pub async fn connect(url: &str) -> Result<Self> {
        let broker = Broker::parse(url)?;
        let calls = Calls::new(broker.to_string(), CALLS);
        let client = Self { broker, queue: None, connection: Reconnecting::default(), calls };
        client.connection().await?;
        Ok(client)
    }

    /// Sets the queue of requests. Calls fail if its name has more than 255 bytes. Default: the service's full name, such as
    /// `everywire.v1.Toolkit`.
    #[must_use]
    pub fn queue(self, queue: &str) -> Self {
        Self { queue: Some(queue.to_owned()), ..self }
    }

    /// Sends the whole names of methods, such as `shop.v1.Stock.take`, as a server needs it that has several services with a method
    /// of the same name.
    #[must_use]
    pub fn qualified(self) -> Self {
        Self { calls: self.calls.qualified(), ..self }
    }

    /// Sets how long a call may take, connecting included; of a stream, how long until it begins. Default 30 s.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { calls: self.calls.timeout(timeout), ..self }
    }

    async fn connection(&self) -> Result<Arc<Connection>> {
        self.connection.get(Connection::is_open, || Connection::open(&self.broker)).await
    }

    async fn exchange<A: Serialize>(
        &self,
        method: &'static Method,
        args: &A,
        outgoing: Outgoing<'_>,
    ) -> Result<Vec<u8>> {
        let queue = queue_name(self.queue.as_deref().unwrap_or_else(|| service(method)))?;
        let connection = self.connection().await?;
        let number = connection.number();
        let body = everywire_json::request(self.calls.name(method), args, number)?;
        let exchange = connection.exchange(&queue, number, &body, &outgoing);
        self.connection.until_answered_or(&connection, exchange, |it| it.cancel(&queue, number)).await
    }

    async fn begin<A: Serialize, R: DeserializeOwned>(
        &self,
        method: &'static Method,
        args: &A,
        outgoing: Outgoing<'_>,
    ) -> Result<Items<R>> {
        let queue = queue_name(self.queue.as_deref().unwrap_or_else(|| service(method)))?;
        let connection = self.connection().await?;
        let number = connection.number();
        let body = everywire_json::request(self.calls.name(method), args, number)?;
        let begin = async {
            let pending = connection.request_items(&queue, number, &body, &outgoing).await?;
            let items = Items::begin(method, pending).await?;
            if let Some(server) = items.server() {
                connection.replied(&queue, server);
            }
            Ok(items)
        };
        self.connection.until_answered_or(&connection, begin, |it| it.cancel(&queue, number)).await
    }
}

impl Caller for Client {
    async fn call<A: Serialize + Send + Sync, R: DeserializeOwned + Send>(
        &self,
        method: &'static Method,
        cx: &Context,
        args: &A,
    ) -> Result<R> {
        // The futures of the AMQP library are large, and each that is around one would be so too.
        let body = self.calls.run(method, cx, |outgoing| Box::pin(self.exchange(method, args, outgoing))).await?;
        // The correlation id says to which request it belongs.
        everywire_json::reply(&body, None)
    }

    async fn stream<A: Serialize + Send + Sync, R: DeserializeOwned + Send + 'static>(
        &self,
        method: &'static Method,
        cx: &Context,
        args: &A,
    ) -> Result<Streaming<R>> {
        let begun = self.calls.run(method, cx, |outgoing| Box::pin(self.begin(method, args, outgoing)));
        Ok(items_within(cx, method, begun.await?.into_stream()))
    }
}

/// The full name of the method's service.
fn service(method: &Method) -> &str {
    method.path().trim_start_matches('/').rsplit_once('/').map_or("", |(service, _)| service)
}
