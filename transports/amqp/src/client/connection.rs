//! One connection of a client: requests go out on one channel, one task reads the answers.

use std::{
    collections::HashMap,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use everywire_core::{Budget, Limits, Result, RpcError};
use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Confirmation, Consumer,
    message::Delivery,
    options::{BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions},
    types::{FieldTable, ShortString},
};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    body::decoded,
    broker::{Broker, CONTENT_TYPE},
};

/// The queue of answers that needs no declaring: the broker hands them to the channel that asked.
const REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// What the broker's tools call the connection.
const CONNECTION_NAME: &str = "everywire client";

/// A connection to the broker, until it is lost.
pub(crate) struct Connection {
    broker: Broker,
    channel: Channel,
    last: AtomicU64,
    waiting: Arc<Waiting>,
    _amqp: lapin::Connection,
    _reader: AbortOnDropHandle<()>,
}

/// Who waits for which answer, by the request's number. None once the connection is lost.
struct Waiting(Mutex<Option<HashMap<u64, Answer>>>);

type Answer = oneshot::Sender<Result<Vec<u8>>>;

/// A place among those who wait.
struct Place<'a> {
    waiting: &'a Waiting,
    number: u64,
}

impl Connection {
    pub(crate) async fn open(broker: &Broker) -> Result<Self> {
        let connection = broker.connect(CONNECTION_NAME).await?;
        let lost = |error| broker.lost(&error);
        let channel = connection.create_channel().await.map_err(lost)?;
        // A request that no queue takes comes back, but lapin says so only to who asked for confirmations.
        channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(lost)?;
        let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
        let consume = channel.basic_consume(REPLY_TO.into(), ShortString::default(), options, FieldTable::default());
        let answers = consume.await.map_err(lost)?;
        let waiting = Arc::new(Waiting(Mutex::new(Some(HashMap::new()))));
        let reader = tokio::spawn(read(answers, Arc::clone(&waiting), broker.clone()));
        Ok(Self {
            broker: broker.clone(),
            channel,
            last: AtomicU64::new(0),
            waiting,
            _amqp: connection,
            _reader: AbortOnDropHandle::new(reader),
        })
    }

    /// Whether the connection is not lost.
    pub(crate) fn is_open(&self) -> bool {
        self.waiting.lock().is_some() && self.channel.status().connected()
    }

    /// The number of the next request, for its id.
    pub(crate) fn number(&self) -> u64 {
        self.last.fetch_add(1, Relaxed) + 1
    }

    /// Sends the request `number` to `queue`, where it waits for at most `time`, and returns the body of its answer.
    pub(crate) async fn answer(
        &self,
        queue: &ShortString,
        number: u64,
        body: &[u8],
        time: Duration,
    ) -> Result<Vec<u8>> {
        let (_place, answer) = self.waiting.enter(number).ok_or_else(|| self.broker.closed("closed"))?;
        let confirmation = self.publish(queue, number, body, time).await.map_err(|error| self.broker.lost(&error))?;
        if !confirmation.is_ack() {
            return Err(RpcError::resource_exhausted(format!("the queue `{queue}` of {} is full", self.broker)));
        }
        if let Some(returned) = confirmation.take_message() {
            self.waiting.deliver(&returned.properties, Err(self.missing(&returned.routing_key)));
        }
        answer.await.unwrap_or_else(|_| Err(self.broker.closed("closed")))
    }

    /// Sends a request and waits until the broker has it.
    async fn publish(
        &self,
        queue: &ShortString,
        number: u64,
        body: &[u8],
        time: Duration,
    ) -> lapin::Result<Confirmation> {
        let millis = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        let properties = BasicProperties::default()
            .with_content_type(CONTENT_TYPE.into())
            .with_correlation_id(number.to_string().into())
            .with_expiration(millis.to_string().into())
            .with_reply_to(REPLY_TO.into());
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        self.channel.basic_publish(ShortString::default(), queue.clone(), options, body, properties).await?.await
    }

    fn missing(&self, queue: &ShortString) -> RpcError {
        let text = format!("there is no queue `{queue}` at {}: no server has declared it", self.broker);
        RpcError::unavailable(text)
    }
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Option<HashMap<u64, Answer>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, number: u64) -> Option<(Place<'_>, oneshot::Receiver<Result<Vec<u8>>>)> {
        let (sender, answer) = oneshot::channel();
        self.lock().as_mut()?.insert(number, sender);
        Some((Place { waiting: self, number }, answer))
    }

    /// Gives an answer to the call that waits for it: the one with the correlation id among `properties`. A returned
    /// message is found the same way, because lapin hands it to the next call that is confirmed, whichever that is.
    fn deliver(&self, properties: &BasicProperties, answer: Result<Vec<u8>>) {
        let number = properties.correlation_id().as_ref().and_then(|id| id.as_str().parse().ok());
        let waiting = number.and_then(|number: u64| self.lock().as_mut()?.remove(&number));
        if waiting.is_none_or(|waiting| waiting.send(answer).is_err()) {
            tracing::debug!("an answer came that nobody waits for");
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = self.waiting.lock().as_mut() {
            waiting.remove(&self.number);
        }
    }
}

/// Hands out answers until the connection is lost, which is the answer to all who still wait.
async fn read(mut answers: Consumer, waiting: Arc<Waiting>, broker: Broker) {
    let budget = Budget::new(Limits::default());
    let lost = loop {
        match answers.next().await {
            Some(Ok(mut answer)) => {
                let body = read_body(&mut answer, &budget);
                waiting.deliver(&answer.properties, body);
            }
            Some(Err(error)) => break broker.lost(&error),
            None => break broker.closed("closed"),
        }
    };
    for (_, call) in waiting.lock().take().into_iter().flatten() {
        let _ = call.send(Err(lost.clone()));
    }
}

/// The body of an answer, which may be compressed.
fn read_body(answer: &mut Delivery, budget: &Arc<Budget>) -> Result<Vec<u8>> {
    match decoded(answer, budget) {
        Ok(None) => Ok(mem::take(&mut answer.data)),
        Ok(Some(decoded)) => Ok(decoded.bytes.into()),
        Err(error) => Err(RpcError::internal(format!("the answer can't be read: {}", error.message()))),
    }
}
