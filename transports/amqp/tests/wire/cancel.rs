//! Calls whose callers drop them.

use lapin::{BasicProperties, Consumer, types::ShortString};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{raw::Raw, *};
use futures_util::StreamExt;

/// How soon a dropped call ends at the server: a few milliseconds, and what a busy machine adds. A server that looks for its callers
/// needs 5 s.
const AT_ONCE: Duration = Duration::from_secs(3);

/// How long a client takes the address of a server to be its last one.
const TRUSTED: Duration = Duration::from_secs(5);

/// How long a client tries to send cancellations.
const SEND_TIME: Duration = Duration::from_secs(5);

impl Running {
    /// Waits until so few calls wait, which takes no time.
    async fn waiting_at_once(&self, count: usize) -> Duration {
        let since = Instant::now();
        self.waiting(count).await;
        let took = since.elapsed();
        assert!(took < AT_ONCE, "{took:?}");
        took
    }

    /// A client that knows its server.
    pub(super) async fn known(&self) -> Arc<DemoClient<Client>> {
        let client = self.client().await;
        assert_eq!(client.add(3, 4).await, Ok(7));
        Arc::new(client)
    }
}

/// A call that waits.
fn wait(client: &Arc<DemoClient<Client>>) -> JoinHandle<Result<u64>> {
    let client = Arc::clone(client);
    tokio::spawn(async move { client.wait(600_000).await })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_call_ends_at_once_and_the_others_go_on() {
    needs!(RabbitMq);
    let running = Running::start().await;
    let client = running.known().await;
    let stays = wait(&client);
    running.waiting(1).await;
    let mut times = Vec::new();
    for _ in 0..50 {
        let dropped = wait(&client);
        running.waiting(2).await;
        dropped.abort();
        times.push(running.waiting_at_once(1).await);
        assert_eq!(client.add(3, 4).await, Ok(7));
    }
    times.sort();
    println!("dropped calls ended after {:?} (median), {:?} (longest)", times[25], times[49]);
    assert!(!stays.is_finished());
    stays.abort();
    running.waiting_at_once(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_dropped_with_its_call_cancels_it() {
    needs!(RabbitMq);
    let running = Running::start().await;
    let client = running.known().await;
    let dropped = tokio::spawn(async move { client.until_told().await });
    running.waiting(1).await;
    dropped.abort();
    running.waiting_at_once(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_dropped_calls_end_at_once() {
    needs!(RabbitMq);
    let running = Running::start().await;
    let client = running.known().await;
    let mut waits = JoinSet::new();
    for _ in 0..1_000 {
        let client = Arc::clone(&client);
        waits.spawn(async move { client.until_told().await });
    }
    running.waiting(1_000).await;
    let since = Instant::now();
    waits.abort_all();
    running.waiting(0).await;
    println!("1,000 dropped calls ended after {:?}", since.elapsed());
    assert!(since.elapsed() < Duration::from_secs(4), "{:?}", since.elapsed());
    assert_eq!(client.add(3, 4).await, Ok(7));
}

/// The server has as many unacknowledged requests as it may, so a request waits in the queue. Its cancellation doesn't.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_dropped_while_it_waits_in_the_queue_does_not_run() {
    needs!(RabbitMq);
    let limits = Limits { calls_in_flight: 1, ..Limits::default() };
    let running = Running::start_at(&shared_broker().await.url, &new_queue(), limits).await;
    let client = running.known().await;
    let raw = Raw::connect(&running.url, false).await;
    // The first is acknowledged early, because it takes long. No more than one is, so the second keeps others in the queue.
    let (first, second) = (wait(&client), wait(&client));
    running.waiting(2).await;
    let dropped = tokio::spawn({
        let client = Arc::clone(&client);
        async move { client.count().await }
    });
    until("the request waits in the queue", async || raw.messages(&running.queue).await == 1).await;
    dropped.abort();
    assert!(dropped.await.unwrap_err().is_cancelled());
    first.abort();
    second.abort();
    // It stands behind the dropped one in the queue.
    assert_eq!(client.count().await, Ok(1));
    running.waiting_at_once(0).await;
}

/// A client that knows a server, and the one that has taken its place.
async fn known_and_restarted() -> (Arc<DemoClient<Client>>, Running) {
    let mut first = Running::start().await;
    let client = first.known().await;
    first.stop.cancel();
    (&mut first.serving).await.unwrap().unwrap();
    let second = Running::start_at(&first.url, &first.queue, Limits::default()).await;
    (client, second)
}

/// The last server that a client knows is gone, or has another address.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_learns_the_address_of_another_server() {
    needs!(RabbitMq);
    let (client, second) = known_and_restarted().await;
    assert_eq!(client.add(3, 4).await, Ok(7));
    let dropped = wait(&client);
    second.waiting(1).await;
    dropped.abort();
    second.waiting_at_once(0).await;
}

/// The only server of a queue restarts, and has not replied to the client since.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_call_ends_at_a_server_whose_address_the_client_does_not_know() {
    needs!(RabbitMq);
    let (client, second) = known_and_restarted().await;
    let dropped = wait(&client);
    second.waiting(1).await;
    sleep(TRUSTED).await;
    dropped.abort();
    // Nothing else ends it: the deadline is left to the layer `Limited`, which the service doesn't have here.
    second.waiting(0).await;
    assert_eq!(client.add(3, 4).await, Ok(7));
}

/// Other messages of the connection are under way when calls are dropped.
#[tokio::test(flavor = "multi_thread")]
async fn calls_are_dropped_while_others_begin_and_end() {
    needs!(RabbitMq);
    let running = Running::start().await;
    let connection = Client::connect(&running.url).await.unwrap();
    let client = Arc::new(DemoClient::new(connection.clone().queue(&running.queue)));
    let nowhere = Arc::new(DemoClient::new(connection.queue("nobody's")));
    assert_eq!(client.add(3, 4).await, Ok(7));
    let stop = CancellationToken::new();
    let mut busy = JoinSet::new();
    for _ in 0..4 {
        let (client, nowhere, stop) = (Arc::clone(&client), Arc::clone(&nowhere), stop.clone());
        busy.spawn(async move {
            while !stop.is_cancelled() {
                assert_eq!(client.add(3, 4).await, Ok(7));
                assert_eq!(nowhere.count().await.unwrap_err().code(), Code::Unavailable);
            }
        });
    }
    for round in 0..100 {
        let dropped = wait(&client);
        // Some are dropped before their requests are confirmed.
        if round % 2 == 0 {
            running.waiting(1).await;
        }
        dropped.abort();
        running.waiting_at_once(0).await;
    }
    stop.cancel();
    while let Some(ended) = busy.join_next().await {
        ended.unwrap();
    }
    // Its request is the last one in the queue.
    assert_eq!(client.count().await, Ok(1));
    running.waiting_at_once(0).await;
}

/// The broker closes the channel of a reply that it does not take, and with it the address.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_address_changes_notifies_its_callers() {
    needs!(RabbitMq);
    let broker = Broker::start().await;
    let caller = Client::connect(&broker.url).await.unwrap();
    broker.ctl(["eval", "application:set_env(rabbit, max_message_size, 100000)."]);
    let running = Running::start_at(&broker.url, &new_queue(), Limits::default()).await;
    let client = DemoClient::new(caller.clone().queue(&running.queue));
    let hasty = DemoClient::new(caller.queue(&running.queue).timeout(Duration::from_millis(300)));
    assert_eq!(client.add(3, 4).await, Ok(7));
    let lost = hasty.text("x".repeat(200_000)).await.unwrap_err();
    assert_eq!(lost.code(), Code::DeadlineExceeded, "{lost}");
    logged(&broker, "larger than configured max size").await;
    assert_eq!(client.add(3, 4).await, Ok(7));
    let client = Arc::new(client);
    let dropped = wait(&client);
    running.waiting(1).await;
    dropped.abort();
    running.waiting_at_once(0).await;
}

/// Waits until the broker has written this to its log, which it does later.
async fn logged(broker: &Broker, text: &str) {
    until(text, async || broker.log().contains(text)).await;
}

/// A server by hand and a client that knows it.
struct ByHand {
    raw: Raw,
    requests: Consumer,
    client: Arc<DemoClient<Client>>,
    /// The address of the client.
    caller: ShortString,
}

impl ByHand {
    async fn start(url: &str) -> Self {
        let (raw, queue) = (Raw::connect(url, true).await, new_queue());
        let mut requests = raw.requests(&queue).await;
        let client = Arc::new(DemoClient::new(Client::connect(url).await.unwrap().queue(&queue)));
        let add = tokio::spawn({
            let client = Arc::clone(&client);
            async move { client.add(3, 4).await }
        });
        let request = raw::next(&mut requests).await.properties;
        let caller = request.reply_to().clone().unwrap();
        let reply = BasicProperties::default().with_correlation_id(request.correlation_id().clone().unwrap());
        let addressed = reply.with_reply_to("amq.rabbitmq.reply-to".into());
        raw.send(caller.as_str(), br#"{"jsonrpc":"2.0","id":1,"result":7}"#, addressed).await;
        assert_eq!(add.await.unwrap(), Ok(7));
        Self { raw, requests, client, caller }
    }

    /// A call that waits, and the address of its caller.
    async fn wait(&mut self) -> (JoinHandle<Result<u64>>, ShortString) {
        let call = wait(&self.client);
        let request = raw::next(&mut self.requests).await.properties;
        (call, request.reply_to().clone().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_in_bytes() {
    needs!(RabbitMq);
    let mut server = ByHand::start(&shared_broker().await.url).await;
    for number in ["2", "3"] {
        let (dropped, caller) = server.wait().await;
        assert_eq!(caller, server.caller, "the connection stays in use");
        dropped.abort();
        let cancellation = raw::next(&mut server.raw.consumer).await;
        let expected = BasicProperties::default().with_type("$/cancelRequest".into());
        let expected = expected.with_correlation_id(number.into()).with_reply_to(caller);
        assert_eq!((cancellation.properties, &cancellation.data[..]), (expected, &b""[..]));
    }
}

/// A broker that is short of memory reads nothing more from a connection that has sent a message.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_cannot_send_cancellations_takes_no_more_calls() {
    needs!(RabbitMq);
    let broker = Broker::start().await;
    let mut server = ByHand::start(&broker.url).await;
    let ((first, _), (second, _)) = (server.wait().await, server.wait().await);
    broker.ctl(["eval", "rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []})."]);
    first.abort();
    raw::next(&mut server.raw.consumer).await;
    second.abort();
    sleep(SEND_TIME + Duration::from_secs(1)).await;
    broker.ctl(["eval", "rabbit_alarm:clear_alarm({resource_limit, memory, node()})."]);
    let (call, caller) = server.wait().await;
    assert_ne!(caller, server.caller);
    call.abort();
}

/// The cancellation of the call with this id, for the caller that sends it.
fn cancellation(id: &str) -> BasicProperties {
    let properties = BasicProperties::default().with_type("$/cancelRequest".into());
    properties.with_correlation_id(id.into()).with_reply_to("amq.rabbitmq.reply-to".into())
}

impl Raw {
    /// Begins a call that waits, and waits for that.
    async fn begin_waiting(&self, running: &Running, id: &str, count: usize) {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "wait", "params": [600_000]}).to_string();
        let properties = BasicProperties::default().with_reply_to(self.answers.clone());
        self.send(&running.queue, body.as_bytes(), properties.with_correlation_id(id.into())).await;
        running.waiting(count).await;
    }

    /// The address in a reply.
    async fn address_of(&mut self, running: &Running) -> String {
        let reply = self.ask(&running.queue, raw::ADD).await;
        reply.properties.reply_to().as_ref().expect("the server's address").to_string()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_ends_no_other_call() {
    needs!(RabbitMq);
    let running = Running::start().await;
    let [mut victim, mut other] = [Raw::connect(&running.url, true).await, Raw::connect(&running.url, true).await];
    let server = victim.address_of(&running).await;
    assert!(server.starts_with("amq.rabbitmq.reply-to."), "{server}");
    assert_eq!(other.address_of(&running).await, server);
    victim.begin_waiting(&running, "1", 1).await;
    other.begin_waiting(&running, "2", 2).await;
    let from_nobody = BasicProperties::default().with_type("$/cancelRequest".into()).with_correlation_id("1".into());
    let from_a_queue = from_nobody.clone().with_reply_to("replies".into());
    let guessed = from_nobody.clone().with_reply_to("amq.rabbitmq.reply-to.guess".into());
    let json = br#"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":1}}"#;
    let long = vec![0xFF; 1 << 20];
    #[rustfmt::skip]
    let cases = [
        (cancellation("1"), &b""[..]),
        (cancellation("the id"), b""),
        (cancellation("nobody's"), b""),
        (from_nobody, b""),
        (from_a_queue, b""),
        (guessed, b""),
        (BasicProperties::default(), json),
        (BasicProperties::default().with_reply_to("amq.rabbitmq.reply-to".into()), json),
        (cancellation("1").with_type("cancel".into()), json),
        (cancellation("1").with_content_encoding("gzip".into()), b"\xFF\x00\x1F\x8B"),
        (BasicProperties::default(), &long),
    ];
    for (properties, body) in cases {
        other.send(&server, body, properties).await;
    }
    // Messages arrive in order, so the server has seen the others when it ends this call.
    other.send(&server, b"", cancellation("2")).await;
    running.waiting_at_once(1).await;
    assert_eq!(victim.address_of(&running).await, server);
    victim.send(&server, b"", cancellation("1")).await;
    running.waiting_at_once(0).await;
    let answered = timeout(Duration::from_millis(100), victim.consumer.next()).await;
    assert!(answered.is_err(), "nothing answers a call that is cancelled");
}

/// The way to a broker for which the queue of direct reply-to is a queue like any other, and missing.
async fn without_direct_reply_to(broker: &Broker) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (url, target) = (format!("amqp://{}", listener.local_addr().unwrap()), broker.url.replace("amqp://", ""));
    tokio::spawn(async move {
        while let Ok((server, _)) = listener.accept().await {
            let (mut requests, mut responses) = server.into_split();
            let (mut from_broker, mut to_broker) = TcpStream::connect(&target).await.unwrap().into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_broker, &mut responses).await });
            tokio::spawn(async move {
                let mut bytes = Vec::with_capacity(1 << 16);
                while requests.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
                    // The whole name, with its length; what the broker makes of it is longer.
                    if let Some(at) = bytes.windows(22).position(|name| name == b"\x15amq.rabbitmq.reply-to") {
                        bytes[at + 1] = b'x';
                    }
                    to_broker.write_all(&bytes).await.unwrap();
                    bytes.clear();
                }
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_direct_reply_to_serves_all_the_same() {
    needs!(RabbitMq);
    let broker = shared_broker().await;
    let (real, stop, queue) = (Arc::<Real>::default(), CancellationToken::new(), new_queue());
    let server = Server::connect(&without_direct_reply_to(broker).await).await.unwrap().queue(&queue);
    let service = Arc::new(DemoService::new(Arc::clone(&real)));
    let serving = tokio::spawn(server.serve(service, Budget::new(Limits::default()), stop.clone()));
    let running = Running { url: broker.url.clone(), queue, real, stop, serving };
    running.ready().await;
    let mut raw = Raw::connect(&broker.url, true).await;
    assert_eq!(raw.ask(&running.queue, raw::ADD).await.properties.reply_to(), &None);
    logged(broker, "no queue 'xmq.rabbitmq.reply-to'").await;
    let client = running.known().await;
    let dropped = wait(&client);
    running.waiting(1).await;
    dropped.abort();
    running.waiting(0).await;
}

/// So a cancellation, or a reply, can't have the address of another channel without knowing it.
#[tokio::test(flavor = "multi_thread")]
async fn the_broker_gives_an_address_only_to_a_channel_that_consumes() {
    needs!(RabbitMq);
    let raw = Raw::connect(&shared_broker().await.url, false).await;
    raw.send("", b"", cancellation("1")).await;
    until("the broker closes the channel", async || raw.is_closed()).await;
    logged(shared_broker().await, "fast reply consumer does not exist").await;
}

/// A caller whose replies go to a queue gets no address, and has nothing to cancel.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_with_a_queue_of_its_own_gets_no_address() {
    needs!(RabbitMq);
    let running = Running::start().await;
    let mut raw = Raw::connect(&running.url, false).await;
    assert_eq!(raw.ask(&running.queue, raw::ADD).await.properties.reply_to(), &None);
}
