//! Tells servers of dropped calls.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::FutureExt;
use lapin::{Channel, message::BasicReturnMessage, options::BasicPublishOptions, types::ShortString};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::task::AbortOnDropHandle;

use super::connection::PendingCalls;
use crate::{broker::Broker, envelope};

/// The servers that a connection remembers. They get every cancellation of a call to their queue.
const SERVERS: usize = 16;

/// Cancellations that wait to be sent.
const WAITING: usize = 1_024;

/// How long cancellations may take to send. They take longer only if the broker takes no messages.
const SEND_TIME: Duration = Duration::from_secs(5);

/// Sends the cancellations of dropped calls to the servers of their queues, as far as it knows them.
pub(super) struct Canceller {
    /// The servers that have replied, the last one first.
    servers: Mutex<Vec<Server>>,
    cancels: mpsc::Sender<Cancel>,
}

struct Server {
    queue: ShortString,
    address: ShortString,
}

/// A dropped call and the servers to tell of it.
struct Cancel {
    number: u64,
    servers: Vec<ShortString>,
}

/// What the task that sends cancellations needs. It outlives the connection until it has sent what was dropped with it.
pub(super) struct Sender {
    pub(super) broker: Broker,
    pub(super) channel: Channel,
    pub(super) pending: Arc<PendingCalls>,
    /// The channel has an address for as long as it is consumed.
    pub(super) _reader: Arc<AbortOnDropHandle<()>>,
}

impl Canceller {
    pub(super) fn new(sender: Sender) -> Self {
        let (cancels, waiting) = mpsc::channel(WAITING);
        tokio::spawn(sender.run(waiting));
        Self { servers: Mutex::default(), cancels }
    }

    /// Remembers that the server at `address` has replied to a request from `queue`.
    pub(super) fn replied(&self, queue: &ShortString, address: ShortString) {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = servers.iter().position(|server| server.address == address && server.queue == *queue) {
            servers[..=known].rotate_right(1);
        } else {
            servers.truncate(SERVERS - 1);
            servers.insert(0, Server { queue: queue.clone(), address });
        }
    }

    /// Cancels the call `number` at the servers of `queue`. Returns false if none is known or too many cancellations wait.
    pub(super) fn cancel(&self, queue: &ShortString, number: u64) -> bool {
        let servers = self.servers_of(queue);
        !servers.is_empty() && self.cancels.try_send(Cancel { number, servers }).is_ok()
    }

    fn servers_of(&self, queue: &ShortString) -> Vec<ShortString> {
        let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.iter().filter(|server| server.queue == *queue).map(|server| server.address.clone()).collect()
    }
}

impl Sender {
    /// Runs until the connection is dropped or lost.
    async fn run(self, mut cancels: mpsc::Receiver<Cancel>) {
        let mut waiting = Vec::new();
        while cancels.recv_many(&mut waiting, WAITING).await > 0 {
            match timeout(SEND_TIME, self.send(mem::take(&mut waiting))).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return tracing::debug!(%error, "dropped calls can't be cancelled"),
                Err(_) => tracing::debug!("dropped calls can't be cancelled: the broker takes no messages"),
            }
            self.take_confirmations();
        }
    }

    async fn send(&self, cancels: Vec<Cancel>) -> lapin::Result<()> {
        let mut confirmations = Vec::new();
        for Cancel { number, servers } in cancels {
            for server in servers {
                let (options, properties) = (BasicPublishOptions::default(), envelope::cancellation(number));
                let sent = self.channel.basic_publish(ShortString::default(), server, options, b"", properties);
                confirmations.push(sent.await?);
            }
        }
        for confirmation in confirmations {
            self.returned(confirmation.await?.take_message());
        }
        Ok(())
    }

    /// lapin keeps the confirmations of calls that are dropped before theirs, until it is asked for them. The first time it waits for
    /// the last message, and for ever if another one is sent meanwhile; the second time there is no last message.
    fn take_confirmations(&self) {
        for _ in 0..2 {
            if let Some(Ok(returned)) = self.channel.wait_for_confirms().now_or_never() {
                self.returned(returned);
            }
        }
    }

    /// Fails the calls whose requests the broker returned. lapin hands them to any message that is confirmed.
    fn returned(&self, requests: impl IntoIterator<Item = BasicReturnMessage>) {
        for request in requests {
            self.pending.deliver(&request.properties, Err(self.broker.missing(&request.routing_key)));
        }
    }
}
