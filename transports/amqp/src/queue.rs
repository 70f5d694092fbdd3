//! The queue of requests, seen from one connection.

use everywire_core::{Result, RpcError};
use lapin::{
    Channel, Connection, Consumer, Error,
    options::{BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions},
    protocol::{AMQPErrorKind, AMQPSoftError},
    types::{AMQPValue, FieldTable, LongInt, ShortString},
};

use crate::{broker::Broker, fault::rejection};

/// Requests that wait in the queue; the broker rejects more.
const WAITING_REQUESTS: LongInt = 65_536;

/// Bytes of their bodies.
const WAITING_BYTES: LongInt = 256 << 20;

/// The queue of requests.
pub(crate) struct Queue {
    pub(crate) broker: Broker,
    pub(crate) name: ShortString,
    pub(crate) connection: Connection,
    /// Requests arrive on it, and acknowledgements leave.
    pub(crate) channel: Channel,
}

/// Whether there is a queue.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Here,
    /// It exists, exclusive to another connection. The broker logs each look at it as an error.
    Locked,
    Missing,
    /// There was no answer.
    Unknown,
}

impl Queue {
    /// Opens the channel, on which at most `prefetch` requests are unacknowledged.
    pub(crate) async fn open(
        broker: Broker,
        connection: Connection,
        name: ShortString,
        prefetch: usize,
    ) -> Result<Self> {
        let channel = connection.create_channel().await.map_err(|error| broker.lost(&error))?;
        let prefetch = u16::try_from(prefetch).unwrap_or(u16::MAX);
        channel.basic_qos(prefetch, BasicQosOptions::default()).await.map_err(|error| broker.lost(&error))?;
        Ok(Self { broker, name, connection, channel })
    }

    /// Begins to consume the queue, and declares it first if it is missing. It looks before it declares, because a user may have
    /// the right to read a queue and not to declare it.
    pub(crate) async fn consume(&self) -> Result<Consumer> {
        let looked = async { look(self.connection.create_channel().await?, &self.name).await }.await;
        if looked.map_err(|error| self.failed("look for", &error))? == Presence::Missing {
            let declared = declare(&self.connection, &self.name).await;
            declared.map_err(|error| self.failed("declare the missing", &error))?;
        }
        let (tag, options) = (ShortString::default(), BasicConsumeOptions::default());
        let consumed = self.channel.basic_consume(self.name.clone(), tag, options, FieldTable::default()).await;
        consumed.map_err(|error| self.failed("read from the", &error))
    }

    fn failed(&self, act: &str, error: &Error) -> RpcError {
        self.broker.failed(format_args!("{act} queue `{}`", self.name), error)
    }
}

/// Whether there is a queue of this name. A name of direct reply-to counts as one while its caller is there. Takes a channel of
/// its own, because the broker closes it if there is no such queue.
pub(crate) async fn look(channel: Channel, queue: &ShortString) -> lapin::Result<Presence> {
    use AMQPSoftError::{NOTFOUND, RESOURCELOCKED};
    let passive = QueueDeclareOptions::default().passive();
    match channel.queue_declare(queue.clone(), passive, FieldTable::default()).await {
        Ok(_) => Ok(Presence::Here),
        Err(error) => match rejection(&error) {
            Some(AMQPErrorKind::Soft(NOTFOUND)) => Ok(Presence::Missing),
            Some(AMQPErrorKind::Soft(RESOURCELOCKED)) => Ok(Presence::Locked),
            _ => Err(error),
        },
    }
}

/// Declares the queue of requests: durable, bounded, and rejecting new messages when full rather than dropping the oldest. If
/// it has been declared in the meantime with other settings, it is used as it is.
async fn declare(connection: &Connection, queue: &ShortString) -> lapin::Result<()> {
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), WAITING_REQUESTS.into());
    arguments.insert("x-max-length-bytes".into(), WAITING_BYTES.into());
    arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    let channel = connection.create_channel().await?;
    match channel.queue_declare(queue.clone(), QueueDeclareOptions::durable(), arguments).await {
        Err(error) if matches!(rejection(&error), Some(AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED))) => {
            Ok(())
        }
        declared => declared.map(drop),
    }
}
