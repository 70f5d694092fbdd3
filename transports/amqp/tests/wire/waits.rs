//! Calls that wait, and calls that take long.

use std::collections::BTreeMap;

use everywire_core::layer::Limited;
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};
use serde_json::{Value, json};

use super::{
    raw::{Raw, next},
    *,
};

/// A server with small limits.
async fn start(calls_in_flight: usize) -> Running {
    let limits = Limits { calls_in_flight, ..Limits::default() };
    Running::start_at(&shared_broker().await.url, &new_queue(), limits).await
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_calls_wait_the_one_that_ends_their_wait_is_served() {
    needs!(RabbitMq);
    let running = start(4).await;
    let (one, two) = (Arc::new(running.client().await), running.client().await);
    let mut waits = JoinSet::new();
    for _ in 0..1_024 {
        let one = Arc::clone(&one);
        waits.spawn(async move { one.until_told().await });
    }
    running.waiting(1_024).await;
    let error = two.until_told().await.unwrap_err();
    assert_eq!((error.code(), error.origin()), (Code::ResourceExhausted, Origin::Remote), "{error}");
    assert!(error.message().ends_with("the limit waiting_calls is 1024"), "{error}");
    assert_eq!(one.add(3, 4).await, Ok(7));
    assert_eq!(one.tell().await, Ok(()));
    while let Some(waited) = waits.join_next().await {
        assert_eq!(waited.unwrap(), Ok(()));
    }
    let wait = tokio::spawn(async move { two.until_told().await });
    running.waiting(1).await;
    assert_eq!(one.tell().await, Ok(()));
    assert_eq!(wait.await.unwrap(), Ok(()), "there is room again");
}

/// A method that does not say that it waits is seen to.
#[tokio::test(flavor = "multi_thread")]
async fn calls_that_take_long_keep_no_others_out() {
    needs!(RabbitMq);
    let running = start(4).await;
    let client = Arc::new(running.client().await);
    let mut waits = JoinSet::new();
    for _ in 0..4 {
        let client = Arc::clone(&client);
        waits.spawn(async move { client.wait(2_500).await });
    }
    running.waiting(4).await;
    let since = Instant::now();
    assert_eq!(client.add(3, 4).await, Ok(7));
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
    assert_eq!(running.real.waiting.load(SeqCst), 4, "they go on");
    while let Some(waited) = waits.join_next().await {
        assert_eq!(waited.unwrap(), Ok(2_500));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_may_be_longer_than_the_brokers_time_for_an_acknowledgement() {
    needs!(RabbitMq);
    let broker = strict_broker().await;
    let queue = new_queue();
    let running = Running::start_at(&broker.url, &queue, Limits::default()).await;
    let client = running.client().await;
    let told = async {
        running.waiting(2).await;
        sleep(2 * ACKNOWLEDGEMENT_TIME).await;
        client.tell().await
    };
    let long = u64::try_from(2 * ACKNOWLEDGEMENT_TIME.as_millis()).unwrap();
    let (waited, long, told) = tokio::join!(client.until_told(), client.wait(long), told);
    assert_eq!((waited, long.map(drop), told), (Ok(()), Ok(()), Ok(())));
    assert!(!broker.log().contains("delivery acknowledgement on channel"), "{}", broker.log());
}

/// A table with `count` headers whose values have this length.
fn headers(count: usize, length: usize) -> FieldTable {
    let value = AMQPValue::LongString("x".repeat(length).into());
    let entries = (0..count).map(|number| (format!("{number:04}").into(), value.clone()));
    entries.collect::<BTreeMap<_, _>>().into()
}

/// The message of a call that waits counts with its body and its headers, until the call ends.
#[tokio::test(flavor = "multi_thread")]
async fn the_messages_of_calls_that_wait_are_buffered_bytes() {
    needs!(RabbitMq);
    let limits = Limits { buffered_bytes: 100_000, ..Limits::default() };
    let (real, budget, stop) = (Arc::<Real>::default(), Budget::new(limits), CancellationToken::new());
    let (url, queue) = (&shared_broker().await.url, new_queue());
    let service = Arc::new(DemoService::new(Arc::clone(&real)));
    let service = Arc::new(Limited::new(service, Arc::clone(&budget), CancellationToken::new()));
    let server = Server::connect(url).await.unwrap().queue(&queue);
    let serving = tokio::spawn(server.serve(service, Arc::clone(&budget), stop.clone()));
    let client = DemoClient::new(Client::connect(url).await.unwrap().queue(&queue));
    until("the server consumes", async || client.add(3, 4).await.is_ok()).await;
    let mut raw = Raw::connect(url, true).await;
    // A short header takes several times its length.
    for (count, length, body, least) in [(1, 60_000, 0, 60_000), (0, 0, 60_000, 60_000), (1_000, 0, 0, 50_000)] {
        let request = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"until_told\"{}}}", " ".repeat(body));
        let properties = BasicProperties::default().with_reply_to(raw.answers.clone());
        let properties = properties.with_headers(headers(count, length));
        raw.send(&queue, request.as_bytes(), properties.clone()).await;
        until("it waits", async || real.waiting.load(SeqCst) == 1).await;
        assert!((least..=100_000).contains(&budget.bytes()), "{} bytes for {count} {length} {body}", budget.bytes());
        raw.send(&queue, request.as_bytes(), properties).await;
        let answer: Value = serde_json::from_slice(&next(&mut raw.consumer).await.data).unwrap();
        assert_eq!(answer["error"]["data"]["code"], "RESOURCE_EXHAUSTED", "{count} {length} {body}: {answer}");
        assert_eq!(client.tell().await, Ok(()));
        let answer: Value = serde_json::from_slice(&next(&mut raw.consumer).await.data).unwrap();
        assert_eq!(answer["result"], json!(null), "{answer}");
        until("nothing is kept", async || budget.bytes() == 0).await;
    }
    stop.cancel();
    assert_eq!(serving.await.unwrap(), Ok(()));
}
