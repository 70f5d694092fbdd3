//! The stream of requests from a queue.

use std::{pin::Pin, sync::Arc};

use everywire_core::{Result, RpcError};
use futures_util::StreamExt;
use lapin::{Consumer, message::Delivery, options::BasicCancelOptions};
use tokio::time::sleep;

use crate::{outage::Outage, queue::Queue};

/// The requests from a queue, until the channel is lost. When the queue is deleted, the broker ends the subscription; a new one
/// is made, and the calls in flight go on.
pub(crate) struct Requests {
    queue: Arc<Queue>,
    source: Source,
    outage: Outage,
}

type Consuming = Pin<Box<dyn Future<Output = Result<(Consumer, Outage)>> + Send>>;

enum Source {
    Consumer(Consumer),
    /// A new consumer is being made. Kept here so that a dropped [`Requests::next`] loses nothing.
    Consuming(Consuming),
}

impl Requests {
    pub(crate) async fn consume(queue: Arc<Queue>) -> Result<Self> {
        let source = Source::Consumer(queue.consume().await?);
        Ok(Self { queue, source, outage: Outage::of("the queue of requests") })
    }

    /// The next request. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Delivery> {
        loop {
            match &mut self.source {
                Source::Consumer(consumer) => match consumer.next().await {
                    Some(delivery) => return delivery.map_err(|error| self.queue.broker.lost(&error)),
                    None if self.queue.channel.status().connected() => {
                        let consuming = consume_again(Arc::clone(&self.queue), self.outage.clone());
                        self.source = Source::Consuming(Box::pin(consuming));
                    }
                    None => return Err(self.queue.broker.closed("the channel of requests is closed")),
                },
                Source::Consuming(consuming) => {
                    let (consumer, outage) = consuming.await?;
                    (self.source, self.outage) = (Source::Consumer(consumer), outage);
                }
            }
        }
    }

    /// Ends the subscription, and returns the requests that have arrived by then. If they were left to the broker, it would
    /// deliver them as redelivered.
    pub(crate) async fn end(self) -> Result<Vec<Delivery>> {
        let Source::Consumer(mut consumer) = self.source else { return Ok(Vec::new()) };
        let broker = &self.queue.broker;
        let cancelled = self.queue.channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await;
        cancelled.map_err(|error| broker.lost(&error))?;
        let mut rest = Vec::new();
        while let Some(delivery) = consumer.next().await {
            rest.push(delivery.map_err(|error| broker.lost(&error))?);
        }
        Ok(rest)
    }
}

/// Tries to consume the queue again until that works or the channel is lost.
async fn consume_again(queue: Arc<Queue>, mut outage: Outage) -> Result<(Consumer, Outage)> {
    let text =
        format!("the broker ended the subscription to the queue `{}`, as it does to one that is deleted", queue.name);
    let mut error = RpcError::unavailable(text);
    loop {
        sleep(outage.failed(&error)).await;
        error = match queue.consume().await {
            Ok(consumer) => {
                outage.over();
                return Ok((consumer, outage));
            }
            Err(error) if queue.channel.status().connected() => error,
            Err(error) => return Err(error),
        };
    }
}
