//! Which addresses of direct reply-to a reply can be sent to.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use lapin::{
    BasicProperties, Channel,
    options::{BasicPublishOptions, BasicQosOptions},
    types::ShortString,
};
use tokio::{
    sync::{OnceCell, Semaphore},
    time::sleep,
};

use crate::{
    broker::Broker,
    envelope::{self, DIRECT_REPLY_TO},
    probe::{Failure, Probe},
};

/// The kinds of channels that are remembered.
const REMEMBERED: usize = 4_096;

/// The kinds that are tried out at a time, one after the other. Replies to more are dropped, or made-up addresses would keep out other
/// requests.
const AT_A_TIME: usize = 16;

/// How often a channel is tried while the broker can't be asked, and the pause in between.
const TRIES: usize = 10;
const PAUSE: Duration = Duration::from_secs(1);

/// The addresses of callers. An address names a channel of the broker and has a key, and anyone can make one up. RabbitMQ 3.10
/// closes the connection that sends to a channel whose name it can't decode, or that is at a node which it does not have. So the first
/// message to each kind of channel is sent on another connection. It has a wrong key, which the broker or the channel ignores.
pub(crate) struct Addresses {
    probe: Probe,
    /// Whether the connection remained, by [`kind`].
    known: Mutex<HashMap<Vec<u8>, Arc<OnceCell<bool>>>>,
    permits: Semaphore,
}

impl Addresses {
    pub(crate) fn new(broker: Broker) -> Self {
        let probe = Probe::new(broker, "everywire server: new callers");
        Self { probe, known: Mutex::default(), permits: Semaphore::new(AT_A_TIME) }
    }

    /// Whether a reply to `caller` leaves the connection open. Always so for a queue.
    pub(crate) async fn is_safe(&self, caller: &ShortString) -> bool {
        let Some(address) = envelope::address(caller) else { return true };
        let Some(channel) = channel(address) else { return false };
        let known = self.known(kind(channel));
        known.get_or_try_init(|| self.try_out(channel)).await.is_ok_and(|is_safe| *is_safe)
    }

    /// Tries `channel` out. An error if that is not possible now.
    async fn try_out(&self, channel: &str) -> Result<bool, Failure> {
        let _permit = self.permits.try_acquire().map_err(|_| Failure::Unavailable)?;
        for _ in 0..TRIES {
            match self.probe.run(|on| send_nothing(on, channel)).await {
                Ok(()) => return Ok(true),
                Err(Failure::Closed) => return Ok(false),
                Err(Failure::Unavailable) => sleep(PAUSE).await,
            }
        }
        tracing::warn!("AMQP: the broker can't be asked about the address of a new caller");
        Err(Failure::Unavailable)
    }

    fn known(&self, kind: Vec<u8>) -> Arc<OnceCell<bool>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED && !known.contains_key(&kind) {
            // Those of honest callers stay, however many are made up.
            known.retain(|_, is_safe| is_safe.get() == Some(&true));
            if known.len() >= REMEMBERED {
                known.clear();
            }
        }
        Arc::clone(known.entry(kind).or_default())
    }
}

/// Sends an empty message to `channel`, and waits until the broker has processed it.
async fn send_nothing(on: Channel, channel: &str) -> lapin::Result<()> {
    let (address, options) = (format!("{DIRECT_REPLY_TO}.{channel}.wrong"), BasicPublishOptions::default());
    on.basic_publish(ShortString::default(), address.into(), options, b"", BasicProperties::default()).await?;
    on.basic_qos(0, BasicQosOptions::default()).await
}

/// The name of the channel in an address: all before the key. Both are base64 in every version of RabbitMQ.
fn channel(address: &str) -> Option<&str> {
    let is_base64 = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=-_".contains(&byte))
    };
    let (channel, key) = address.split_once('.')?;
    (is_base64(channel) && is_base64(key)).then_some(channel)
}

