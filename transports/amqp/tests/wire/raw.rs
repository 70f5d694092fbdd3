//! The server against messages written by hand.

use std::io::Write;

use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, Consumer,
    message::Delivery,
    options::{BasicConsumeOptions, BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions},
    types::{FieldTable, ShortString},
};
use serde_json::{Value, json};

use super::*;

/// A connection without the client.
pub(super) struct Raw {
    connection: Connection,
    pub(super) channel: Channel,
    /// The queue of answers.
    pub(super) answers: ShortString,
    pub(super) consumer: Consumer,
}

pub(super) async fn next(consumer: &mut Consumer) -> Delivery {
    timeout(DEADLINE, consumer.next()).await.unwrap().unwrap().unwrap()
}

impl Raw {
    /// With a queue of answers as RabbitMQ's tutorial declares it, or with direct reply-to.
    pub(super) async fn connect(url: &str, direct: bool) -> Self {
        let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let answers = if direct {
            "amq.rabbitmq.reply-to".into()
        } else {
            let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
            channel.queue_declare("".into(), options, FieldTable::default()).await.unwrap().name().clone()
        };
        let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
        let consumer = channel.basic_consume(answers.clone(), "".into(), options, FieldTable::default()).await.unwrap();
        Self { connection, channel, answers, consumer }
    }

    pub(super) async fn send(&self, queue: &str, body: &[u8], properties: BasicProperties) {
        let options = BasicPublishOptions::default();
        self.channel.basic_publish("".into(), queue.into(), options, body, properties).await.unwrap();
    }

    /// Sends a request and returns its answer.
    pub(super) async fn ask(&mut self, queue: &str, body: impl AsRef<[u8]>) -> Delivery {
        let properties = BasicProperties::default().with_reply_to(self.answers.clone());
        self.send(queue, body.as_ref(), properties.with_correlation_id("the id".into())).await;
        next(&mut self.consumer).await
    }

    async fn ask_json(&mut self, queue: &str, body: impl AsRef<[u8]>) -> Value {
        serde_json::from_slice(&self.ask(queue, body).await.data).unwrap()
    }

    /// Declares a queue of requests, and takes them as a server does.
    pub(super) async fn requests(&self, queue: &str) -> Consumer {
        let durable = QueueDeclareOptions::durable();
        self.channel.queue_declare(queue.into(), durable, FieldTable::default()).await.unwrap();
        let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
        self.channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await.unwrap()
    }

    /// Takes a message as a server does, and dies: the broker has to deliver it once more.
    async fn take_and_die(self, queue: &str) {
        let options = BasicConsumeOptions::default();
        let mut requests =
            self.channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await.unwrap();
        let request = timeout(DEADLINE, requests.next()).await.unwrap().unwrap().unwrap();
        assert!(!request.redelivered);
        self.connection.close(200, "".into()).await.unwrap();
    }

    pub(super) async fn close(self) {
        self.connection.close(200, "".into()).await.unwrap();
    }

    pub(super) fn is_closed(&self) -> bool {
        !self.channel.status().connected()
    }

    pub(super) async fn messages(&self, queue: &str) -> u32 {
        let options = QueueDeclareOptions::default().passive();
        self.channel.queue_declare(queue.into(), options, FieldTable::default()).await.unwrap().message_count()
    }
}

