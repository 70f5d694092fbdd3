//! Messages that are made to break their receiver, sent frame by frame, because no library sends them.

use lapin::{
    options::{QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable, ShortString},
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    raw::{ADD, Raw, next},
    *,
};

/// The longest frame that RabbitMQ takes.
const FRAME: usize = 128 << 10;

/// A publisher that is logged in and has channel 1.
struct Publisher(TcpStream);

impl Publisher {
    async fn connect(url: &str) -> Self {
        let stream = TcpStream::connect(url.strip_prefix("amqp://").unwrap()).await.unwrap();
        let mut publisher = Self(stream);
        publisher.0.write_all(b"AMQP\0\0\x09\x01").await.unwrap();
        publisher.receive([10, 10]).await;
        publisher.send(1, 0, b"\0\x0A\0\x0B\0\0\0\0\x05PLAIN\0\0\0\x0C\0guest\0guest\x05en_US").await;
        publisher.receive([10, 30]).await;
        publisher.send(1, 0, b"\0\x0A\0\x1F\0\x10\0\x02\0\0\0\0").await;
        publisher.send(1, 0, b"\0\x0A\0\x28\x01/\0\0").await;
        publisher.receive([10, 41]).await;
        publisher.send(1, 1, b"\0\x14\0\x0A\0").await;
        publisher.receive([20, 11]).await;
        publisher
    }

    async fn send(&mut self, kind: u8, channel: u8, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let frame = [&[kind, 0, channel], &length[..], payload, &[0xCE]].concat();
        self.0.write_all(&frame).await.unwrap();
    }

    /// Waits for a method of this class and number.
    async fn receive(&mut self, method: [u8; 2]) {
        loop {
            let mut head = [0; 7];
            timeout(DEADLINE, self.0.read_exact(&mut head)).await.unwrap().unwrap();
            let length = u32::from_be_bytes(*head.last_chunk().unwrap());
            let mut payload = vec![0; usize::try_from(length).unwrap() + 1];
            self.0.read_exact(&mut payload).await.unwrap();
            if payload.starts_with(&[0, method[0], 0, method[1]]) {
                return;
            }
            assert!(head[0] != 1, "{}", payload.escape_ascii());
        }
    }

    /// Sends a message and waits until the broker has it. `properties` begin with their flags.
    async fn publish(&mut self, (exchange, key): (&str, &[u8]), properties: &[u8], body: &[u8]) {
        let (exchange, key) = (short(exchange.as_bytes()), short(key));
        self.send(1, 1, &[b"\0\x3C\0\x28\0\0", &exchange[..], &key, b"\0"].concat()).await;
        let length = (body.len() as u64).to_be_bytes();
        self.send(2, 1, &[b"\0\x3C\0\0", &length[..], properties].concat()).await;
        self.send(3, 1, body).await;
        // `channel.flow` is answered in order.
        self.send(1, 1, b"\0\x14\0\x14\x01").await;
        self.receive([20, 21]).await;
    }
}

fn short(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text].concat()
}

/// The value of a header: a table or an array with one of the same in it, and so on, as often as the frame has room for.
fn nested(kind: u8) -> Vec<u8> {
    // Each entry of a table has a name, here an empty one.
    let level = if kind == b'F' { 6 } else { 5 };
    let mut bytes = Vec::new();
    for inner in (0..(FRAME - 200) / level).rev() {
        let length = u32::try_from(inner * level).unwrap().to_be_bytes();
        bytes.extend([&[0][..level - 5], &[kind], &length].concat());
    }
    bytes.split_off(level - 5)
}

/// Properties with one header, the correlation id `id`, and a `reply_to`.
fn properties(name: &[u8], value: &[u8], reply_to: &ShortString) -> Vec<u8> {
    let table = [&short(name), value].concat();
    let length = u32::try_from(table.len()).unwrap().to_be_bytes();
    [b"\x26\0", &length[..], &table, b"\x02id", &short(reply_to.as_str().as_bytes())].concat()
}

