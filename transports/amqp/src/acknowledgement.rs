//! The acknowledgement of one message, and which of its calls wait.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use everywire_core::{
    Service,
    descriptor::{Method, Services},
    wire::Call,
};
use lapin::{Channel, options::BasicAckOptions, types::DeliveryTag};
use tokio::sync::Notify;

/// A service for the calls of one message.
pub(crate) struct Delivered<S> {
    pub(crate) service: Arc<S>,
    /// Notified when a call of it waits.
    pub(crate) waits: Notify,
}

impl<S: Service> Service for Delivered<S> {
    fn services(&self) -> &Services {
        self.service.services()
    }

    async fn dispatch<C: Call>(&self, method: &'static Method, call: &mut C) -> C::Reply {
        if method.waits() {
            self.waits.notify_one();
        }
        self.service.dispatch(method, call).await
    }
}

/// The acknowledgement of one message, which is sent once.
pub(crate) struct Receipt<'a> {
    channel: &'a Channel,
    tag: DeliveryTag,
    is_sent: AtomicBool,
}

impl<'a> Receipt<'a> {
    pub(crate) fn of(channel: &'a Channel, tag: DeliveryTag) -> Self {
        Self { channel, tag, is_sent: AtomicBool::new(false) }
    }

    /// Sends it unless it was sent already. Once this has been polled, the acknowledgement is sent even if this is dropped.
    pub(crate) async fn send(&self) -> lapin::Result<()> {
        if self.is_sent.swap(true, Relaxed) {
            return Ok(());
        }
        self.channel.basic_ack(self.tag, BasicAckOptions::default()).await
    }
}
