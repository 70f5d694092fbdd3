//! The channel on which replies are sent.

use std::sync::{Arc, Mutex, PoisonError};

use lapin::{
    BasicProperties, Channel, Connection, Result,
    options::{BasicPublishOptions, BasicQosOptions},
    types::ShortString,
};

use crate::envelope::DIRECT_REPLY_TO;

/// Sends replies. The broker closes the channel of a message that it rejects, so replies don't share one with requests.
pub(crate) struct Replies {
    channel: Mutex<Arc<Channel>>,
    /// Held while a new channel is opened.
    opening: tokio::sync::Mutex<()>,
}

impl Replies {
    /// Opens the channel. An error if the user has no right to send replies.
    pub(crate) async fn open(connection: &Connection) -> Result<Self> {
        let channel = open(connection).await?;
        Ok(Self { channel: Mutex::new(channel), opening: tokio::sync::Mutex::default() })
    }

    /// Sends a reply to the queue `caller`, and waits until it is sent. If the broker has closed the channel because of an
    /// earlier reply, opens a new one.
    pub(crate) async fn send(
        &self,
        connection: &Connection,
        caller: &ShortString,
        reply: &[u8],
        properties: BasicProperties,
    ) -> Result<()> {
        let channel = self.current();
        match publish(&channel, caller, reply, properties.clone()).await {
            Err(_) if connection.status().connected() => {
                publish(&*self.instead_of(&channel, connection).await?, caller, reply, properties).await
            }
            sent => sent,
        }
    }

    fn current(&self) -> Arc<Channel> {
        Arc::clone(&self.channel.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The channel that replaces `closed`: the same one for all calls that find it closed.
    async fn instead_of(&self, closed: &Arc<Channel>, connection: &Connection) -> Result<Arc<Channel>> {
        let _opening = self.opening.lock().await;
        let current = self.current();
        if !Arc::ptr_eq(&current, closed) {
            return Ok(current);
        }
        tracing::warn!("AMQP: the broker rejected a reply and closed the channel of replies; opening another");
        let opened = open(connection).await?;
        *self.channel.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&opened);
        Ok(opened)
    }
}

/// Opens a channel and sends a message to no queue on it. If the broker rejects that, the next request on the channel fails.
async fn open(connection: &Connection) -> Result<Arc<Channel>> {
    let channel = connection.create_channel().await?;
    let (nowhere, options) = (ShortString::default(), BasicPublishOptions::default());
    channel.basic_publish(nowhere.clone(), nowhere, options, b"", BasicProperties::default()).await?;
    channel.basic_qos(0, BasicQosOptions::default()).await?;
    Ok(Arc::new(channel))
}

async fn publish(channel: &Channel, caller: &ShortString, reply: &[u8], properties: BasicProperties) -> Result<()> {
    // The names that the broker makes for direct reply-to begin like this. They are not queues, so it returns a `mandatory`
    // reply although it has delivered it.
    let mandatory = !caller.as_str().starts_with(DIRECT_REPLY_TO);
    let options = BasicPublishOptions { mandatory, ..Default::default() };
    // lapin sends acknowledgements before messages, so this waits until the reply is sent.
    channel.basic_publish(ShortString::default(), caller.clone(), options, reply, properties).await?;
    // Replies whose callers are gone are returned, and lapin keeps them until they are taken.
    for returned in channel.wait_for_confirms().await.into_iter().flatten() {
        tracing::debug!(caller = %returned.delivery.routing_key, "a reply came too late: its caller is gone");
    }
    Ok(())
}
