//! Notifies servers of dropped calls, and grants them credit for the items of streams.

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::FutureExt;
use lapin::{BasicProperties, Channel, message::BasicReturnMessage, options::BasicPublishOptions, types::ShortString};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_util::{sync::PollSender, task::AbortOnDropHandle};

use super::pending::PendingCalls;
use crate::{
    broker::Broker,
    envelope::{self, Grant},
};

/// The servers that a connection remembers. They get every cancellation of a call to their queue.
const SERVERS: usize = 16;

/// How long after its last reply the only server of a queue is taken to have no other address. A server that restarts gets one, and
/// a message to the old one is lost without an error.
const TRUSTED: Duration = Duration::from_secs(5);

/// Cancellations and credit that wait to be sent.
const WAITING: usize = 1_024;

/// How long they may take to send. They take longer only if the broker accepts no messages.
const SEND_TIME: Duration = Duration::from_secs(5);

/// Sends the cancellations of dropped calls to the servers of their queues, as far as it knows them.
pub(super) struct Canceller {
    /// The servers that have replied, the last one first.
    servers: Mutex<Vec<Server>>,
    notices: mpsc::Sender<Notice>,
    /// Whether the server of a stream was not told that its caller has dropped it.
    has_failed: AtomicBool,
}

struct Server {
    queue: ShortString,
    address: ShortString,
    last_reply: Instant,
}

/// What servers are notified of.
#[derive(Debug)]
pub(super) enum Notice {
    /// A dropped call, and the servers that may have it.
    Cancel { number: u64, servers: Vec<ShortString> },
    /// Room for more items of a stream.
    Credit { number: u64, server: ShortString, granted: Grant },
}

impl Notice {
    /// The message, and whom it is for.
    fn message(self) -> (BasicProperties, Vec<ShortString>) {
        match self {
            Self::Cancel { number, servers } => (envelope::cancellation(number), servers),
            Self::Credit { number, server, granted } => (envelope::credit(number, granted), vec![server]),
        }
    }
}

/// The notices that wait to be sent.
pub(super) type Waiting = mpsc::Receiver<Notice>;

/// What the task that sends notices needs. It outlives the connection until it has sent what was dropped with it.
pub(super) struct Sender {
    pub(super) broker: Broker,
    pub(super) channel: Channel,
    pub(super) pending: Arc<PendingCalls>,
    /// The channel has an address for as long as it is consumed.
    pub(super) _reader: Arc<AbortOnDropHandle<()>>,
}

impl Canceller {
    /// A canceller whose notices are sent by [`Sender::run`].
    pub(super) fn new() -> (Self, Waiting) {
        let (notices, waiting) = mpsc::channel(WAITING);
        (Self { servers: Mutex::default(), notices, has_failed: AtomicBool::new(false) }, waiting)
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
        self.notices.try_send(Notice::Cancel { number, servers }).is_ok() && is_trusted
    }

    /// Cancels the call `number`, whose reply of many items `server` has begun. If that is not possible, the connection takes no new
    /// calls, and its end tells the server.
    pub(super) fn cancel_at(&self, server: ShortString, number: u64) {
        if self.notices.try_send(Notice::Cancel { number, servers: vec![server] }).is_err() {
            self.has_failed.store(true, Relaxed);
        }
    }

    /// Sends notices as soon as fewer wait.
    pub(super) fn notices(&self) -> PollSender<Notice> {
        PollSender::new(self.notices.clone())
    }

    /// Sends notices until the canceller is dropped.
    pub(super) fn weak_notices(&self) -> mpsc::WeakSender<Notice> {
        self.notices.downgrade()
    }

    /// Whether cancellations are sent. Once they are not, some that `cancel` accepted may be lost.
    pub(super) fn is_running(&self) -> bool {
        !self.notices.is_closed() && !self.has_failed.load(Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Server>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sender {
    /// Runs until the connection is dropped or lost, or the broker accepts no messages.
    pub(super) async fn run(self, mut notices: Waiting) {
        let mut waiting = Vec::new();
        while notices.recv_many(&mut waiting, WAITING).await > 0 {
            match timeout(SEND_TIME, self.send(mem::take(&mut waiting))).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return tracing::debug!(%error, "servers can't be notified"),
                Err(_) => {
                    return tracing::debug!("servers can't be notified: the broker accepts no messages");
                }
            }
            self.take_confirmations();
        }
    }

    async fn send(&self, notices: Vec<Notice>) -> lapin::Result<()> {
        let mut confirmations = Vec::new();
        for (properties, servers) in notices.into_iter().map(Notice::message) {
            for server in servers {
                let (options, properties) = (BasicPublishOptions::default(), properties.clone());
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
            self.pending.fail(&request.properties, self.broker.missing(&request.routing_key));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn with_room_for(notices: usize) -> (Canceller, Waiting) {
        let (notices, waiting) = mpsc::channel(notices);
        (Canceller { servers: Mutex::default(), notices, has_failed: AtomicBool::new(false) }, waiting)
    }

    #[test]
    fn a_stream_that_can_not_be_cancelled_ends_the_use_of_its_connection() {
        let (canceller, _sent) = with_room_for(1);
        canceller.cancel_at("one".into(), 1);
        assert!(canceller.is_running());
        canceller.cancel_at("one".into(), 2);
        assert!(!canceller.is_running());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_is_trusted_for_a_time_after_its_last_reply() {
        let (canceller, mut sent) = with_room_for(2);
        let (queue, other) = (ShortString::from("queue"), ShortString::from("other"));
        let mut servers = || sent.try_recv().map(|notice| notice.message().1).unwrap_or_default();
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
        let (canceller, _sent) = with_room_for(1);
        canceller.replied(&"queue".into(), "one".into());
        for number in 1..=SERVERS {
            assert_eq!(canceller.lock().len(), number);
            canceller.replied(&"other".into(), number.to_string().into());
        }
        assert_eq!(canceller.lock().len(), SERVERS);
        assert!(!canceller.cancel(&"queue".into(), 1));
    }
}
