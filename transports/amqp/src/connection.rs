//! A server's connection to the broker: it runs the calls of its requests and sends their replies.

use std::{
    future::pending,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use everywire_core::{
    Budget, Limit, Result, Service,
    layer::AtMostOnce,
    wire::{CancellationToken, PerConnection, Waiting},
};
use everywire_json::{answer_at, rejection};
use futures_util::FutureExt;
use lapin::{message::Delivery, protocol::constants::REPLY_SUCCESS, types::ShortString};
use tokio::{
    sync::{Notify, Semaphore},
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};

use crate::{
    acknowledgement::{Delivered, Receipt},
    broker::{Broker, CONNECT_TIME},
    callers::Callers,
    cancel::Cancellable,
    context::{self, Message},
    envelope,
    items::{Parts, ReplyItems},
    probe::Probe,
    queue::Queue,
    replies::Replies,
    requests::Requests,
};

/// A call that takes longer is acknowledged before its reply. It then no longer counts among the unacknowledged requests, of
/// which there are at most `calls_in_flight`, and the broker does not close the channel when the call takes half an hour
/// (`consumer_timeout`).
const LONG: Duration = Duration::from_secs(1);

/// A connection that consumes the queue of requests and may send replies.
pub(crate) struct Subscription {
    queue: Arc<Queue>,
    requests: Requests,
    replies: Replies,
    cancellable: Arc<Cancellable>,
}

impl Subscription {
    /// Checks that replies can be sent, declares the queue if it is missing, and begins to consume it.
    pub(crate) async fn open(
        broker: &Broker,
        connection: lapin::Connection,
        queue: ShortString,
        prefetch: usize,
    ) -> Result<Self> {
        let opened = async {
            let queue = Arc::new(Queue::open(broker.clone(), connection, queue, prefetch).await?);
            let cancellable = Arc::<Cancellable>::default();
            let replies = Replies::open(broker, &queue.connection, Arc::clone(&cancellable)).await;
            let replies =
                replies.map_err(|error| broker.failed("send replies (to the exchange amq.default)", &error))?;
            let requests = Requests::consume(Arc::clone(&queue)).await?;
            Ok(Self { queue, requests, replies, cancellable })
        };
        timeout(CONNECT_TIME, opened).await.unwrap_or_else(|_| Err(broker.closed("no reply within 5 s")))
    }
}

/// The service as the calls of one message reach it. What may have run is rejected first: any other error would say that it has not.
type ForMessage<S> = AtMostOnce<Delivered<PerConnection<S>>>;

/// What the calls of a connection share.
struct Connection<S> {
    service: Arc<PerConnection<S>>,
    budget: Arc<Budget>,
    queue: Arc<Queue>,
    replies: Replies,
    callers: Callers,
    cancellable: Arc<Cancellable>,
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
    let Subscription { queue, mut requests, replies, cancellable } = subscription;
    let connection = Arc::new(Connection {
        service: Arc::new(PerConnection::new(service, Waiting::new(&budget))),
        long_calls: Semaphore::new(budget.limits().calls_in_flight.min(Semaphore::MAX_PERMITS)),
        budget,
        queue,
        replies,
        callers: Callers::default(),
        cancellable,
    });
    let mut calls = JoinSet::new();
    let probe = Probe::new(connection.queue.broker.clone(), "everywire server: long calls");
    let looking = connection.callers.look(&probe);
    tokio::pin!(looking);
    loop {
        tokio::select! {
            delivery = requests.next() => begin(&connection, delivery?, &mut calls)?,
            Some(ended) = calls.join_next() => finished(ended)?,
            never = &mut looking => match never {},
            () = shutdown.cancelled() => break,
        }
    }
    for delivery in requests.end().await? {
        begin(&connection, delivery, &mut calls)?;
    }
    while let Some(ended) = calls.join_next().await {
        finished(ended)?;
    }
    let closed = connection.queue.connection.close(REPLY_SUCCESS, "the server is shutting down".into()).await;
    closed.map_err(|error| connection.queue.broker.lost(&error))
}

/// Begins a call. Calls begin in the order of their messages; one that has to wait continues as a task among `calls`.
fn begin<S: Service>(
    connection: &Arc<Connection<S>>,
    delivery: Delivery,
    calls: &mut JoinSet<Result<()>>,
) -> Result<()> {
    let connection = Arc::clone(connection);
    let mut call = Box::pin(async move { connection.serve(delivery).await });
    if let Some(ended) = call.as_mut().now_or_never() {
        return ended;
    }
    calls.spawn(call);
    Ok(())
}

impl<S: Service> Connection<S> {
    /// Replies to one message and acknowledges it.
    async fn serve(&self, delivery: Delivery) -> Result<()> {
        self.answer(delivery).await.map_err(|error| self.queue.broker.lost(&error))
    }

    async fn answer(&self, delivery: Delivery) -> lapin::Result<()> {
        let caller = delivery.properties.reply_to().as_ref();
        let receipt = Receipt::of(&self.queue.channel, delivery.delivery_tag);
        if self.cancellable.is_cancelled_early(&delivery.properties) {
            return receipt.send().await;
        }
        let service = Delivered { service: Arc::clone(&self.service), waits: Notify::new() };
        let service = AtMostOnce::new(service);
        let reply = tokio::select! {
            biased;
            reply = self.reply(&service, &delivery, &receipt) => reply?,
            failed = self.acknowledge_early(&service.get_ref().waits, &delivery, &receipt) => return failed,
            () = self.callers.gone(caller) => None,
            () = self.cancellable.cancelled(&delivery.properties) => None,
        };
        if let (Some(caller), Some(reply)) = (caller, reply) {
            self.replies.send(&self.queue.connection, caller, &reply, envelope::reply_to(&delivery)).await?;
        }
        receipt.send().await
    }

    /// The body of the reply, if there is to be one. One of many items is sent here.
    async fn reply(
        &self,
        service: &ForMessage<S>,
        delivery: &Delivery,
        receipt: &Receipt<'_>,
    ) -> lapin::Result<Option<Bytes>> {
        let (length, deadline) = (delivery.data.len(), context::deadline(&delivery.properties));
        if length > self.budget.limits().message_bytes {
            let error = self.budget.exceeded(Limit::MessageBytes, format_args!("a request of {length} bytes"));
            return Ok(Some(rejection(&error).into()));
        }
        if let Some(error) = envelope::unreadable(&delivery.properties, &self.budget) {
            return Ok(Some(rejection(&error).into()));
        }
        let body = match envelope::decoded(delivery, &self.budget) {
            Ok(body) => body,
            Err(error) => return Ok(Some(rejection(&error).into())),
        };
        let body = body.as_ref().map_or(&delivery.data[..], |body| &body.bytes);
        let message = Message { service, budget: &self.budget, delivery, deadline, items: Mutex::default() };
        let reply = answer_at(&message, body).await.map(Bytes::from);
        if let Some(items) = message.items.into_inner().unwrap_or_else(PoisonError::into_inner) {
            // The futures of the AMQP library are large, and few calls have this one.
            Box::pin(self.send_items(items, delivery, receipt)).await?;
        }
        Ok(reply)
    }

    async fn send_items(&self, items: ReplyItems, delivery: &Delivery, receipt: &Receipt<'_>) -> lapin::Result<()> {
        // A request whose reply has begun is never delivered again, so no other server begins it once more.
        receipt.send().await?;
        let Some(caller) = delivery.properties.reply_to() else { return Ok(()) };
        let can_be_granted = self.replies.have_address();
        let mut parts = Parts::open(items, &self.cancellable.streams, delivery, can_be_granted, &self.budget);
        while let Some((body, properties)) = parts.next().await {
            self.replies.send(&self.queue.connection, caller, body.as_ref(), properties).await?;
        }
        Ok(())
    }

    /// Acknowledges a message once its call waits or has taken long. Completes only if that fails.
    async fn acknowledge_early(&self, waits: &Notify, delivery: &Delivery, receipt: &Receipt<'_>) -> lapin::Result<()> {
        let mut reservation = self.budget.reserve();
        let _permit = tokio::select! {
            () = waits.notified() => None,
            permit = async {
                sleep(LONG).await;
                self.long_calls.acquire().await
            } => {
                // If the budget has no room for it, it stays unacknowledged, so the broker sends fewer requests.
                if reservation.try_resize(envelope::bytes(delivery)).is_err() {
                    return pending().await;
                }
                permit.ok()
            }
        };
        receipt.send().await?;
        pending().await
    }
}

/// The outcome of a call's task, which does not panic, since `dispatch` doesn't.
fn finished(ended: std::result::Result<Result<()>, JoinError>) -> Result<()> {
    ended.unwrap_or_else(|panic| {
        tracing::error!(%panic, "a call has no reply");
        Ok(())
    })
}