pub(super) const ADD: &str = r#"{"jsonrpc":"2.0","id":1,"method":"add","params":[3, 4]}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_bytes() {
    needs!(RabbitMq);
    let running = Running::start().await;
    for direct in [true, false] {
        let mut raw = Raw::connect(&running.url, direct).await;
        for _ in 0..3 {
            let answer = raw.ask(&running.queue, ADD).await;
            assert_eq!(std::str::from_utf8(&answer.data).unwrap(), r#"{"jsonrpc":"2.0","id":1,"result":7}"#);
            let properties = &answer.properties;
            assert_eq!(properties.correlation_id().as_ref().unwrap().as_str(), "the id");
            assert_eq!(properties.content_type().as_ref().unwrap().as_str(), "application/json");
        }
    }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_read_as_its_encoding_says() {
    needs!(RabbitMq);
    let limits = Limits { decompressed_bytes: 1_000, ..Limits::default() };
    let running = Running::start_at(&shared_broker().await.url, &new_queue(), limits).await;
    let mut raw = Raw::connect(&running.url, true).await;
    let (seven, marked) = ("\"result\":7", format!("\u{feff}{ADD}"));
    let whole = r#"{"jsonrpc":"2.0","id":1,"method":"add","params":[3.0, 4e0]}"#;
    let cases = [
        (None, marked.clone().into_bytes(), seven),
        (None, whole.into(), seven),
        (Some("gzip"), gzip(ADD.as_bytes()), seven),
        (Some("GZIP"), gzip(marked.as_bytes()), seven),
        (Some("utf-8"), ADD.into(), seven),
        (Some("utf-8"), marked.into(), seven),
        (Some(""), ADD.into(), seven),
        (Some("gzip"), ADD.into(), "the body is not Gzip"),
        (Some("gzip"), gzip(&[b' '; 2_000]), "the limit decompressed_bytes is 1000"),
        (Some("br"), gzip(ADD.as_bytes()), "its content_encoding is none of gzip and deflate"),
    ];
    for (encoding, body, expected) in cases {
        let properties = BasicProperties::default().with_reply_to(raw.answers.clone());
        let properties = match encoding {
            Some(encoding) => properties.with_content_encoding(encoding.into()),
            None => properties,
        };
        raw.send(&running.queue, &body, properties).await;
        let answer = timeout(DEADLINE, raw.consumer.next()).await.unwrap().unwrap().unwrap();
        let answer = String::from_utf8(answer.data).unwrap();
        assert!(answer.contains(expected), "{encoding:?} {}: {answer}", body.escape_ascii());
    }
}

/// A server by hand answers the client in the forms that it may find.
#[tokio::test(flavor = "multi_thread")]
async fn the_client_reads_an_answer_as_its_encoding_says() {
    needs!(RabbitMq);
    let (url, queue) = (&shared_broker().await.url, new_queue());
    let server = Raw::connect(url, true).await;
    let mut requests = server.requests(&queue).await;
    let client = DemoClient::new(Client::connect(url).await.unwrap().queue(&queue));
    let good = r#"{"jsonrpc":"2.0","id":1,"result":7}"#;
    let cases = [
        (None, format!("\u{feff}{good}").into_bytes(), Ok(7)),
        (Some("gzip"), gzip(good.as_bytes()), Ok(7)),
        (Some("utf-8"), good.into(), Ok(7)),
        (Some("gzip"), good.into(), Err(Code::Internal)),
        (Some("br"), gzip(good.as_bytes()), Err(Code::Internal)),
    ];
    for (encoding, body, expected) in cases {
        let answering = async {
            let request = requests.next().await.unwrap().unwrap().properties;
            let properties = BasicProperties::default().with_correlation_id(request.correlation_id().clone().unwrap());
            let properties = match encoding {
                Some(encoding) => properties.with_content_encoding(encoding.into()),
                None => properties,
            };
            server.send(request.reply_to().as_ref().unwrap().as_str(), &body, properties).await;
        };
        let (answer, ()) = tokio::join!(client.add(3, 4), answering);
        assert_eq!(answer.map_err(|error| error.code()), expected, "{encoding:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_is_answered_and_acknowledged() {
    needs!(RabbitMq);
    let running = Running::start().await;
    let mut raw = Raw::connect(&running.url, false).await;
    #[rustfmt::skip]
    let cases: [(&[u8], i64); 6] = [
        (b"", -32700),
        (b"\xFF\x00", -32700),
        (b"{\"jsonrpc\":", -32700),
        (b"[]", -32600),
        (br#"{"jsonrpc":"2.0","id":1,"method":"nothing"}"#, -32601),
        (br#"{"jsonrpc":"2.0","id":1,"method":"add","params":[1]}"#, -32602),
    ];
    for (body, code) in cases {
        let answer = raw.ask_json(&running.queue, body).await;
        assert_eq!(answer["error"]["code"], code, "{}: {answer}", body.escape_ascii());
        raw.send(&running.queue, body, BasicProperties::default()).await;
    }
    raw.send(&running.queue, br#"{"jsonrpc":"2.0","method":"count"}"#, BasicProperties::default()).await;
    let gone = BasicProperties::default().with_reply_to("nobody's".into());
    raw.send(&running.queue, br#"{"jsonrpc":"2.0","id":1,"method":"count"}"#, gone).await;
    until("both have run", async || running.counted() == 2).await;
    running.stop.cancel();
    until("the end of the server", async || running.serving.is_finished()).await;
    assert_eq!(raw.messages(&running.queue).await, 0, "nothing came back to the queue");
}

/// Has the broker deliver `request` once more, to a server that starts then; returns that and the answer.
async fn redelivered(request: Value) -> (Running, Value) {
    let (url, queue) = (&shared_broker().await.url, new_queue());
    let mut caller = Raw::connect(url, true).await;
    let durable = QueueDeclareOptions::durable();
    caller.channel.queue_declare(queue.clone().into(), durable, FieldTable::default()).await.unwrap();
    let dying = Raw::connect(url, true).await;
    let (answer, running) = tokio::join!(caller.ask_json(&queue, request.to_string()), async {
        dying.take_and_die(&queue).await;
        Running::start_at(url, &queue, Limits::default()).await
    });
    (running, answer)
}

fn request(id: u32, method: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method})
}

fn assert_aborted(answer: &Value) {
    assert_eq!(answer["error"]["data"]["code"], "ABORTED", "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().starts_with("the call may have run"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redelivered_call_that_is_not_idempotent_does_not_run() {
    needs!(RabbitMq);
    let (running, answer) = redelivered(request(1, "count")).await;
    assert_aborted(&answer);
    assert_eq!(running.client().await.count().await, Ok(1), "a new call is the first that runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redelivered_call_that_is_idempotent_runs_again() {
    needs!(RabbitMq);
    let (running, answer) = redelivered(request(1, "count_again")).await;
    assert_eq!((&answer["result"], running.counted()), (&json!(1), 1), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_redelivered_batch_the_idempotent_calls_run_again() {
    needs!(RabbitMq);
    let (running, answer) = redelivered(json!([request(1, "count"), request(2, "count_again")])).await;
    assert_aborted(&answer[0]);
    assert_eq!((&answer[1]["result"], running.counted()), (&json!(1), 1), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses() {
    needs!(RabbitMq);
    let url = &shared_broker().await.url;
    let raw = Raw::connect(url, true).await;
    let queue = new_queue();
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), 1.into());
    arguments.insert("x-overflow".into(), lapin::types::AMQPValue::LongString("reject-publish".into()));
    let durable = QueueDeclareOptions::durable();
    raw.channel.queue_declare(queue.clone().into(), durable, arguments).await.unwrap();
    raw.send(&queue, b"", BasicProperties::default()).await;
    let client = DemoClient::new(Client::connect(url).await.unwrap().queue(&queue));
    let error = client.add(3, 4).await.unwrap_err();
    assert_eq!((error.code(), error.origin()), (Code::ResourceExhausted, Origin::Local), "{error}");
    // A queue that is there with other settings than the server's own is served as it is.
    let _running = Running::start_at(url, &queue, Limits::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_queue_is_declared_again_and_calls_in_flight_go_on() {
    needs!(RabbitMq);
    let running = Running::start().await;
    let raw = Raw::connect(&running.url, true).await;
    let client = Arc::new(running.client().await);
    for _ in 0..3 {
        let (long, waiting) = (Arc::clone(&client), Arc::clone(&client));
        let long = tokio::spawn(async move { long.wait(1_000).await });
        let waiting = tokio::spawn(async move { waiting.until_told().await });
        running.waiting(2).await;
        raw.channel.queue_delete(running.queue.clone().into(), QueueDeleteOptions::default()).await.unwrap();
        running.ready().await;
        assert_eq!(client.tell().await, Ok(()));
        assert_eq!((long.await.unwrap(), waiting.await.unwrap()), (Ok(1_000), Ok(())));
    }
}

/// One look, which the broker logs, is for all the calls of a caller.
#[tokio::test(flavor = "multi_thread")]
async fn the_calls_of_a_caller_whose_queue_is_gone_are_given_up() {
    needs!(RabbitMq);
    let running = Running::start().await;
    let raw = Raw::connect(&running.url, false).await;
    let properties = BasicProperties::default().with_reply_to(raw.answers.clone());
    for method in ["until_told", "wait"] {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": if method == "wait" { json!([600_000]) } else { json!([]) }});
        for _ in 0..3 {
            raw.send(&running.queue, body.to_string().as_bytes(), properties.clone()).await;
        }
    }
    running.waiting(6).await;
    raw.connection.close(200, "".into()).await.unwrap();
    running.waiting(0).await;
    // The log is written later, but in order.
    let (marker, next) = (new_queue(), Raw::connect(&running.url, true).await);
    let options = QueueDeclareOptions::default().passive();
    next.channel.queue_declare(marker.clone().into(), options, FieldTable::default()).await.unwrap_err();
    let marker = format!("no queue '{marker}'");
    until("the log is written", async || shared_broker().await.log().contains(&marker)).await;
    let log = shared_broker().await.log();
    let looks: Vec<_> = log.lines().filter(|line| line.contains(raw.answers.as_str())).collect();
    assert_eq!(looks.len(), 1, "{looks:#?}");
}
