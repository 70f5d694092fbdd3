//! One connection of a client: calls send their requests on one channel, and one task reads the responses.

use std::{
    collections::HashMap,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use everywire_core::{Budget, Limits, Result, RpcError, wire::Outgoing};
use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Confirmation, Consumer,
    message::Delivery,
    options::{BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions},
    types::{FieldTable, ShortString},
};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use super::cancel::{Canceller, Sender};
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
    _amqp: lapin::Connection,
    _reader: Arc<AbortOnDropHandle<()>>,
}

/// The calls that wait for their responses, by the numbers of their requests. `None` once the connection is lost.
pub(super) struct PendingCalls(Mutex<Option<HashMap<u64, Responder>>>);

type Responder = oneshot::Sender<Result<Response>>;

pub(super) struct Response {
    body: Vec<u8>,
    /// The address of the server, if it accepts cancellations.
    server: Option<ShortString>,
}

/// One of them, until it is dropped.
struct Pending<'a> {
    calls: &'a PendingCalls,
    number: u64,
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
        let pending = Arc::new(PendingCalls(Mutex::new(Some(HashMap::new()))));
        let reader = tokio::spawn(read(responses, Arc::clone(&pending), broker.clone()));
        let reader = Arc::new(AbortOnDropHandle::new(reader));
        let canceller = Canceller::new(Sender {
            broker: broker.clone(),
            channel: channel.clone(),
            pending: Arc::clone(&pending),
            _reader: Arc::clone(&reader),
        });
        Ok(Self {
            broker: broker.clone(),
            channel,
            last: AtomicU64::new(0),
            pending,
            canceller,
            _amqp: connection,
            _reader: reader,
        })
    }

    /// Whether the connection is still there and can cancel calls.
    pub(crate) fn is_open(&self) -> bool {
        self.pending.lock().is_some() && self.channel.status().connected() && self.canceller.is_running()
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
        let (_pending, response) = self.pending.enter(number).ok_or_else(|| self.broker.closed("closed"))?;
        let confirmation =
            self.publish(queue, number, body, outgoing).await.map_err(|error| self.broker.lost(&error))?;
        if !confirmation.is_ack() {
            return Err(RpcError::resource_exhausted(format!("the queue `{queue}` of {} is full", self.broker)));
        }
        if let Some(returned) = confirmation.take_message() {
            self.pending.deliver(&returned.properties, Err(self.broker.missing(&returned.routing_key)));
        }
        let response = response.await.unwrap_or_else(|_| Err(self.broker.closed("closed")))?;
        if let Some(server) = response.server {
            self.canceller.replied(queue, server);
        }
        Ok(response.body)
    }

    /// Cancels the call that sent the request `number` to `queue`. Returns false if its server may not learn of it.
    pub(crate) fn cancel(&self, queue: &ShortString, number: u64) -> bool {
        self.canceller.cancel(queue, number)
    }

    /// Sends a request and waits until the broker has it.
    async fn publish(
        &self,
        queue: &ShortString,
        number: u64,
        body: &[u8],
        outgoing: &Outgoing<'_>,
    ) -> lapin::Result<Confirmation> {
        let properties = envelope::request(number, outgoing);
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        self.channel.basic_publish(ShortString::default(), queue.clone(), options, body, properties).await?.await
    }
}

impl PendingCalls {
    fn lock(&self) -> MutexGuard<'_, Option<HashMap<u64, Responder>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, number: u64) -> Option<(Pending<'_>, oneshot::Receiver<Result<Response>>)> {
        let (responder, response) = oneshot::channel();
        self.lock().as_mut()?.insert(number, responder);
        Some((Pending { calls: self, number }, response))
    }

    /// Delivers a response to the call that waits for it: the one with the correlation id among `properties`. A returned
    /// request is found the same way, because lapin hands it to the next call that is confirmed, whichever that is.
    pub(super) fn deliver(&self, properties: &BasicProperties, response: Result<Response>) {
        let responder = envelope::number(properties).and_then(|number| self.lock().as_mut()?.remove(&number));
        if responder.is_none_or(|responder| responder.send(response).is_err()) {
            tracing::debug!("a response arrived for which no call waits");
        }
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let Some(calls) = self.calls.lock().as_mut() {
            calls.remove(&self.number);
        }
    }
}

/// Delivers responses until the connection is lost, which fails the calls that still wait.
async fn read(mut responses: Consumer, pending: Arc<PendingCalls>, broker: Broker) {
    let budget = Budget::new(Limits::default());
    let lost = loop {
        match responses.next().await {
            Some(Ok(mut response)) => {
                let server = envelope::server(&response.properties);
                let body = read_body(&mut response, &budget);
                pending.deliver(&response.properties, body.map(|body| Response { body, server }));
            }
            Some(Err(error)) => break broker.lost(&error),
            None => break broker.closed("closed"),
        }
    };
    for (_, responder) in pending.lock().take().into_iter().flatten() {
        let _ = responder.send(Err(lost.clone()));
    }
}

/// The body of a response, which may be compressed.
fn read_body(response: &mut Delivery, budget: &Arc<Budget>) -> Result<Vec<u8>> {
    match envelope::decoded(response, budget) {
        Ok(None) => Ok(mem::take(&mut response.data)),
        Ok(Some(decoded)) => Ok(decoded.bytes.into()),
        Err(error) => Err(everywire_json::unreadable(error.message())),
    }
}
