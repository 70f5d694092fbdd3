//! `amqp URL [CALLS]`: calls per second over a RabbitMQ broker, of everywire's `add` and of an echo by hand on lapin,
//! taking turns. Both have the same queue, durable and bounded, the same properties, prefetch, an acknowledgement
//! behind the answer, direct reply-to, and requests that are mandatory and confirmed, since without either a missing
//! queue goes unnoticed.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use everywire::{Result, RpcError, Server};
use everywire_amqp as amqp;
use everywire_benches::{Echo as _, EchoClient, EchoService, Plain, argument, summary::Figure};
use futures_util::{StreamExt, future::join_all};
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    message::Delivery,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
        QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable, ShortString},
};
use tokio::sync::oneshot;

const QUEUE: &str = "everywire-benches-bounded-echo";
const REPLY_TO: &str = "amq.rabbitmq.reply-to";
const PREFETCH: u16 = 256;
/// Short and many, so that whatever else the machine does falls on both.
const ROUNDS: usize = 100;
/// As long as the request that adds.
const BODY: &[u8] = br#"{"jsonrpc":"2.0","id":1,"method":"add","params":{"a":3,"b":4}}"#;

#[tokio::main]
async fn main() -> Result<()> {
    let url = argument(1, "a URL")?;
    let calls = argument(2, "calls").map_or(Ok(20_000), |text| text.parse());
    let calls = calls.map_err(|_| RpcError::invalid_argument("CALLS is no number"))?;
    tokio::spawn(
        Server::new(EchoService::new(Plain::default()))
            .mount(amqp::Server::connect(&url).await?)
            .serve_until(std::future::pending()),
    );
    let by_hand = Echo::start(&url).await.map_err(|error| RpcError::unavailable(error.to_string()))?;
    let adder = EchoClient::new(amqp::Client::connect(&url).await?);
    while adder.add(3, 4).await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for in_flight in [1, 64] {
        let calls = (if in_flight == 1 { calls / 10 } else { calls }) / ROUNDS;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            theirs
                .push(rate(calls, in_flight, async || assert_eq!(by_hand.call().await.expect("an echo"), BODY)).await);
            ours.push(rate(calls, in_flight, async || assert_eq!(adder.add(3, 4).await, Ok(7))).await);
        }
        let (ours, theirs) = (median(ours), median(theirs));
        println!(
            "{in_flight:>3} in flight: everywire {ours:>6.0}/s, by hand {theirs:>6.0}/s, ratio {:.2}",
            ours / theirs
        );
    }
    Ok(())
}

/// Calls per second.
async fn rate(calls: usize, in_flight: usize, call: impl AsyncFn()) -> f64 {
    let since = Instant::now();
    join_all((0..in_flight).map(|_| async {
        for _ in 0..calls / in_flight {
            call().await;
        }
    }))
    .await;
    f64::from(u32::try_from(calls).unwrap_or(u32::MAX)) / since.elapsed().as_secs_f64()
}

fn median(rates: Vec<f64>) -> f64 {
    Figure::of(rates).map_or(f64::NAN, |figure| figure.median)
}

/// A client of an echo.
struct Echo {
    channel: Channel,
    last: AtomicU64,
    waiting: Arc<Mutex<HashMap<String, oneshot::Sender<Vec<u8>>>>>,
    _connections: [Connection; 2],
}

impl Echo {
    async fn start(url: &str) -> lapin::Result<Self> {
        let connect = || Connection::connect(url, ConnectionProperties::default());
        let connections = [connect().await?, connect().await?];
        serve(connections[0].create_channel().await?).await?;
        let channel = connections[1].create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
        let consume = channel.basic_consume(REPLY_TO.into(), ShortString::default(), options, FieldTable::default());
        let mut answers = consume.await?;
        let waiting = Arc::<Mutex<HashMap<String, oneshot::Sender<Vec<u8>>>>>::default();
        let waiters = Arc::clone(&waiting);
        tokio::spawn(async move {
            while let Some(Ok(answer)) = answers.next().await {
                let id = answer.properties.correlation_id().as_ref().map(ToString::to_string);
                let waiter = id.and_then(|id| waiters.lock().ok()?.remove(&id));
                let _ = waiter.map(|waiter| waiter.send(answer.data));
            }
        });
        Ok(Self { channel, last: AtomicU64::new(0), waiting, _connections: connections })
    }

    async fn call(&self) -> lapin::Result<Vec<u8>> {
        let id = self.last.fetch_add(1, Relaxed).to_string();
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().expect("nobody panics").insert(id.clone(), sender);
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_correlation_id(id.into())
            .with_expiration("30000".into())
            .with_reply_to(REPLY_TO.into());
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        self.channel.basic_publish(ShortString::default(), QUEUE.into(), options, BODY, properties).await?.await?;
        Ok(answer.await.unwrap_or_default())
    }
}

/// Answers each message in a task of its own.
async fn serve(channel: Channel) -> lapin::Result<()> {
    let mut bounds = FieldTable::default();
    bounds.insert("x-max-length".into(), 65_536.into());
    bounds.insert("x-max-length-bytes".into(), (256 << 20).into());
    bounds.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    channel.queue_declare(QUEUE.into(), QueueDeclareOptions::durable(), bounds).await?;
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions::default();
    let consume = channel.basic_consume(QUEUE.into(), ShortString::default(), options, FieldTable::default());
    let mut requests = consume.await?;
    tokio::spawn(async move {
        while let Some(Ok(request)) = requests.next().await {
            tokio::spawn(answer(channel.clone(), request));
        }
    });
    Ok(())
}

async fn answer(channel: Channel, request: Delivery) -> lapin::Result<()> {
    let (Some(caller), Some(id)) = (request.properties.reply_to(), request.properties.correlation_id()) else {
        return Ok(());
    };
    let properties =
        BasicProperties::default().with_content_type("application/json".into()).with_correlation_id(id.clone());
    let options = BasicPublishOptions::default();
    channel.basic_publish(ShortString::default(), caller.clone(), options, &request.data, properties).await?;
    channel.basic_ack(request.delivery_tag, BasicAckOptions::default()).await
}
