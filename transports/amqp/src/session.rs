//! The server's side of one connection to the broker: messages in, answers out.

use std::{future::pending, sync::Arc, time::Duration};

use bytes::Bytes;
use everywire_json::{answer, refusal};
use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Connection, Consumer, Error, ErrorKind, Result,
    message::Delivery,
    options::{
        BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
        QueueDeclareOptions,
    },
    protocol::{AMQPErrorKind, AMQPSoftError, constants::REPLY_SUCCESS},
    types::{AMQPValue, FieldTable, LongInt, ShortString},
};
use rpc_core::{Budget, CancellationToken, Limit, Service};
use tokio::{
    task::{JoinError, JoinSet},
    time::sleep,
};

use crate::{broker::CONTENT_TYPE, delivered::Delivered};

/// Requests that wait in the queue; the broker refuses more.
const WAITING_REQUESTS: LongInt = 65_536;

/// Bytes of their bodies.
const WAITING_BYTES: LongInt = 256 << 20;

/// How often a call that takes long looks whether its caller is still there.
const PRESENCE_PERIOD: Duration = Duration::from_secs(5);

/// The beginning of the names that the broker makes for direct reply-to. They are no queues: an answer that has to arrive
/// in a queue (`mandatory`) comes back from there although it was delivered.
const DIRECT_REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// A connection that consumes.
pub(crate) struct Session<S> {
    service: Arc<S>,
    budget: Arc<Budget>,
    connection: Connection,
    channel: Channel,
}

impl<S: Service> Session<S> {
    /// Declares the queue and begins to consume it.
    pub(crate) async fn open(
        service: Arc<S>,
        budget: Arc<Budget>,
        connection: Connection,
        queue: ShortString,
    ) -> Result<(Self, Consumer)> {
        declare(&connection, &queue).await?;
        let channel = connection.create_channel().await?;
        let prefetch = u16::try_from(budget.limits().calls_in_flight).unwrap_or(u16::MAX);
        channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
        let (tag, options) = (ShortString::default(), BasicConsumeOptions::default());
        let consumer = channel.basic_consume(queue, tag, options, FieldTable::default()).await?;
        Ok((Self { service, budget, connection, channel }, consumer))
    }

    /// Serves until `shutdown` and the end of the calls in flight, or until the connection breaks, which ends them.
    pub(crate) async fn run(self, mut consumer: Consumer, shutdown: &CancellationToken) -> Result<()> {
        let session = Arc::new(self);
        let mut calls = JoinSet::new();
        let begin = |calls: &mut JoinSet<_>, delivery| {
            let session = Arc::clone(&session);
            calls.spawn(async move { session.serve(delivery).await });
        };
        loop {
            tokio::select! {
                delivery = consumer.next() => match delivery {
                    Some(delivery) => begin(&mut calls, delivery?),
                    None => return Err(ErrorKind::InvalidChannelState(lapin::ChannelState::Closed, "consume").into()),
                },
                Some(ended) = calls.join_next() => finished(ended)?,
                () = shutdown.cancelled() => break,
            }
        }
        // What has arrived by the end of the subscription is run too: given back, it would count as redelivered.
        session.channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await?;
        while let Some(delivery) = consumer.next().await {
            begin(&mut calls, delivery?);
        }
        while let Some(ended) = calls.join_next().await {
            finished(ended)?;
        }
        session.connection.close(REPLY_SUCCESS, "the server stops".into()).await
    }

    /// Answers one message, and then acknowledges it.
    async fn serve(&self, delivery: Delivery) -> Result<()> {
        let caller = delivery.properties.reply_to().as_ref();
        let answer = tokio::select! {
            biased;
            answer = self.answer(&delivery) => answer,
            () = self.gone(caller) => None,
        };
        if let (Some(caller), Some(answer)) = (caller, answer) {
            let mandatory = !caller.as_str().starts_with(DIRECT_REPLY_TO);
            let options = BasicPublishOptions { mandatory, ..Default::default() };
            let properties = answer_to(&delivery);
            // lapin sends acknowledgements before messages, so this waits until the answer is sent.
            self.channel.basic_publish(ShortString::default(), caller.clone(), options, &answer, properties).await?;
            self.forget_returned().await;
        }
        self.channel.basic_ack(delivery.delivery_tag, BasicAckOptions::default()).await
    }

