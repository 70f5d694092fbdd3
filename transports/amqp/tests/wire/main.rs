//! Server, client and a real broker between them; and each side against messages written by hand.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are outside of test functions")]

mod addresses;
mod cancel;
mod hostile;
mod outage;
mod raw;
mod rights;
mod streams;
mod waits;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{
            AtomicU64, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::{Duration, Instant},
};

use everywire_amqp::{Client, Server};
use everywire_core::{Budget, Code, Limits, Origin, Result, Transport, wire::CancellationToken};
use everywire_testing::{broker::Broker, needs};
use tokio::{
    sync::{Notify, OnceCell},
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};

/// Longer than anything here takes.
const DEADLINE: Duration = Duration::from_mins(1);

/// Calls that are counted.
#[everywire_core::service(package = "demo.v1")]
trait Demo {
    /// Adds two integers.
    #[idempotent]
    async fn add(&self, a: i64, b: i64) -> Result<i64>;
    /// Counts its runs.
    async fn count(&self) -> Result<u64>;
    /// Counts too, and says that this does no harm.
    #[idempotent]
    async fn count_again(&self) -> Result<u64>;
    /// Counts its runs with this key.
    async fn mark(&self, key: u64) -> Result<()>;
    /// Waits for a time.
    async fn wait(&self, ms: u64) -> Result<u64>;
    /// Waits until it is told to end.
    #[waits]
    async fn until_told(&self) -> Result<()>;
    /// Ends the waits of all that wait.
    async fn tell(&self) -> Result<()>;
    /// Gives a text back.
    async fn text(&self, text: String) -> Result<String>;
}

#[derive(Default)]
struct Real {
    counted: AtomicU64,
    /// Runs of `mark` by key.
    marks: Mutex<HashMap<u64, usize>>,
    /// Waits that run.
    waiting: AtomicUsize,
    told: Notify,
}

/// A wait that runs.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Demo for Arc<Real> {
    async fn add(&self, a: i64, b: i64) -> Result<i64> {
        Ok(a + b)
    }

    async fn count(&self) -> Result<u64> {
        Ok(self.counted.fetch_add(1, SeqCst) + 1)
    }

    async fn count_again(&self) -> Result<u64> {
        self.count().await
    }

    async fn mark(&self, key: u64) -> Result<()> {
        *self.marks.lock().unwrap().entry(key).or_default() += 1;
        Ok(())
    }

    async fn wait(&self, ms: u64) -> Result<u64> {
        let _waiting = Waiting::begin(&self.waiting);
        sleep(Duration::from_millis(ms)).await;
        Ok(ms)
    }

    async fn until_told(&self) -> Result<()> {
        let told = self.told.notified();
        let _waiting = Waiting::begin(&self.waiting);
        told.await;
        Ok(())
    }

    async fn tell(&self) -> Result<()> {
        self.told.notify_waiters();
        Ok(())
    }

    async fn text(&self, text: String) -> Result<String> {
        Ok(text)
    }
}

/// The broker of all tests but those that kill it.
async fn shared_broker() -> &'static Broker {
    static BROKER: OnceCell<Broker> = OnceCell::const_new();
    BROKER.get_or_init(Broker::start).await
}

/// The time that the [`strict_broker`] gives a server to acknowledge.
const ACKNOWLEDGEMENT_TIME: Duration = Duration::from_secs(3);

/// A broker that gives little time to acknowledge, and that tests give users to.
async fn strict_broker() -> &'static Broker {
    static BROKER: OnceCell<Broker> = OnceCell::const_new();
    let start = async || {
        let broker = Broker::start().await;
        let set = |name: &str, millis| broker.ctl(["eval", &format!("application:set_env(rabbit, {name}, {millis}).")]);
        set("consumer_timeout", ACKNOWLEDGEMENT_TIME.as_millis());
        set("channel_tick_interval", 1_000);
        broker
    };
    BROKER.get_or_init(start).await
}

/// A queue that no other test has.
fn new_queue() -> String {
    static LAST: AtomicUsize = AtomicUsize::new(0);
    format!("test-{}", LAST.fetch_add(1, Relaxed))
}

/// A server with a queue of its own.
struct Running {
    url: String,
    queue: String,
    real: Arc<Real>,
    stop: CancellationToken,
    serving: JoinHandle<Result<()>>,
}

impl Running {
    async fn start() -> Self {
        Self::start_at(&shared_broker().await.url, &new_queue(), Limits::default()).await
    }