/// Each message comes again after a reconnect, so the server has to survive it and to be done with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_lapin_can_not_read_is_answered_and_others_are_served() {
    needs!(RabbitMq);
    let running = Running::start().await;
    let client = running.client().await;
    let (wait, other) = (running.known().await, running.client().await);
    let waits = tokio::spawn(async move { wait.until_told().await });
    running.waiting(1).await;
    let mut raw = Raw::connect(&running.url, false).await;
    let mut publisher = Publisher::connect(&running.url).await;
    let cases: [(&[u8], Vec<u8>, &str, &str); 5] = [
        (b"x", nested(b'F'), "RESOURCE_EXHAUSTED", "the headers nest more than 64 levels deep"),
        (b"x", nested(b'A'), "RESOURCE_EXHAUSTED", "the headers nest more than 64 levels deep"),
        (b"\xFF", b"V".into(), "INVALID_ARGUMENT", "not UTF-8"),
        (b"everywire-unreadable", b"B\0".into(), "RESOURCE_EXHAUSTED", "nest more than"),
        (b"everywire-unreadable", b"B\xFF".into(), "INVALID_ARGUMENT", "not UTF-8"),
    ];
    for (name, value, code, text) in cases {
        let properties = properties(name, &value, &raw.answers);
        publisher.publish(("", running.queue.as_bytes()), &properties, ADD.as_bytes()).await;
        let answer = next(&mut raw.consumer).await;
        assert_eq!(answer.properties.correlation_id().as_ref().unwrap().as_str(), "id");
        let answer: Value = serde_json::from_slice(&answer.data).unwrap();
        assert_eq!(answer["error"]["data"]["code"], code, "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(text), "{answer}");
        assert_eq!(client.add(3, 4).await, Ok(7), "{}", name.escape_ascii());
    }
    // A queue that is bound to an exchange gets messages with any routing key.
    let (bind, queue) = (QueueBindOptions::default(), ShortString::from(running.queue.as_str()));
    raw.channel.queue_bind(queue.clone(), "amq.fanout".into(), "".into(), bind, FieldTable::default()).await.unwrap();
    publisher.publish(("amq.fanout", b"\xFF"), &properties(b"x", b"V", &raw.answers), ADD.as_bytes()).await;
    assert_eq!(next(&mut raw.consumer).await.data, br#"{"jsonrpc":"2.0","id":1,"result":7}"#);
    // The broker adds headers to a message whose time in another queue is over, and does not ask whether they still fit.
    let mut arguments = FieldTable::default();
    arguments.insert("x-message-ttl".into(), 0.into());
    arguments.insert("x-dead-letter-exchange".into(), AMQPValue::LongString("".into()));
    arguments.insert("x-dead-letter-routing-key".into(), AMQPValue::LongString(running.queue.as_str().into()));
    let dead = new_queue();
    raw.channel.queue_declare(dead.clone().into(), QueueDeclareOptions::default(), arguments).await.unwrap();
    let long = u32::try_from(FRAME - 100).unwrap();
    let long = [b"S", &long.to_be_bytes()[..], &vec![b'x'; FRAME - 100]].concat();
    publisher.publish(("", dead.as_bytes()), &properties(b"x", &long, &raw.answers), ADD.as_bytes()).await;
    assert_eq!(client.add(3, 4).await, Ok(7));
    assert_eq!(other.tell().await, Ok(()));
    assert_eq!(waits.await.unwrap(), Ok(()), "the connection was never lost");
    running.stop.cancel();
    until("the end of the server", async || running.serving.is_finished()).await;
    assert_eq!(raw.messages(&running.queue).await, 0, "nothing came back to the queue");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_lapin_can_not_read_is_a_response() {
    needs!(RabbitMq);
    let (url, queue) = (&shared_broker().await.url, new_queue());
    let raw = Raw::connect(url, true).await;
    let mut requests = raw.requests(&queue).await;
    let client = DemoClient::new(Client::connect(url).await.unwrap().queue(&queue));
    let mut server = Publisher::connect(url).await;
    for kind in [b'F', b'A'] {
        let answering = async {
            let request = next(&mut requests).await.properties;
            let (id, reply_to) = (request.correlation_id().clone().unwrap(), request.reply_to().clone().unwrap());
            let table = [b"\x01x", &nested(kind)[..]].concat();
            let length = u32::try_from(table.len()).unwrap().to_be_bytes();
            let properties = [b"\x24\0", &length[..], &table, &short(id.as_str().as_bytes())].concat();
            let body = br#"{"jsonrpc":"2.0","id":1,"result":7}"#;
            server.publish(("", reply_to.as_str().as_bytes()), &properties, body).await;
        };
        let (answer, ()) = tokio::join!(client.add(3, 4), answering);
        assert_eq!(answer, Ok(7));
    }
}