    /// Answers whose callers have gone come back, and lapin keeps them until they are taken.
    async fn forget_returned(&self) {
        for answer in self.channel.wait_for_confirms().await.into_iter().flatten() {
            tracing::debug!(caller = %answer.delivery.routing_key, "an answer came too late: its caller has gone");
        }
    }

    /// The body of the answer, if there is to be one.
    async fn answer(&self, delivery: &Delivery) -> Option<Bytes> {
        let length = delivery.data.len();
        if length > self.budget.limits().message_bytes {
            let error = self.budget.over(Limit::MessageBytes, format_args!("a request of {length} bytes"));
            return Some(refusal(&error).into());
        }
        let (redelivered, time) = (delivery.redelivered, expiration(delivery));
        let delivered = Delivered { service: Arc::clone(&self.service), redelivered, time };
        answer(&delivered, &delivery.data, &self.budget).await.map(Bytes::from)
    }

    /// Ends when `caller` has no queue any more. Whoever wants no answer is never gone.
    async fn gone(&self, caller: Option<&ShortString>) {
        let Some(caller) = caller else { return pending().await };
        loop {
            sleep(PRESENCE_PERIOD).await;
            if is_missing(&self.connection, caller).await {
                tracing::debug!(%caller, "a call is given up: its caller has gone");
                return;
            }
        }
    }
}

/// Declares the queue of requests: durable, bounded, and refusing what is too much rather than losing the oldest. On a
/// channel of its own, which a refusal closes: a queue that is there with other settings is used as it is.
async fn declare(connection: &Connection, queue: &ShortString) -> Result<()> {
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), WAITING_REQUESTS.into());
    arguments.insert("x-max-length-bytes".into(), WAITING_BYTES.into());
    arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    let channel = connection.create_channel().await?;
    match channel.queue_declare(queue.clone(), QueueDeclareOptions::durable(), arguments).await {
        Err(error) if is_soft(&error, AMQPSoftError::PRECONDITIONFAILED) => {
            tracing::info!(%queue, "the queue exists with settings of its own");
            Ok(())
        }
        declared => declared.map(|_| ()),
    }
}

/// Whether there is no queue of this name; a name of direct reply-to counts as one while its caller is there.
async fn is_missing(connection: &Connection, queue: &ShortString) -> bool {
    let looked = async {
        let channel = connection.create_channel().await?;
        channel.queue_declare(queue.clone(), QueueDeclareOptions::default().passive(), FieldTable::default()).await
    };
    looked.await.is_err_and(|error| is_soft(&error, AMQPSoftError::NOTFOUND))
}

fn is_soft(error: &Error, kind: AMQPSoftError) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error) if *error.kind() == AMQPErrorKind::Soft(kind))
}

/// The time that the caller gives the request: the property `expiration`, in milliseconds.
fn expiration(delivery: &Delivery) -> Option<Duration> {
    delivery.properties.expiration().as_ref()?.as_str().parse().ok().map(Duration::from_millis)
}

/// The properties of the answer to `request`.
fn answer_to(request: &Delivery) -> BasicProperties {
    let properties = BasicProperties::default().with_content_type(CONTENT_TYPE.into());
    match request.properties.correlation_id() {
        Some(id) => properties.with_correlation_id(id.clone()),
        None => properties,
    }
}

/// What became of a call's task. It does not panic, since `dispatch` doesn't.
fn finished(ended: std::result::Result<Result<()>, JoinError>) -> Result<()> {
    ended.unwrap_or_else(|panic| {
        tracing::error!(%panic, "a call was not answered");
        Ok(())
    })
}
