//! Replies of many items.

use everywire_core::{Context, RpcError, Streaming};
use lapin::{
    BasicProperties,
    message::Delivery,
    types::{AMQPValue, FieldTable, ShortString},
};
use serde_json::{Value, json};

use super::{
    raw::{Raw, next},
    *,
};

/// Streams that are counted.
#[everywire_core::service(package = "demo.v1")]
trait Numbers {
    /// The numbers from 0 on.
    async fn count(&self, to: u64) -> Result<Streaming<u64>>;
    /// One number after another, each after a time.
    async fn slowly(&self, ms: u64, to: u64) -> Result<Streaming<u64>>;
    /// One number, and no end.
    async fn wait(&self) -> Result<Streaming<u64>>;
    /// Begins after a time.
    async fn late(&self, ms: u64) -> Result<Streaming<u64>>;
    /// One number, and then an error.
    async fn fail(&self) -> Result<Streaming<u64>>;
    /// Texts of this length, without end.
    async fn texts(&self, bytes: u32) -> Result<Streaming<String>>;
    /// Adds.
    async fn add(&self, a: u64, b: u64) -> Result<u64>;
}

/// The numbers of streams that are open, and of items that were made.
#[derive(Default)]
struct State {
    open: AtomicUsize,
    made: AtomicUsize,
}

/// A stream that is open.
struct Open(Arc<State>);

impl Open {
    fn new(state: &Arc<State>) -> Self {
        state.open.fetch_add(1, SeqCst);
        Self(Arc::clone(state))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, SeqCst);
    }
}

impl Numbers for Arc<State> {
    async fn count(&self, to: u64) -> Result<Streaming<u64>> {
        let (open, state) = (Open::new(self), Arc::clone(self));
        Ok(Streaming::of((0..to).inspect(move |_| {
            let _open = &open;
            state.made.fetch_add(1, SeqCst);
        })))
    }

    async fn slowly(&self, ms: u64, to: u64) -> Result<Streaming<u64>> {
        let open = Open::new(self);
        Ok(Streaming::produce(move |items| async move {
            let _open = open;
            for number in 0..to {
                items.send(number).await?;
                sleep(Duration::from_millis(ms)).await;
            }
            Ok(())
        }))
    }

    async fn wait(&self) -> Result<Streaming<u64>> {
        let open = Open::new(self);
        Ok(Streaming::produce(move |items| async move {
            let _open = open;
            items.send(7).await?;
            std::future::pending().await
        }))
    }

    async fn late(&self, ms: u64) -> Result<Streaming<u64>> {
        let _open = Open::new(self);
        sleep(Duration::from_millis(ms)).await;
        self.wait().await
    }

    async fn fail(&self) -> Result<Streaming<u64>> {
        Ok(Streaming::produce(|items| async move {
            items.send(0).await?;
            Err(RpcError::aborted("enough"))
        }))
    }

    async fn texts(&self, bytes: u32) -> Result<Streaming<String>> {
        let (open, state) = (Open::new(self), Arc::clone(self));
        Ok(Streaming::produce(move |items| async move {
            let _open = open;
            loop {
                state.made.fetch_add(1, SeqCst);
                items.send("x".repeat(bytes as usize)).await?;
            }
        }))
    }

    async fn add(&self, a: u64, b: u64) -> Result<u64> {
        Ok(a + b)
    }
}

/// A server with a queue of its own.
struct Serving {
    url: String,
    queue: String,
    state: Arc<State>,
    stop: CancellationToken,
    task: JoinHandle<Result<()>>,
}

impl Serving {
    async fn start() -> Self {
        Self::start_at(&shared_broker().await.url, &new_queue()).await
    }

    async fn start_at(url: &str, queue: &str) -> Self {
        let (state, stop) = (Arc::<State>::default(), CancellationToken::new());
        let server = Server::connect(url).await.unwrap().queue(queue);
        let service = Arc::new(NumbersService::new(Arc::clone(&state)));
        let task = tokio::spawn(server.serve(service, Budget::new(Limits::default()), stop.clone()));
        let serving = Self { url: url.to_owned(), queue: queue.to_owned(), state, stop, task };
        let client = serving.client().await;
        until("the server consumes", async || client.add(3, 4).await.is_ok()).await;
        serving
    }

    async fn client(&self) -> NumbersClient<Client> {
        NumbersClient::new(Client::connect(&self.url).await.unwrap().queue(&self.queue))
    }

    async fn open(&self, count: usize) {
        until(&format!("{count} streams are open"), async || self.state.open.load(SeqCst) == count).await;
    }