    async fn start_at(url: &str, queue: &str, limits: Limits) -> Self {
        let (real, stop) = (Arc::<Real>::default(), CancellationToken::new());
        let server = Server::connect(url).await.unwrap().queue(queue);
        let service = Arc::new(DemoService::new(Arc::clone(&real)));
        let serving = tokio::spawn(server.serve(service, Budget::new(limits), stop.clone()));
        let running = Self { url: url.to_owned(), queue: queue.to_owned(), real, stop, serving };
        running.ready().await;
        running
    }

    /// Waits until it consumes.
    async fn ready(&self) {
        let client = self.client().await;
        until("the server consumes", async || client.add(3, 4).await.is_ok()).await;
    }

    async fn client(&self) -> DemoClient<Client> {
        DemoClient::new(Client::connect(&self.url).await.unwrap().queue(&self.queue))
    }

    fn counted(&self) -> u64 {
        self.real.counted.load(SeqCst)
    }

    async fn waiting(&self, count: usize) {
        until(&format!("{count} waits"), async || self.real.waiting.load(SeqCst) == count).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Waits until something is so; names it if it never is.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waited = async {
        while !is_so().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, waited).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_are_in_flight_on_one_channel() {
    needs!(RabbitMq);
    let running = Running::start().await;
    let client = Arc::new(running.client().await);
    let mut calls = JoinSet::new();
    for number in 0..1_000 {
        let client = Arc::clone(&client);
        calls.spawn(async move { (number, client.add(number, 1).await) });
    }
    while let Some(call) = calls.join_next().await {
        let (number, sum) = call.unwrap();
        assert_eq!(sum, Ok(number + 1));
    }
    // One that waits holds nobody up.
    let wait = client.wait(60_000);
    let others = async {
        running.waiting(1).await;
        client.add(3, 4).await
    };
    tokio::select! {
        _ = wait => panic!("it waits for a minute"),
        sum = others => assert_eq!(sum, Ok(7)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_texts_pass_and_longer_ones_are_refused() {
    needs!(RabbitMq);
    let broker = shared_broker().await;
    let limits = Limits { message_bytes: 1 << 20, ..Limits::default() };
    let running = Running::start_at(&broker.url, &new_queue(), limits).await;
    let client = running.client().await;
    let text = "x".repeat((1 << 20) - 100);
    assert_eq!(client.text(text.clone()).await, Ok(text));
    let error = client.text("x".repeat(1 << 20)).await.unwrap_err();
    assert_eq!((error.code(), error.origin()), (Code::ResourceExhausted, Origin::Remote), "{error}");
    let error = client.text("x".repeat(9 << 20)).await.unwrap_err();
    assert_eq!((error.code(), error.origin()), (Code::ResourceExhausted, Origin::Local), "{error}");
    assert_eq!(client.add(3, 4).await, Ok(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_queue_is_an_error_at_once() {
    needs!(RabbitMq);
    let running = Running::start().await;
    let here = running.client().await;
    let nowhere = DemoClient::new(Client::connect(&running.url).await.unwrap().queue("nobody's"));
    let since = Instant::now();
    let (one, two, three) = tokio::join!(nowhere.add(1, 2), nowhere.count(), nowhere.add(3, 4));
    for error in [one.unwrap_err(), two.unwrap_err(), three.unwrap_err()] {
        assert_eq!((error.code(), error.origin()), (Code::Unavailable, Origin::Local), "{error}");
        assert!(error.message().contains("there is no queue `nobody's` at amqp://127.0.0.1:"), "{error}");
    }
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    assert_eq!(here.add(3, 4).await, Ok(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_travels_with_the_call() {
    needs!(RabbitMq);
    let running = Running::start().await;
    let client = Client::connect(&running.url).await.unwrap().queue(&running.queue);
    let time = Duration::from_millis(300);
    let client = DemoClient::new(client.timeout(time));
    let error = client.wait(60_000).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
    running.waiting(0).await;
    // What nobody serves in time is not serving later either.
    running.stop.cancel();
    until("the end of the server", async || running.serving.is_finished()).await;
    let error = client.count().await.unwrap_err();
    assert_eq!((error.code(), error.origin()), (Code::DeadlineExceeded, Origin::Local), "{error}");
    // The broker counts from the request's arrival, so its time ends a little later than the caller's.
    sleep(time).await;
    let again = Running::start_at(&running.url, &running.queue, Limits::default()).await;
    assert_eq!(again.counted(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_call_of_a_caller_that_has_gone_is_given_up() {
    needs!(RabbitMq);
    let running = Running::start().await;
    let client = running.client().await;
    let call = tokio::spawn(async move { client.wait(600_000).await });
    running.waiting(1).await;
    call.abort();
    running.waiting(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_answers_what_has_begun_and_leaves_the_rest() {
    needs!(RabbitMq);
    let limits = Limits { calls_in_flight: 2, ..Limits::default() };
    let mut running = Running::start_at(&shared_broker().await.url, &new_queue(), limits).await;
    let client = Arc::new(running.client().await);
    let mut calls = JoinSet::new();
    for _ in 0..4 {
        let client = Arc::clone(&client);
        calls.spawn(async move { client.wait(500).await });
    }
    running.waiting(2).await;
    running.stop.cancel();
    assert_eq!((&mut running.serving).await.unwrap(), Ok(()));
    for _ in 0..2 {
        assert_eq!(calls.join_next().await.unwrap().unwrap(), Ok(500));
    }
    assert!(timeout(Duration::from_millis(200), calls.join_next()).await.is_err(), "the others wait for a server");
    let _again = Running::start_at(&running.url, &running.queue, Limits::default()).await;
    while let Some(call) = calls.join_next().await {
        assert_eq!(call.unwrap(), Ok(500));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn urls_and_brokers_that_are_wrong() {
    needs!(RabbitMq);
    let url = &shared_broker().await.url;
    #[rustfmt::skip]
    let cases = [
        ("nonsense".to_owned(), Code::InvalidArgument, "the URL of the broker is not valid"),
        ("http://localhost".to_owned(), Code::InvalidArgument, "the URL of the broker is not valid"),
        ("amqps://localhost".to_owned(), Code::Unimplemented, "there is no encryption yet"),
        ("amqp://127.0.0.1:1".to_owned(), Code::Unavailable, "no broker at amqp://127.0.0.1:1: "),
        (url.replace("amqp://", "amqp://guest:hunter2@"), Code::Unauthenticated, "rejects the user or the password"),
        (format!("{url}/nowhere"), Code::PermissionDenied, "/nowhere rejects the connection: NOT_ALLOWED - vhost nowhere"),
    ];
    for (url, code, text) in cases {
        for error in
            [Client::connect(&url).await.map(drop).unwrap_err(), Server::connect(&url).await.map(drop).unwrap_err()]
        {
            assert_eq!((error.code(), error.origin()), (code, Origin::Local), "{url}: {error}");
            assert!(error.message().contains(text) && !error.message().contains("hunter2"), "{url}: {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trailing_slash_names_the_default_virtual_host() {
    needs!(RabbitMq);
    let running = Running::start().await;
    let client = Client::connect(&format!("{}/", running.url)).await.unwrap().queue(&running.queue);
    assert_eq!(DemoClient::new(client).add(3, 4).await, Ok(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_too_long_for_a_queue_is_an_error() {
    needs!(RabbitMq);
    let url = &shared_broker().await.url;
    for (bytes, is_good) in [(255, true), (256, false), (70_000, false)] {
        let name = "q".repeat(bytes);
        let server = Server::new(url).unwrap().queue(&name);
        assert_eq!(server.check(DemoService::descriptor()).is_ok(), is_good, "{bytes}");
        let error = DemoClient::new(Client::connect(url).await.unwrap().queue(&name)).add(3, 4).await.unwrap_err();
        let expected = if is_good { Code::Unavailable } else { Code::FailedPrecondition };
        assert_eq!(error.code(), expected, "{bytes}: {error}");
        assert!(is_good || error.message().len() < 100, "{error}");
    }
}

/// A peer that takes connections and says nothing costs the time of a handshake.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_broker_is_given_up() {
    needs!(RabbitMq);
    tokio::join!(is_given_up("127.0.0.1:0"), is_given_up("[::1]:0"));
}

async fn is_given_up(address: &str) {
    let silent = tokio::net::TcpListener::bind(address).await.unwrap();
    let url = format!("amqp://{}", silent.local_addr().unwrap());
    let error = timeout(DEADLINE, Client::connect(&url)).await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    let (mut peer, _) = silent.accept().await.unwrap();
    let mut rest = Vec::new();
    timeout(DEADLINE, tokio::io::AsyncReadExt::read_to_end(&mut peer, &mut rest)).await.unwrap().unwrap();
    assert_eq!(rest, b"AMQP\0\0\x09\x01", "the socket is closed, which ends lapin's thread");
}
