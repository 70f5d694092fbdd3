//! Addresses of direct reply-to that no broker made.

use base64::{Engine, prelude::BASE64_STANDARD};
use lapin::BasicProperties;
use serde_json::json;

use super::{
    raw::{Raw, next},
    *,
};

const PREFIX: &str = "amq.rabbitmq.reply-to";

/// The channel in an address, as RabbitMQ encodes it: the name of a node, and three numbers.
#[derive(Clone)]
struct ChannelName {
    node: Vec<u8>,
    numbers: [u32; 3],
}

impl ChannelName {
    /// The channel of a connection, and its key.
    async fn of(raw: &mut Raw) -> (Self, String) {
        let queue = new_queue();
        let mut requests = raw.requests(&queue).await;
        raw.send(&queue, b"", BasicProperties::default().with_reply_to(PREFIX.into())).await;
        let address = next(&mut requests).await.properties.reply_to().clone().unwrap().to_string();
        let (channel, key) = address[PREFIX.len() + 1..].split_once('.').unwrap();
        let channel = BASE64_STANDARD.decode(channel).unwrap();
        let (head, rest) = channel.split_at(5);
        let [131, 88, 118, high, low] = head else { panic!("{}", channel.escape_ascii()) };
        let (node, numbers) = rest.split_at(usize::from(*high) << 8 | usize::from(*low));
        let number = |index: usize| u32::from_be_bytes(*numbers[4 * index..].first_chunk().unwrap());
        (Self { node: node.into(), numbers: [number(0), number(1), number(2)] }, key.to_owned())
    }

    fn encode(&self) -> String {
        let length = u16::try_from(self.node.len()).unwrap().to_be_bytes();
        let numbers = self.numbers.map(u32::to_be_bytes).concat();
        BASE64_STANDARD.encode([&[131, 88, 118], &length[..], &self.node, &numbers].concat())
    }
}

/// Names of channels that are not there, cannot be decoded, or are something else.
fn made_up(channel: &ChannelName) -> Vec<String> {
    let with_node = |node: &[u8]| ChannelName { node: node.into(), ..channel.clone() }.encode();
    let with_number = |index: usize, number| {
        let mut other = channel.clone();
        other.numbers[index] = number;
        other.encode()
    };
    let other_node =
        channel.node.iter().map(|byte| if byte.is_ascii_digit() { b'1' } else { *byte }).collect::<Vec<_>>();
    vec![
        with_node(b"reply@1"),
        with_node(b"reply@x"),
        with_node(b"reply"),
        with_node(b"rabbit@nowhere"),
        with_node(&other_node),
        with_node(&[0xFF; 8]),
        with_node(&[b'x'; 120]),
        // The first process of each node, which never answers.
        with_number(0, 0),
        with_number(0, 0x7FFF),
        with_number(0, 0x8000),
        with_number(0, u32::MAX),
        with_number(1, 7),
        with_number(1, 0x1FFF),
        with_number(1, 0x2000),
        with_number(1, u32::MAX),
        with_number(2, 7),
        BASE64_STANDARD.encode([131, 97, 5]),
        BASE64_STANDARD.encode([131, 80, 0xFF, 0xFF, 0xFF, 0xFF, 1]),
        BASE64_STANDARD.encode([131, 88, 118]),
        BASE64_STANDARD.encode([0]),
        channel.encode() + "=",
        channel.encode().replace('=', ""),
        "g1h2".to_owned(),
        "x".to_owned(),
        "-_".to_owned(),
        "=".to_owned(),
        "~".to_owned(),
        "é".repeat(50),
        String::new(),
    ]
}

/// Addresses with these channels and some others.
fn addresses(channels: &[String], key: &str) -> Vec<String> {
    let of_channels = channels.iter().map(|channel| format!("{PREFIX}.{channel}.{key}"));
    let others = [".", ".x", "..", ".x.", ".x.y.z", ".x.\u{301}y", "x", "x.y.z"].map(|end| format!("{PREFIX}{end}"));
    of_channels.chain(others).collect()
}

