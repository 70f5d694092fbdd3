//! The channel on which replies are sent.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Connection, Consumer, Error, ErrorKind, Result,
    options::{BasicConsumeOptions, BasicPublishOptions, BasicQosOptions},
    types::{FieldTable, ShortString},
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    addresses::Addresses,
    broker::Broker,
    cancel::Cancellable,
    envelope::{self, DIRECT_REPLY_TO},
};

/// How often a channel is opened until the broker says why it closes it.
const TRIES: usize = 5;

/// Sends replies. The broker closes the channel of a message that it rejects, so replies don't share one with requests.
pub(crate) struct Replies {
    channel: Mutex<Arc<ReplyChannel>>,
    /// Held while a new channel is opened.
    opening: tokio::sync::Mutex<()>,
    calls: Arc<Cancellable>,
    addresses: Box<Addresses>,
}

/// The channel of replies, and of the cancellations and the credit that callers send back.
struct ReplyChannel {
    channel: Channel,
    /// Reads what they send back. Without it the channel has no address.
    reader: Option<AbortOnDropHandle<()>>,
}

impl Replies {
    /// Opens the channel, on which `calls` can be cancelled. An error if the user has no right to send replies.
    pub(crate) async fn open(broker: &Broker, connection: &Connection, calls: Arc<Cancellable>) -> Result<Self> {
        let channel = Mutex::new(open(connection, &calls).await?);
        let addresses = Box::new(Addresses::new(broker.clone()));
        Ok(Self { channel, opening: tokio::sync::Mutex::default(), calls, addresses })
    }

    /// Sends a reply to the queue `caller`, and waits until it is sent. If the broker has closed the channel because of an
    /// earlier reply, opens a new one. Drops a reply to an address at which the broker would close the connection.
    pub(crate) async fn send(
        &self,
        connection: &Connection,
        caller: &ShortString,
        reply: &[u8],
        properties: BasicProperties,
    ) -> Result<()> {
        if !self.addresses.is_safe(caller).await {
            tracing::debug!(%caller, "dropped a reply to an address that may be made up");
            return Ok(());
        }
        let channel = self.current();
        match publish(&channel, caller, reply, properties.clone()).await {
            Err(_) if connection.status().connected() => {
                publish(&*self.instead_of(&channel, connection).await?, caller, reply, properties).await
            }
            sent => sent,
        }
    }

    /// Whether callers can send something back.
    pub(crate) fn have_address(&self) -> bool {
        self.current().reader.is_some()
    }

    fn current(&self) -> Arc<ReplyChannel> {
        Arc::clone(&self.channel.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The channel that replaces `closed`: the same one for all calls that find it closed.
    async fn instead_of(&self, closed: &Arc<ReplyChannel>, connection: &Connection) -> Result<Arc<ReplyChannel>> {
        let _opening = self.opening.lock().await;
        let current = self.current();
        if !Arc::ptr_eq(&current, closed) {
            return Ok(current);
        }
        tracing::warn!("AMQP: the broker rejected a reply and closed the channel of replies; opening another");
        let opened = open(connection, &self.calls).await?;
        *self.channel.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&opened);
        Ok(opened)
    }
}

/// Opens a channel that has an address for cancellations; or one without, if the broker has no such addresses.
async fn open(connection: &Connection, calls: &Arc<Cancellable>) -> Result<Arc<ReplyChannel>> {
    let channel = open_channel(connection).await?;
    let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
    let consumed =
        channel.basic_consume(DIRECT_REPLY_TO.into(), ShortString::default(), options, FieldTable::default());
    let opened = match consumed.await {
        Ok(messages) => {
            let reader = tokio::spawn(read(messages, Arc::clone(calls)));
            ReplyChannel { channel, reader: Some(AbortOnDropHandle::new(reader)) }
        }
        Err(error) => {
            tracing::debug!(%error, "callers can't cancel calls: the broker has no direct reply-to");
            ReplyChannel { channel: open_channel(connection).await?, reader: None }
        }
    };
    Ok(Arc::new(opened))
}

/// Opens a channel on which the user has the right to send replies; an error with the broker's reason if it has none.
async fn open_channel(connection: &Connection) -> Result<Channel> {
    for _ in 1..TRIES {
        match try_channel(connection).await {
            // The broker's rejection came before the request that fails with its reason.
            Err(error) if is_closed(&error) && connection.status().connected() => {}
            opened => return opened,
        }
    }
    try_channel(connection).await
}

fn is_closed(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidChannelState(..))
}

/// Opens a channel and sends a message to no queue on it. If the broker rejects that, the next request on the channel fails.
async fn try_channel(connection: &Connection) -> Result<Channel> {
    let channel = connection.create_channel().await?;
    let (nowhere, options) = (ShortString::default(), BasicPublishOptions::default());
    channel.basic_publish(nowhere.clone(), nowhere, options, b"", BasicProperties::default()).await?;
    channel.basic_qos(0, BasicQosOptions::default()).await?;
    Ok(channel)
}

/// Receives the messages sent to the channel's address, until the channel is closed.
async fn read(mut messages: Consumer, calls: Arc<Cancellable>) {
    while let Some(Ok(message)) = messages.next().await {
        calls.receive(&message.properties);
    }
}

async fn publish(to: &ReplyChannel, caller: &ShortString, reply: &[u8], mut properties: BasicProperties) -> Result<()> {
    let ReplyChannel { channel, reader } = to;
    let is_address = envelope::is_address(caller);
    if is_address && reader.is_some() {
        properties = properties.with_reply_to(DIRECT_REPLY_TO.into());
    }
    // An address is not a queue, so the broker returns a `mandatory` reply to one although it has delivered it.
    let options = BasicPublishOptions { mandatory: !is_address, ..Default::default() };
    // lapin sends acknowledgements before messages, so this waits until the reply is sent.
    channel.basic_publish(ShortString::default(), caller.clone(), options, reply, properties).await?;
    // Replies whose callers are gone are returned, and lapin keeps them until they are taken.
    for returned in channel.wait_for_confirms().await.into_iter().flatten() {
        tracing::debug!(caller = %returned.delivery.routing_key, "a reply came too late: its caller is gone");
    }
    Ok(())
}