/// What decides whether the name of a channel is safe. RabbitMQ writes a process of Erlang: the name of a node, two numbers of the
/// process, and one of the node's start. The two numbers are left out if they have at most 15 and 13 bits, which every version of Erlang
/// reads. So a new caller at a node of other callers waits for nobody. Any other name is a kind of its own.
fn kind(channel: &str) -> Vec<u8> {
    let standard = channel.replace('-', "+").replace('_', "/");
    let name = BASE64_STANDARD_NO_PAD.decode(standard.trim_end_matches('='));
    let Some(mut kind) = name.ok().and_then(|name| without_numbers(&name)) else { return channel.into() };
    // Which versions of RabbitMQ read it depends also on the last two characters of base64, and on the padding.
    kind.extend([['+', '/'], ['-', '_']].map(|of| u8::from(channel.contains(of))));
    kind.extend(channel.bytes().filter(|byte| *byte == b'='));
    kind
}

/// The name of a process without its two numbers (`NEW_PID_EXT` or `PID_EXT` of the external term format).
fn without_numbers(name: &[u8]) -> Option<Vec<u8>> {
    let before = match name {
        [131, 88 | 103, 100 | 118, high, low, ..] => 5 + usize::from(u16::from_be_bytes([*high, *low])),
        [131, 88 | 103, 115 | 119, length, ..] => 4 + usize::from(*length),
        _ => return None,
    };
    let (node, numbers) = name.split_at_checked(before)?;
    let [0, 0, 0..=0x7F, _, 0, 0, 0..=0x1F, _, start @ ..] = numbers else { return None };
    Some([node, start].concat())
}

#[cfg(test)]
mod tests {
    use base64::prelude::BASE64_STANDARD;

    use super::*;

    #[test]
    fn channels_of_a_node_are_of_one_kind() {
        let name = |node: &str, numbers: [u32; 3]| {
            let numbers = numbers.map(u32::to_be_bytes).concat();
            let length = u8::try_from(node.len()).unwrap();
            BASE64_STANDARD.encode([&[131, 88, 118, 0, length], node.as_bytes(), &numbers].concat())
        };
        let one = name("reply@12", [1, 0, 9]);
        let cases = [
            (name("reply@12", [2, 3, 9]), true),
            (name("reply@12", [0x7FFF, 0x1FFF, 9]), false),
            (name("reply@12", [0x8000, 0, 9]), false),
            (name("reply@12", [1, 0x2000, 9]), false),
            (name("reply@12", [1, 0, 8]), false),
            (name("reply@21", [1, 0, 9]), false),
            (one.trim_end_matches('=').to_owned(), false),
            (format!("{one}="), false),
            (BASE64_STANDARD.encode([BASE64_STANDARD.decode(&one).unwrap(), vec![0]].concat()), false),
        ];
        for (other, is_alike) in cases {
            assert_eq!(kind(&one) == kind(&other), is_alike, "{other}");
        }
        let (one, two) = (name("reply@12", [0x7FFF, 0x1FFF, 9]), name("reply@12", [0x7FFF, 0x1FFE, 9]));
        assert!(one.contains('/') && kind(&one) == kind(&two));
        assert_ne!(kind(&one), kind(&one.replace('/', "_")));
        assert_eq!(kind("g1h-"), b"g1h-");
    }

    #[test]
    fn an_address_is_a_channel_and_a_key() {
        #[rustfmt::skip]
        let cases = [
            ("amq.rabbitmq.reply-to.g1hkAA5yZQ.2+/w==", Some(Some("g1hkAA5yZQ"))),
            ("amq.rabbitmq.reply-to.g1h-_A.2-_w", Some(Some("g1h-_A"))),
            ("amq.rabbitmq.reply-to.g1h", Some(None)),
            ("amq.rabbitmq.reply-to.g1h.", Some(None)),
            ("amq.rabbitmq.reply-to..key", Some(None)),
            ("amq.rabbitmq.reply-to.g1h.key.", Some(None)),
            ("amq.rabbitmq.reply-to.g1h.k y", Some(None)),
            ("amq.rabbitmq.reply-to.g1h.\u{301}key", Some(None)),
            ("amq.rabbitmq.reply-to", None),
            ("amq.rabbitmq.reply-tox", None),
            ("queue", None),
        ];
        for (queue, expected) in cases {
            let queue = ShortString::from(queue);
            assert_eq!(envelope::address(&queue).map(channel), expected, "{queue}");
        }
    }
}