async fn send(raw: &Raw, queue: &str, method: &str, params: serde_json::Value, reply_to: &str) {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    raw.send(queue, body.as_bytes(), BasicProperties::default().with_reply_to(reply_to.into())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_to_made_up_addresses_end_no_calls_of_others() {
    needs!(RabbitMq);
    let running = Running::start().await;
    let client = running.client().await;
    let waiting = running.client().await;
    let waits = tokio::spawn(async move { waiting.until_told().await });
    running.waiting(1).await;
    let mut raw = Raw::connect(&running.url, true).await;
    let (channel, key) = ChannelName::of(&mut raw).await;
    let since = Instant::now();
    let addresses = addresses(&made_up(&channel), &key);
    for (count, address) in (1..).zip(&addresses) {
        send(&raw, &running.queue, "count", json!([]), address).await;
        until("the call has run", async || running.counted() == count).await;
        assert_eq!(client.add(3, 4).await, Ok(7), "{address}");
        assert_eq!(running.client().await.add(3, 4).await, Ok(7), "{address}");
        assert_eq!(running.real.waiting.load(SeqCst), 1, "the connection was lost: {address}");
    }
    println!("{} addresses took {:?}", addresses.len(), since.elapsed());
    // Each costs a connection, and a new caller at a known node does not wait for that.
    let new = running.client().await;
    for node in 0..256 {
        let channel = ChannelName { node: format!("reply@{node}").into(), ..channel.clone() }.encode();
        send(&raw, &running.queue, "count", json!([]), &format!("{PREFIX}.{channel}.{key}")).await;
    }
    let since = Instant::now();
    assert_eq!(new.add(3, 4).await, Ok(7));
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
    assert_eq!(raw.ask(&running.queue, raw::ADD).await.data, br#"{"jsonrpc":"2.0","id":1,"result":7}"#);
    assert_eq!(client.tell().await, Ok(()));
    assert_eq!(waits.await.unwrap(), Ok(()), "the connection was never lost");
    running.stop.cancel();
    let since = Instant::now();
    until("the end of the server", async || running.serving.is_finished()).await;
    println!("256 made-up nodes took {:?}", since.elapsed());
    assert_eq!(raw.messages(&running.queue).await, 0, "nothing came back to the queue");
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_for_callers_at_made_up_addresses_ends_no_calls_of_others() {
    needs!(RabbitMq);
    let running = Running::start().await;
    let client = running.client().await;
    let waiting = running.client().await;
    let waits = tokio::spawn(async move { waiting.until_told().await });
    running.waiting(1).await;
    let mut raw = Raw::connect(&running.url, true).await;
    let (channel, key) = ChannelName::of(&mut raw).await;
    let mut addresses = addresses(&made_up(&channel), &key);
    // The broker cuts the text about it after 252 bytes.
    addresses.extend(["é".repeat(120), format!("x{}", "é".repeat(120)), "nobody's".to_owned()]);
    let leaving = Raw::connect(&running.url, true).await;
    send(&leaving, &running.queue, "wait", json!([600_000]), PREFIX).await;
    for address in &addresses {
        send(&raw, &running.queue, "wait", json!([600_000]), address).await;
    }
    running.waiting(2 + addresses.len()).await;
    leaving.close().await;
    let since = Instant::now();
    // The processes of the broker that never answer are taken for callers that are there.
    until("the callers that left", async || running.real.waiting.load(SeqCst) <= 2).await;
    println!("it took {:?}; {} wait", since.elapsed(), running.real.waiting.load(SeqCst));
    assert_eq!(client.tell().await, Ok(()));
    assert_eq!(waits.await.unwrap(), Ok(()), "the connection was never lost");
    assert_eq!(running.client().await.add(3, 4).await, Ok(7));
}
