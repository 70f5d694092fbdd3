//! One connection of a client: calls send their requests on one channel, and one task reads the responses.

use std::{
    mem,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use everywire_core::{Budget, Limits, Result, RpcError, wire::Outgoing};
use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Consumer,
    message::Delivery,
    options::{BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions},
    types::{FieldTable, ShortString},
};
use tokio::sync::mpsc::WeakSender;
use tokio_util::{sync::PollSender, task::AbortOnDropHandle};

use super::{
    cancel::{Canceller, Notice, Sender},
    items::{PendingItems, WINDOW},
    pending::{PendingCalls, Response, Unwanted},
    servers,
};
use crate::{
    broker::Broker,
    envelope::{self, DIRECT_REPLY_TO},
};

/// What the broker's tools call the connection.
const CONNECTION_NAME: &str = "everywire client";

/// A connection to the broker, until it is lost.
pub(crate) struct Connection {
    broker: Broker,
    channel: Channel,
    last: AtomicU64,
    pending: Arc<PendingCalls>,
    canceller: Canceller,
    amqp: Arc<lapin::Connection>,
    _reader: Arc<AbortOnDropHandle<()>>,
    /// Watches the servers of streams, from the first stream on.
    watch: OnceLock<AbortOnDropHandle<()>>,
}

impl Connection {
    pub(crate) async fn open(broker: &Broker) -> Result<Self> {
        let connection = broker.connect(CONNECTION_NAME).await?;
        let lost = |error| broker.lost(&error);
        let channel = connection.create_channel().await.map_err(lost)?;
        // The broker returns a request that no queue takes, and lapin reports that only on a channel with confirmations.
        channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(lost)?;
        let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
        let consume =
            channel.basic_consume(DIRECT_REPLY_TO.into(), ShortString::default(), options, FieldTable::default());
        let responses = consume.await.map_err(lost)?;
        let pending = Arc::new(PendingCalls::new());
        let (canceller, waiting) = Canceller::new();
        let reader = tokio::spawn(read(responses, Arc::clone(&pending), broker.clone(), canceller.weak_notices()));
        let reader = Arc::new(AbortOnDropHandle::new(reader));
        let sender = Sender {
            broker: broker.clone(),
            channel: channel.clone(),
            pending: Arc::clone(&pending),
            _reader: Arc::clone(&reader),
        };
        tokio::spawn(sender.run(waiting));
        Ok(Self {
            broker: broker.clone(),
            channel,
            last: AtomicU64::new(0),
            pending,
            canceller,
            amqp: Arc::new(connection),
            _reader: reader,
            watch: OnceLock::new(),
        })
    }

    /// Whether the connection is still there and can cancel calls.
    pub(crate) fn is_open(&self) -> bool {
        self.pending.is_open() && self.channel.status().connected() && self.canceller.is_running()
    }

    /// The number of the next request, for its id.
    pub(crate) fn number(&self) -> u64 {
        self.last.fetch_add(1, Relaxed) + 1
    }

    /// Sends the request `number` to `queue`, with what is sent of its context, and returns the body of its response.
    pub(crate) async fn exchange(
        &self,
        queue: &ShortString,
        number: u64,
        body: &[u8],
        outgoing: &Outgoing<'_>,
    ) -> Result<Vec<u8>> {
        let (_pending, response) = self.pending.enter(number).ok_or_else(|| self.lost())?;
        self.send(queue, body, envelope::request(number, outgoing)).await?;
        let response = response.await.unwrap_or_else(|_| Err(self.lost()))?;
        if let Some(server) = response.server {
            self.canceller.replied(queue, server);
        }
        if response.position.is_some() {
            let text = "the method responds with a stream; call it by a method that returns `Result<Streaming<T>>`";
            return Err(RpcError::unimplemented(text));
        }
        Ok(response.body)
    }