    fn made(&self) -> usize {
        self.state.made.load(SeqCst)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn item<T: 'static>(items: &mut Streaming<T>) -> Option<Result<T>> {
    timeout(DEADLINE, items.next()).await.expect("an item or the end")
}

/// A caller that writes its messages by hand.
struct Caller {
    raw: Raw,
    queue: String,
}

/// What stands in a message of a stream.
#[derive(Debug, PartialEq)]
struct Part {
    number: i64,
    is_last: bool,
    body: Value,
}

fn part(number: i64, is_last: bool, result: &Value) -> Part {
    Part { number, is_last, body: json!({"jsonrpc": "2.0", "id": 1, "result": result}) }
}

fn headers(entries: &[(&str, i64)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert((*name).into(), AMQPValue::LongLongInt(*value));
    }
    table
}

impl Caller {
    async fn connect(serving: &Serving, direct: bool) -> Self {
        Self { raw: Raw::connect(&serving.url, direct).await, queue: serving.queue.clone() }
    }

    fn properties(&self, id: &str, credit: Option<i64>) -> BasicProperties {
        let properties =
            BasicProperties::default().with_reply_to(self.raw.answers.clone()).with_correlation_id(id.into());
        match credit {
            Some(credit) => properties.with_headers(headers(&[("credit", credit)])),
            None => properties,
        }
    }

    async fn call(&self, id: &str, method: &str, params: Value, credit: Option<i64>) {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        self.raw.send(&self.queue, body.as_bytes(), self.properties(id, credit)).await;
    }

    async fn delivery(&mut self) -> Delivery {
        next(&mut self.raw.consumer).await
    }

    /// The next message, and the address of the server.
    async fn part(&mut self) -> (Part, Option<ShortString>) {
        let delivery = self.delivery().await;
        let headers = delivery.properties.headers().as_ref().expect("headers").inner();
        let (Some(AMQPValue::LongLongInt(number)), Some(AMQPValue::Boolean(is_last))) =
            (headers.get("seq"), headers.get("end"))
        else {
            panic!("{headers:?}")
        };
        let body = serde_json::from_slice(&delivery.data).unwrap();
        (Part { number: *number, is_last: *is_last, body }, delivery.properties.reply_to().clone())
    }

