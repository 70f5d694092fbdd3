//! The server's side of one connection to the broker: messages in, answers out.

use std::{future::pending, sync::Arc, time::Duration};

use bytes::Bytes;
use everywire_core::{
    Budget, Limit, Result, Service,
    wire::{CancellationToken, PerConnection, Waiting},
};
use everywire_json::{answer, refusal};
use futures_util::FutureExt;
use lapin::{BasicProperties, Connection, message::Delivery, protocol::constants::REPLY_SUCCESS, types::ShortString};
use tokio::{
    sync::{Notify, Semaphore},
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};

use crate::{
    answers::Answers,
    body::decoded,
    broker::{Broker, CONNECT_TIME, CONTENT_TYPE},
    callers::Callers,
    queue::Queue,
    redelivery::{Delivered, Receipt},
    requests::Requests,
};

/// A call that takes longer is acknowledged before its answer. It then no longer counts among the unacknowledged requests, of
/// which there are at most `calls_in_flight`, and the broker does not close the channel when it takes half an hour
/// (`consumer_timeout`).
const LONG: Duration = Duration::from_secs(1);

/// A connection that consumes the queue of requests and may send answers.
pub(crate) struct Subscription {
    queue: Arc<Queue>,
    requests: Requests,
    answers: Answers,
}

impl Subscription {
    /// Checks that answers can be sent, declares the queue if it is missing, and begins to consume it.
    pub(crate) async fn open(
        broker: &Broker,
        connection: Connection,
        queue: ShortString,
        prefetch: usize,
    ) -> Result<Self> {
        let opened = async {
            let queue = Arc::new(Queue::open(broker.clone(), connection, queue, prefetch).await?);
            let answers = Answers::open(&queue.connection).await;
            let answers =
                answers.map_err(|error| broker.failed("send answers (to the exchange amq.default)", &error))?;
            let requests = Requests::consume(Arc::clone(&queue)).await?;
            Ok(Self { queue, requests, answers })
        };
        timeout(CONNECT_TIME, opened).await.unwrap_or_else(|_| Err(broker.closed("no reply within 5 s")))
    }
}

/// What the calls of a connection share.
struct Session<S> {
    service: Arc<PerConnection<S>>,
    budget: Arc<Budget>,
    queue: Arc<Queue>,
    answers: Answers,
    callers: Callers,
    /// Permits for calls that are acknowledged early because they take long, not because their method waits. As many as
    /// `calls_in_flight`.
    long_calls: Semaphore,
}

/// Serves until `shutdown` and the end of the calls in flight, or until the connection breaks, which ends them.
pub(crate) async fn serve<S: Service>(
    subscription: Subscription,
    service: Arc<S>,
    budget: Arc<Budget>,
    shutdown: &CancellationToken,
) -> Result<()> {
    let Subscription { queue, mut requests, answers } = subscription;
    let session = Arc::new(Session {
        service: Arc::new(PerConnection::new(service, Waiting::new(&budget))),
        long_calls: Semaphore::new(budget.limits().calls_in_flight.min(Semaphore::MAX_PERMITS)),
        budget,
        queue,
        answers,
        callers: Callers::default(),
    });
    let mut calls = JoinSet::new();
    let begin = |calls: &mut JoinSet<_>, delivery| {
        let session = Arc::clone(&session);
        let mut call = Box::pin(async move { session.serve(delivery).await });
        // Calls begin in the order of their messages. One that has to wait goes on as a task.
        if let Some(ended) = call.as_mut().now_or_never() {
            return ended;
        }
        calls.spawn(call);
        Ok(())
    };
    let looking = session.callers.look(&session.queue.connection);
    tokio::pin!(looking);
    loop {
        tokio::select! {
            delivery = requests.next() => begin(&mut calls, delivery?)?,
            Some(ended) = calls.join_next() => finished(ended)?,
            never = &mut looking => match never {},
            () = shutdown.cancelled() => break,
        }
    }
    for delivery in requests.end().await? {
        begin(&mut calls, delivery)?;
    }
    while let Some(ended) = calls.join_next().await {
        finished(ended)?;
    }
    let closed = session.queue.connection.close(REPLY_SUCCESS, "the server stops".into()).await;
    closed.map_err(|error| session.queue.broker.lost(&error))
}

impl<S: Service> Session<S> {
    /// Answers one message and acknowledges it.
    async fn serve(&self, delivery: Delivery) -> Result<()> {
        self.answered(delivery).await.map_err(|error| self.queue.broker.lost(&error))
    }

    async fn answered(&self, delivery: Delivery) -> lapin::Result<()> {
        let caller = delivery.properties.reply_to().as_ref();
        let receipt = Receipt::of(&self.queue.channel, delivery.delivery_tag);
        let delivered = self.delivered(&delivery);
        let answer = tokio::select! {
            biased;
            answer = self.answer(&delivered, &delivery) => answer,
            failed = self.acknowledge_early(&delivered, &receipt) => return failed,
            () = self.callers.gone(caller) => None,
        };
        if let (Some(caller), Some(answer)) = (caller, answer) {
            self.answers.send(&self.queue.connection, caller, &answer, answer_to(&delivery)).await?;
        }
        receipt.send().await
    }

    fn delivered(&self, delivery: &Delivery) -> Delivered<PerConnection<S>> {
        Delivered {
            service: Arc::clone(&self.service),
            budget: Arc::clone(&self.budget),
            redelivered: delivery.redelivered,
            time: expiration(delivery),
            bytes: delivery.data.len(),
            waits: Notify::new(),
        }
    }

    /// The body of the answer, if there is to be one.
    async fn answer(&self, delivered: &Delivered<PerConnection<S>>, delivery: &Delivery) -> Option<Bytes> {
        let length = delivery.data.len();
        if length > self.budget.limits().message_bytes {
            let error = self.budget.exceeded(Limit::MessageBytes, format_args!("a request of {length} bytes"));
            return Some(refusal(&error).into());
        }
        match decoded(delivery, &self.budget) {
            Ok(body) => {
                let body = body.as_ref().map_or(&delivery.data[..], |body| &body.bytes);
                answer(delivered, body, &self.budget).await.map(Bytes::from)
            }
            Err(error) => Some(refusal(&error).into()),
        }
    }

    /// Acknowledges a message once its call waits or has taken long. Completes only if that fails.
    async fn acknowledge_early(
        &self,
        delivered: &Delivered<PerConnection<S>>,
        receipt: &Receipt<'_>,
    ) -> lapin::Result<()> {
        let mut reservation = self.budget.reserve();
        let _permit = tokio::select! {
            () = delivered.waits.notified() => None,
            permit = async {
                sleep(LONG).await;
                self.long_calls.acquire().await
            } => {
                // If the budget has no room for its body it stays unacknowledged, so the broker sends fewer requests.
                if reservation.try_resize(delivered.bytes).is_err() {
                    return pending().await;
                }
                permit.ok()
            }
        };
        receipt.send().await?;
        pending().await
    }
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