    /// Does the same with a request whose response has many items.
    pub(super) async fn request_items(
        self: &Arc<Self>,
        queue: &ShortString,
        number: u64,
        body: &[u8],
        outgoing: &Outgoing<'_>,
    ) -> Result<PendingItems> {
        let pending = PendingItems::enter(self, number).ok_or_else(|| self.lost())?;
        let properties = envelope::with_grant(envelope::request(number, outgoing), outgoing, WINDOW);
        self.send(queue, body, properties).await?;
        Ok(pending)
    }

    /// Cancels the call that sent the request `number` to `queue`. Returns false if its server may not learn of it.
    pub(crate) fn cancel(&self, queue: &ShortString, number: u64) -> bool {
        self.canceller.cancel(queue, number)
    }

    /// Sends a request and waits until the broker has it.
    async fn send(&self, queue: &ShortString, body: &[u8], properties: BasicProperties) -> Result<()> {
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let sent = async {
            self.channel.basic_publish(ShortString::default(), queue.clone(), options, body, properties).await?.await
        };
        let confirmation = sent.await.map_err(|error| self.broker.lost(&error))?;
        if !confirmation.is_ack() {
            return Err(RpcError::resource_exhausted(format!("the queue `{queue}` of {} is full", self.broker)));
        }
        if let Some(returned) = confirmation.take_message() {
            self.pending.fail(&returned.properties, self.broker.missing(&returned.routing_key));
        }
        Ok(())
    }

    /// Remembers that the server at `address` has replied to a request from `queue`.
    pub(crate) fn replied(&self, queue: &ShortString, address: ShortString) {
        self.canceller.replied(queue, address);
    }

    pub(super) fn pending(&self) -> &PendingCalls {
        &self.pending
    }

    pub(super) fn notices(&self) -> PollSender<Notice> {
        self.canceller.notices()
    }

    /// Notes that nobody waits for the items of the call `number` any longer, and tells its server if that sends more.
    pub(super) fn leave(&self, number: u64) {
        if let Some(unwanted) = self.pending.leave(number) {
            self.canceller.cancel_at(unwanted.server, number);
        }
    }

    /// Notes that a stream has begun, whose server may be lost.
    pub(super) fn begun(&self) {
        self.watch.get_or_init(|| {
            let watch = servers::watch(Arc::clone(&self.amqp), Arc::clone(&self.pending), self.broker.clone());
            AbortOnDropHandle::new(tokio::spawn(watch))
        });
    }

    /// The error of a call whose connection is lost.
    pub(super) fn lost(&self) -> RpcError {
        self.broker.closed("closed")
    }
}

/// Delivers responses until the connection is lost, which fails the calls that still wait. Servers are notified of streams that nobody
/// waits for.
async fn read(mut responses: Consumer, pending: Arc<PendingCalls>, broker: Broker, notices: WeakSender<Notice>) {
    let budget = Budget::new(Limits::default());
    let lost = loop {
        let mut response = match responses.next().await {
            Some(Ok(response)) => response,
            Some(Err(error)) => break broker.lost(&error),
            None => break broker.closed("closed"),
        };
        let (server, position) = (envelope::server(&response.properties), envelope::position(&response.properties));
        let received_bytes = response.data.len();
        let body = read_body(&mut response, &budget);
        let body = body.map(|body| Response { body, received_bytes, server, position });
        if let Some(Unwanted { server, number }) = pending.deliver(&response.properties, body) {
            let notice = Notice::Cancel { number, servers: vec![server] };
            if notices.upgrade().is_none_or(|notices| notices.try_send(notice).is_err()) {
                tracing::debug!("a server goes on with a stream that nobody reads");
            }
        }
    };
    pending.fail_all(&lost);
}

/// The body of a response, which may be compressed.
fn read_body(response: &mut Delivery, budget: &Arc<Budget>) -> Result<Vec<u8>> {
    match envelope::decoded(response, budget) {
        Ok(None) => Ok(mem::take(&mut response.data)),
        Ok(Some(decoded)) => Ok(decoded.bytes.into()),
        Err(error) => Err(everywire_json::unreadable(error.message())),
    }
}