    async fn grant(&self, server: &ShortString, id: &str, credit: i64) {
        let properties = self.properties(id, Some(credit)).with_type("$/credit".into());
        self.raw.send(server.as_str(), b"", properties).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_in_bytes() {
    needs!(RabbitMq);
    let serving = Serving::start().await;
    let mut caller = Caller::connect(&serving, true).await;
    // Credit for one item comes with every request.
    caller.call("a", "count", json!([5]), None).await;
    let (first, server) = caller.part().await;
    assert_eq!(first, part(0, false, &json!([0])));
    let server = server.expect("an address");
    assert!(server.as_str().starts_with("amq.rabbitmq.reply-to."), "{server}");
    sleep(Duration::from_millis(100)).await;
    assert_eq!(serving.made(), 1, "no item is made that there is no credit for");
    caller.grant(&server, "a", 2).await;
    assert_eq!(caller.part().await.0, part(1, false, &json!([1, 2])));
    caller.grant(&server, "a", 2).await;
    assert_eq!(caller.part().await.0, part(2, false, &json!([3, 4])));
    caller.grant(&server, "a", 1).await;
    assert_eq!(caller.part().await.0, part(3, true, &json!([])));
    // More credit comes with this one, and an error behind its item.
    caller.call("b", "fail", json!([]), Some(100)).await;
    assert_eq!(caller.part().await.0, part(0, false, &json!([0])));
    let (error, _) = caller.part().await;
    assert_eq!((error.number, error.is_last, &error.body["error"]["message"]), (1, true, &json!("enough")));
    // One that has nothing to send yet says that it has begun.
    caller.call("c", "slowly", json!([0, 0]), Some(1)).await;
    assert_eq!(caller.part().await.0, part(0, true, &json!([])));
    serving.open(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_its_caller_grants_credit_to_a_stream_and_cancels_it() {
    needs!(RabbitMq);
    let serving = Serving::start().await;
    let (mut caller, other) = (Caller::connect(&serving, true).await, Caller::connect(&serving, true).await);
    caller.call("a", "count", json!([5]), Some(1)).await;
    let (_, server) = caller.part().await;
    let server = server.unwrap();
    other.grant(&server, "a", 10).await;
    caller.grant(&server, "b", 10).await;
    let cancel = other.properties("a", None).with_type("$/cancelRequest".into());
    other.raw.send(server.as_str(), b"", cancel).await;
    sleep(Duration::from_millis(200)).await;
    assert_eq!((serving.made(), serving.state.open.load(SeqCst)), (1, 1));
    // Another stream with its id could not be told apart.
    caller.call("a", "count", json!([5]), Some(1)).await;
    let (error, _) = caller.part().await;
    assert_eq!((error.is_last, &error.body["error"]["data"]["code"]), (true, &json!("ALREADY_EXISTS")));
    let cancel = caller.properties("a", None).with_type("$/cancelRequest".into());
    caller.raw.send(server.as_str(), b"", cancel).await;
    serving.open(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_with_a_queue_of_its_own_has_the_credit_of_its_request() {
    needs!(RabbitMq);
    let serving = Serving::start().await;
    let mut caller = Caller::connect(&serving, false).await;
    caller.call("a", "count", json!([3]), Some(3)).await;
    assert_eq!(caller.part().await, (part(0, false, &json!([0, 1, 2])), None));
    assert_eq!(caller.part().await, (part(1, true, &json!([])), None));
    caller.call("a", "count", json!([4]), Some(3)).await;
    assert_eq!(caller.part().await.0, part(0, false, &json!([0, 1, 2])));
    let (error, _) = caller.part().await;
    assert_eq!((error.is_last, &error.body["error"]["data"]["code"]), (true, &json!("RESOURCE_EXHAUSTED")));
    serving.open(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_in_a_batch_is_an_error() {
    needs!(RabbitMq);
    let serving = Serving::start().await;
    let mut caller = Caller::connect(&serving, true).await;
    let body = br#"[{"jsonrpc":"2.0","id":1,"method":"count","params":[5]}]"#;
    caller.raw.send(&caller.queue, body, caller.properties("a", None)).await;
    let reply: Value = serde_json::from_slice(&caller.delivery().await.data).unwrap();
    assert_eq!(reply[0]["error"]["data"]["code"], "FAILED_PRECONDITION", "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn items_on_the_way_are_bounded_in_bytes() {
    needs!(RabbitMq);
    let serving = Serving::start().await;
    let client = serving.client().await;
    for bytes in [1_000, 200_000, 3_000_000] {
        let before = serving.made();
        let mut items = client.texts(bytes).await.unwrap();
        sleep(Duration::from_millis(500)).await;
        let on_the_way = (serving.made() - before) * bytes as usize;
        let most = (1 << 20) + 2 * (bytes as usize + (64 << 10));
        assert!(on_the_way <= most, "{on_the_way} of {most} bytes are on the way");
        for _ in 0..50 {
            assert_eq!(item(&mut items).await.unwrap().unwrap().len(), bytes as usize);
        }
        drop(items);
        serving.open(0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_stream_ends_at_once() {
    needs!(RabbitMq);
    let serving = Serving::start().await;
    let client = serving.client().await;
    let since = Instant::now();
    for _ in 0..20 {
        let mut items = client.wait().await.unwrap();
        assert_eq!(item(&mut items).await, Some(Ok(7)));
        drop(items);
        serving.open(0).await;
    }
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    // With its client, and with credit to spare.
    let mut items = client.texts(10).await.unwrap();
    drop(client);
    item(&mut items).await.unwrap().unwrap();
    drop(items);
    serving.open(0).await;
}

/// Its caller does not know the server, so the first message of the stream brings the address for the cancellation.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_dropped_before_it_begins_ends() {
    needs!(RabbitMq);
    let serving = Serving::start().await;
    let client = Arc::new(serving.client().await);
    let stays = client.wait().await.unwrap();
    serving.open(1).await;
    let copy = Arc::clone(&client);
    let dropped = tokio::spawn(async move { copy.late(300).await.map(drop) });
    serving.open(2).await;
    dropped.abort();
    serving.open(1).await;
    drop(stays);
    serving.open(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_may_be_slower_than_its_timeout() {
    needs!(RabbitMq);
    let serving = Serving::start().await;
    let client = Client::connect(&serving.url).await.unwrap().queue(&serving.queue);
    let client = NumbersClient::new(client.timeout(Duration::from_millis(500)));
    let mut items = client.slowly(300, 5).await.unwrap();
    for number in 0..5 {
        assert_eq!(item(&mut items).await, Some(Ok(number)));
    }
    assert_eq!(item(&mut items).await, None);
    let error = client.late(5_000).await.map(drop).unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
    serving.open(0).await;
    let cx = Context::new().timeout(Duration::from_millis(300));
    let mut items = client.with(&cx).slowly(100, 100).await.unwrap();
    let error = loop {
        if let Err(error) = item(&mut items).await.expect("an error is the end") {
            break error;
        }
    };
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
    serving.open(0).await;
}

/// Both sides learn that the broker is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_broker() {
    needs!(RabbitMq);
    let mut broker = Broker::start().await;
    let serving = Serving::start_at(&broker.url, &new_queue()).await;
    let client = serving.client().await;
    let mut items = client.wait().await.unwrap();
    assert_eq!(item(&mut items).await, Some(Ok(7)));
    broker.kill();
    let error = item(&mut items).await.unwrap().unwrap_err();
    assert_eq!((error.code(), error.origin()), (Code::Unavailable, Origin::Local), "{error}");
    assert_eq!(item(&mut items).await, None);
    serving.open(0).await;
    broker.restart().await;
    until("streams begin again", async || client.count(1).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_stream_ends_with_its_server() {
    needs!(RabbitMq);
    let (serving, other) = (Serving::start().await, Serving::start().await);
    let client = serving.client().await;
    let mut items = client.wait().await.unwrap();
    assert_eq!(item(&mut items).await, Some(Ok(7)));
    // The one of another server goes on.
    let connection = Client::connect(&serving.url).await.unwrap();
    let mut stays = NumbersClient::new(connection.clone().queue(&other.queue)).wait().await.unwrap();
    assert_eq!(item(&mut stays).await, Some(Ok(7)));
    let mut beside = NumbersClient::new(connection.queue(&serving.queue)).wait().await.unwrap();
    assert_eq!(item(&mut beside).await, Some(Ok(7)));
    serving.task.abort();
    let since = Instant::now();
    for items in [&mut items, &mut beside] {
        let error = item(items).await.unwrap().unwrap_err();
        assert_eq!((error.code(), error.origin()), (Code::Unavailable, Origin::Local), "{error}");
        assert_eq!(item(items).await, None);
    }
    assert!(since.elapsed() < Duration::from_secs(15), "{:?}", since.elapsed());
    assert!(timeout(Duration::from_secs(6), stays.next()).await.is_err());
    drop(stays);
    other.open(0).await;
}

/// Nobody cancels the stream of a caller that was killed, but the server looks for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_caller() {
    needs!(RabbitMq);
    let serving = Serving::start().await;
    for direct in [true, false] {
        let mut caller = Caller::connect(&serving, direct).await;
        caller.call("a", "wait", json!([]), Some(10)).await;
        caller.part().await;
        serving.open(1).await;
        caller.raw.close().await;
        serving.open(0).await;
    }
}

/// A server that does not count as it should.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_or_repeated_message_is_an_error() {
    needs!(RabbitMq);
    let url = &shared_broker().await.url;
    for (numbers, good) in [([0, 1, 3], 2), ([0, 1, 1], 2), ([1, 2, 3], 0)] {
        let (queue, server) = (new_queue(), Raw::connect(url, true).await);
        let mut requests = server.requests(&queue).await;
        let client = NumbersClient::new(Client::connect(url).await.unwrap().queue(&queue));
        let call = tokio::spawn(async move { client.count(3).await });
        let request = next(&mut requests).await;
        let caller = request.properties.reply_to().clone().unwrap();
        for number in numbers {
            let mut headers = headers(&[("seq", number)]);
            headers.insert("end".into(), AMQPValue::Boolean(number == 3));
            let properties = BasicProperties::default()
                .with_correlation_id(request.properties.correlation_id().clone().unwrap())
                .with_reply_to("amq.rabbitmq.reply-to".into())
                .with_headers(headers);
            server.send(caller.as_str(), br#"{"jsonrpc":"2.0","id":1,"result":[7]}"#, properties).await;
        }
        let (mut items, mut error) = (Vec::new(), None);
        match call.await.unwrap() {
            Err(unbegun) => error = Some(unbegun),
            Ok(mut stream) => {
                while let Some(next) = item(&mut stream).await {
                    match next {
                        Ok(item) => items.push(item),
                        Err(broken) => error = Some(broken),
                    }
                }
            }
        }
        let error = error.expect("an error");
        assert_eq!((items.len(), error.code(), error.origin()), (good, Code::DataLoss, Origin::Local), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credit_for_a_cancelled_stream_is_ignored() {
    needs!(RabbitMq);
    let serving = Serving::start().await;
    let mut caller = Caller::connect(&serving, true).await;
    for number in 0..100 {
        let id = number.to_string();
        caller.call(&id, "count", json!([5]), None).await;
        let (first, server) = caller.part().await;
        assert_eq!(first, part(0, false, &json!([0])), "nothing is sent of the stream before");
        let cancel = caller.properties(&id, None).with_type("$/cancelRequest".into());
        let server = server.unwrap();
        caller.raw.send(server.as_str(), b"", cancel).await;
        caller.grant(&server, &id, 10).await;
    }
    serving.open(0).await;
}
