//! Notifies servers of dropped calls.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::FutureExt;
use lapin::{Channel, message::BasicReturnMessage, options::BasicPublishOptions, types::ShortString};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::connection::PendingCalls;
use crate::{broker::Broker, envelope};

/// The servers that a connection remembers. They get every cancellation of a call to their queue.
const SERVERS: usize = 16;

/// How long after its last reply the only server of a queue is taken to have no other address. A server that restarts gets one, and
/// a message to the old one is lost without an error.
const TRUSTED: Duration = Duration::from_secs(5);

/// Cancellations that wait to be sent.
const WAITING: usize = 1_024;

/// How long cancellations may take to send. They take longer only if the broker accepts no messages.
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
    last_reply: Instant,
}

/// A dropped call and the servers to notify of it.
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
        let (mut servers, last_reply) = (self.lock(), Instant::now());
        if let Some(known) = servers.iter().position(|server| server.address == address && server.queue == *queue) {
            servers[known].last_reply = last_reply;
            servers[..=known].rotate_right(1);
        } else {
            servers.truncate(SERVERS - 1);
            servers.insert(0, Server { queue: queue.clone(), address, last_reply });
        }
    }

    /// Cancels the call `number` at the servers of `queue`. Returns false if the call's server may not learn of it: none has replied
    /// lately, or the cancellation can't be sent.
    pub(super) fn cancel(&self, queue: &ShortString, number: u64) -> bool {
        let servers = self.lock();
        let mut servers = servers.iter().filter(|server| server.queue == *queue).peekable();
        let Some(last) = servers.peek() else { return false };
        let is_trusted = last.last_reply.elapsed() < TRUSTED;
        let servers = servers.map(|server| server.address.clone()).collect();
        self.cancels.try_send(Cancel { number, servers }).is_ok() && is_trusted
    }

    /// Whether cancellations are sent. Once they are not, some that `cancel` accepted may be lost.
    pub(super) fn is_running(&self) -> bool {
        !self.cancels.is_closed()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Server>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sender {
    /// Runs until the connection is dropped or lost, or the broker accepts no messages.
    async fn run(self, mut cancels: mpsc::Receiver<Cancel>) {
        let mut waiting = Vec::new();
        while cancels.recv_many(&mut waiting, WAITING).await > 0 {
            match timeout(SEND_TIME, self.send(mem::take(&mut waiting))).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return tracing::debug!(%error, "dropped calls can't be cancelled"),
                Err(_) => {
                    return tracing::debug!("dropped calls can't be cancelled: the broker accepts no messages");
                }
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

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_is_trusted_for_a_time_after_its_last_reply() {
        let (cancels, mut sent) = mpsc::channel(2);
        let canceller = Canceller { servers: Mutex::default(), cancels };
        let (queue, other) = (ShortString::from("queue"), ShortString::from("other"));
        let mut servers = || sent.try_recv().map(|cancel: Cancel| cancel.servers).unwrap_or_default();
        assert!(!canceller.cancel(&queue, 1) && servers().is_empty());
        canceller.replied(&queue, "one".into());
        canceller.replied(&queue, "two".into());
        canceller.replied(&other, "one".into());
        assert!(canceller.cancel(&queue, 2));
        assert_eq!(servers(), ["two".into(), "one".into()] as [ShortString; 2]);
        advance(TRUSTED).await;
        canceller.replied(&other, "one".into());
        assert!(!canceller.cancel(&queue, 3), "no server of the queue has replied lately");
        assert_eq!(servers(), ["two".into(), "one".into()] as [ShortString; 2], "but it may still be there");
        canceller.replied(&queue, "one".into());
        assert!(canceller.cancel(&queue, 4));
        assert_eq!(servers(), ["one".into(), "two".into()] as [ShortString; 2]);
        assert!(canceller.cancel(&queue, 5) && canceller.cancel(&queue, 6));
        assert!(!canceller.cancel(&queue, 7), "too many wait");
        drop(sent);
        assert!(!canceller.is_running() && !canceller.cancel(&queue, 8));
    }

    #[test]
    fn the_last_servers_of_all_queues_are_remembered() {
        let (cancels, _sent) = mpsc::channel(1);
        let canceller = Canceller { servers: Mutex::default(), cancels };
        canceller.replied(&"queue".into(), "one".into());
        for number in 1..=SERVERS {
            assert_eq!(canceller.lock().len(), number);
            canceller.replied(&"other".into(), number.to_string().into());
        }
        assert_eq!(canceller.lock().len(), SERVERS);
        assert!(!canceller.cancel(&"queue".into(), 1));
    }
}
