//! The client: a connection when one is needed, many calls on it at a time.

mod connection;

use std::time::{Duration, Instant};

use everywire_core::{
    Caller, DEFAULT_TIMEOUT, Limits, Result, RpcError,
    descriptor::Method,
    wire::{CallSlots, answer_within},
};
use everywire_net::Shared;
use serde::{Serialize, de::DeserializeOwned};

use self::connection::Connection;
use crate::broker::{Broker, queue_name};

/// Calls in flight, and as many again that wait for other calls.
const CALLS: usize = 1_024;

/// A client of the servers at one broker, ours or others that speak JSON-RPC from a queue.
///
/// At most 1,024 calls are in flight at a time, and as many again of methods that [wait](Method::waits). Further calls are
/// sent later.
///
/// It connects again by itself: a call that finds the connection lost makes a new one. Calls that wait when the connection
/// breaks fail with `UNAVAILABLE`, as nobody knows whether they ran. A queue that does not exist is `UNAVAILABLE` at once;
/// one that is full, `RESOURCE_EXHAUSTED`. A queue that nobody serves keeps a call until its time is over.
///
/// The time of a call travels with it: a server drops what waited in the queue for longer, and ends what runs for longer.
/// Of a call that is dropped before, the server learns from the end of the connection: it takes no new calls and is closed
/// with the last one on it, at once if there is no other, and a server looks for its callers every 5 s.
#[derive(Debug)]
pub struct Client {
    broker: Broker,
    queue: Option<String>,
    timeout: Duration,
    connection: Shared<Connection>,
    slots: CallSlots,
}

impl Client {
    /// Connects to the broker at `url`, such as `amqp://user:password@host:5672/vhost`.
    ///
    /// A malformed URL is `INVALID_ARGUMENT`; a broker that does not answer, `UNAVAILABLE`.
    pub async fn connect(url: &str) -> Result<Self> {
        let client = Self {
            broker: Broker::parse(url)?,
            queue: None,
            timeout: DEFAULT_TIMEOUT,
            connection: Shared::default(),
            slots: CallSlots::new(CALLS),
        };
        client.connection.get(Connection::is_open, || Connection::open(&client.broker)).await?;
        Ok(client)
    }

    /// Sets the queue of requests. Calls fail if its name has more than 255 bytes. Default: the service's full name, such as
    /// `everywire.v1.Toolkit`.
    #[must_use]
    pub fn queue(self, queue: &str) -> Self {
        Self { queue: Some(queue.to_owned()), ..self }
    }

    /// Sets how long a call may take, from its start to its answer. Default 30 s.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    async fn exchange<A: Serialize>(&self, method: &Method, args: &A) -> Result<Vec<u8>> {
        let since = Instant::now();
        let queue = queue_name(self.queue.as_deref().unwrap_or_else(|| service(method)))?;
        let _slot = self.slots.take(method).await?;
        let connection = self.connection.get(Connection::is_open, || Connection::open(&self.broker)).await?;
        let number = connection.number();
        let body = everywire_json::request(method, args, number)?;
        let limit = Limits::default().message_bytes;
        if body.len() > limit {
            let text = format!("the arguments of {} are too long: a request may have {limit} bytes", method.name());
            return Err(RpcError::resource_exhausted(text));
        }
        // Waiting for a slot and connecting took a part of it.
        let remaining = self.timeout.saturating_sub(since.elapsed());
        self.connection.answered(&connection, connection.answer(&queue, number, &body, remaining)).await
    }
}

impl Caller for Client {
    async fn call<A: Serialize + Send + Sync, R: DeserializeOwned>(
        &self,
        method: &'static Method,
        args: &A,
    ) -> Result<R> {
        let answer = self.exchange(method, args);
        let body = answer_within(self.timeout, &self.broker.to_string(), method, answer).await?;
        everywire_json::reply(&body)
    }
}

/// The full name of the method's service.
fn service(method: &Method) -> &str {
    method.path().trim_start_matches('/').rsplit_once('/').map_or("", |(service, _)| service)
}
