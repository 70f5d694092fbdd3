//! What a stream promises, the same on every wire that has them.

#![expect(clippy::unwrap_used, reason = "a test fails where its assumption does")]

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use everywire::{
    Budget, Caller, Code, Context, Limits, Origin, Result, RpcError, Server, Service, Streaming, Tcp, amqp,
    descriptor::{Method, Services},
    grpc, jsonrpc, memory,
    schemars::JsonSchema,
    serde::{Deserialize, Serialize, Serializer},
    service,
    wire::{Call, CancellationToken, Connection, Io, Protocol},
    xmlrpc, zerorpc,
};
use everywire_testing::{broker::Broker, needs::Need, soon};
use futures_util::future::join_all;
use serde_json::json;
use tokio::{
    sync::{OnceCell, watch},
    task::JoinHandle,
    time::sleep,
};

#[service(package = "probe.v1")]
trait Numbers {
    /// The numbers from 0 on.
    async fn count(&self, to: u64) -> Result<Streaming<u64>>;
    /// The numbers from 0 on, and then an error.
    async fn fail(&self, after: u64) -> Result<Streaming<u64>>;
    /// Fails before it begins.
    async fn reject(&self) -> Result<Streaming<u64>>;
    /// One number, and then a panic.
    async fn panic(&self) -> Result<Streaming<u64>>;
    /// One number, and no end.
    async fn wait(&self, cx: &Context) -> Result<Streaming<u64>>;
    /// Texts of this many bytes, without end.
    async fn texts(&self, cx: &Context, bytes: u32) -> Result<Streaming<String>>;
    /// One item that can be written, and then one that can't.
    async fn unwritable(&self) -> Result<Streaming<Unwritable>>;
    /// Adds.
    async fn add(&self, a: u64, b: u64) -> Result<u64>;
}

/// It panics when it is written, if it is 4711.
#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(crate = "everywire::serde")]
#[schemars(crate = "everywire::schemars")]
struct Unwritable(u64);

impl Serialize for Unwritable {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        assert!(self.0 != 4711, "as asked");
        serializer.serialize_newtype_struct("Unwritable", &self.0)
    }
}

#[derive(Clone)]
struct Probe(Arc<State>);

struct State {
    /// How many streams are open.
    open: watch::Sender<usize>,
    made: AtomicU64,
    /// How many contexts of `wait` have been cancelled.
    cancelled: watch::Sender<usize>,
}

/// A stream that is open.
struct Open(Arc<State>);

impl Open {
    fn new(state: &Arc<State>) -> Self {
        state.open.send_modify(|open| *open += 1);
        Self(Arc::clone(state))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open -= 1);
    }
}

impl Probe {
    fn new() -> Self {
        let open = watch::Sender::new(0);
        Self(Arc::new(State { open, made: AtomicU64::new(0), cancelled: watch::Sender::new(0) }))
    }

    async fn all_closed(&self) {
        self.opened(0).await;
    }

    /// Waits until so many contexts of `wait` have been cancelled.
    async fn cancelled(&self, count: usize) {
        let mut cancelled = self.0.cancelled.subscribe();
        soon("a stream's end cancels its context", cancelled.wait_for(|cancelled| *cancelled == count)).await.unwrap();
    }

    async fn opened(&self, count: usize) {
        soon("streams open and close", self.0.open.subscribe().wait_for(|open| *open == count)).await.unwrap();
    }
}

fn late() -> RpcError {
    RpcError::new(Code::Aborted, "enough").with_data(json!({ "at": [1, 2] }))
}

impl Numbers for Probe {
    async fn count(&self, to: u64) -> Result<Streaming<u64>> {
        Ok(Streaming::of(0..to))
    }

    async fn fail(&self, after: u64) -> Result<Streaming<u64>> {
        Ok(Streaming::produce(move |items| async move {
            for number in 0..after {
                items.send(number).await?;
            }
            Err(late())
        }))
    }

    async fn reject(&self) -> Result<Streaming<u64>> {
        Err(late())
    }

    async fn panic(&self) -> Result<Streaming<u64>> {
        Ok(Streaming::produce(|items| async move {
            items.send(0).await?;
            panic!("as asked")
        }))
    }

    async fn wait(&self, cx: &Context) -> Result<Streaming<u64>> {
        let (open, state, cancellation) = (Open::new(&self.0), Arc::clone(&self.0), cx.cancellation());
        tokio::spawn(async move {
            cancellation.cancelled().await;
            state.cancelled.send_modify(|cancelled| *cancelled += 1);
        });
        Ok(Streaming::produce(|items| async move {
            let _open = open;
            items.send(7).await?;
            std::future::pending().await
        }))
    }

    async fn texts(&self, _cx: &Context, bytes: u32) -> Result<Streaming<String>> {
        let (open, state) = (Open::new(&self.0), Arc::clone(&self.0));
        Ok(Streaming::produce(move |items| async move {
            let _open = open;
            loop {
                state.made.fetch_add(1, Relaxed);
                items.send("x".repeat(bytes as usize)).await?;
            }
        }))
    }

    async fn unwritable(&self) -> Result<Streaming<Unwritable>> {
        Ok(Streaming::of([Unwritable(1), Unwritable(4711)]))
    }

    async fn add(&self, a: u64, b: u64) -> Result<u64> {
        Ok(a + b)
    }
}

/// Binds a port; any if it is 0.
async fn bind(port: u16) -> Tcp {
    soon("a free port", async {
        loop {
            match Tcp::bind(&format!("127.0.0.1:{port}")).await {
                Ok(tcp) => return tcp,
                Err(_) => sleep(Duration::from_millis(10)).await,
            }
        }
    })
    .await
}

/// The URL of a virtual host that no other server uses, if RabbitMQ is installed.
async fn virtual_host() -> Option<String> {
    static BROKER: OnceCell<Broker> = OnceCell::const_new();
    static LAST: AtomicUsize = AtomicUsize::new(0);
    if !Need::RabbitMq.is_met() {
        return None;
    }
    let broker = BROKER.get_or_init(Broker::start).await;
    let name = format!("streams-{}", LAST.fetch_add(1, Relaxed));
    broker.ctl(["add_vhost", &name]);
    broker.ctl(["set_permissions", "-p", &name, "guest", ".*", ".*", ".*"]);
    Some(format!("{}/{name}", broker.url))
}

/// A server on every wire that has streams: on RabbitMQ if that is installed.
struct Wires {
    probe: Probe,
    budget: Arc<Budget>,
    /// One for each wire that has streams.
    urls: Vec<String>,
    ports: [u16; 4],
    broker: Option<String>,
    stop: CancellationToken,
    serving: JoinHandle<Result<()>>,
}

impl Wires {
    async fn serve() -> Self {
        Self::serve_within(Limits::default()).await
    }

    async fn serve_within(limits: Limits) -> Self {
        Self::serve_at([0; 4], virtual_host().await, limits).await
    }

    /// Serves gRPC, zerorpc, JSON-RPC and XML-RPC at these ports, and AMQP at this `broker`.
    async fn serve_at(ports: [u16; 4], broker: Option<String>, limits: Limits) -> Self {
        let probe = Probe::new();
        let server = Server::with_limits(NumbersService::new(probe.clone()), limits).grace(Duration::from_millis(100));
        let [grpc, zerorpc, jsonrpc, xmlrpc] = join_all(ports.map(bind)).await.try_into().unwrap();
        let ports = [&grpc, &zerorpc, &jsonrpc, &xmlrpc].map(|tcp: &Tcp| tcp.address().port());
        let mut urls = vec![
            format!("grpc://{}", grpc.address()),
            format!("zerorpc://{}", zerorpc.address()),
            format!("jsonrpc://{}", jsonrpc.address()),
            format!("ws://{}", jsonrpc.address()),
            format!("xmlrpc://{}", xmlrpc.address()),
        ];
        let mut server = server
            .mount((grpc, grpc::Server::new()))
            .mount((zerorpc, zerorpc::Server::new()))
            .mount((jsonrpc, jsonrpc::Server::new()))
            .mount((xmlrpc, xmlrpc::Server::new()));
        if let Some(url) = &broker {
            let (amqp, budget) = (amqp::Server::connect(url).await.unwrap(), server.budget());
            server = server.mount(amqp.subscribe(NumbersService::descriptor(), budget.limits()).await.unwrap());
            urls.push(url.clone());
        }
        let (budget, stop) = (server.budget(), CancellationToken::new());
        let serving = tokio::spawn(server.serve_until(stop.clone().cancelled_owned()));
        Self { probe, budget, urls, ports, broker, stop, serving }
    }

    fn memory(&self) -> NumbersClient<memory::Client<NumbersService<Probe>>> {
        NumbersClient::new(memory::Client::new(Arc::new(NumbersService::new(self.probe.clone()))))
    }

    async fn over(&self, url: &str) -> NumbersClient<everywire::Client> {
        NumbersClient::new(everywire::connect(url).await.unwrap())
    }
}

async fn next<T: 'static>(items: &mut Streaming<T>) -> Option<Result<T>> {
    soon("an item", items.next()).await
}

/// Reads `items` to the end: how many there were, which have to be the numbers in order, and the error behind them.
async fn read(mut items: Streaming<u64>) -> (u64, Option<RpcError>) {
    let mut count = 0;
    while let Some(item) = next(&mut items).await {
        match item {
            Ok(number) => assert_eq!(number, count),
            Err(error) => {
                assert_eq!(next(&mut items).await, None, "an error is the last item");
                return (count, Some(error));
            }
        }
        count += 1;
    }
    (count, None)
}

async fn items_are_in_order(client: &NumbersClient<impl Caller>) {
    // A million in a release build.
    let many = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
    for count in [0, 1, 2, 1_000, many] {
        assert_eq!(read(client.count(count).await.unwrap()).await, (count, None));
    }
    assert_eq!(client.add(3, 4).await, Ok(7));
}

async fn an_error_follows_its_items(client: &NumbersClient<impl Caller>) {
    for after in [0, 1, 1_000] {
        let (count, error) = read(client.fail(after).await.unwrap()).await;
        assert_eq!(count, after);
        let error = error.unwrap();
        assert_eq!((error.code(), error.message(), error.origin()), (Code::Aborted, "enough", Origin::Remote));
        // zerorpc has no place for it.
        assert!(error.data().is_none_or(|data| Some(data) == late().data()), "{error:?}");
    }
    assert_eq!(client.reject().await.unwrap_err().code(), Code::Aborted);
    let (count, error) = read(client.panic().await.unwrap()).await;
    assert_eq!((count, error.map(|error| error.code())), (1, Some(Code::Internal)));
    let mut items = client.unwritable().await.unwrap();
    assert_eq!(next(&mut items).await, Some(Ok(Unwritable(1))));
    assert_eq!(next(&mut items).await.unwrap().unwrap_err().code(), Code::Internal);
    assert_eq!(client.add(3, 4).await, Ok(7), "other calls on the connection go on");
}

async fn a_stream_ends_early(client: &NumbersClient<impl Caller>, probe: &Probe, in_memory: bool) {
    let before = *probe.0.cancelled.borrow();
    // Its reader drops it.
    let mut items = client.wait(&Context::new()).await.unwrap();
    assert_eq!(next(&mut items).await, Some(Ok(7)));
    probe.opened(1).await;
    assert_eq!(*probe.0.cancelled.borrow(), before, "the context lasts as long as the stream");
    drop(items);
    probe.all_closed().await;
    probe.cancelled(before + 1).await;
    // Its context is cancelled.
    let token = CancellationToken::new();
    let mut items = client.wait(&Context::new().cancelled_by(token.clone())).await.unwrap();
    assert_eq!(next(&mut items).await, Some(Ok(7)));
    token.cancel();
    assert_eq!(next(&mut items).await.unwrap().unwrap_err().code(), Code::Cancelled);
    drop(items);
    probe.all_closed().await;
    probe.cancelled(before + 2).await;
    // Its deadline passes.
    let started = Instant::now();
    let mut items = client.wait(&Context::new().timeout(Duration::from_millis(200))).await.unwrap();
    assert_eq!(next(&mut items).await, Some(Ok(7)));
    assert_eq!(next(&mut items).await.unwrap().unwrap_err().code(), Code::DeadlineExceeded);
    assert!(started.elapsed() >= Duration::from_millis(150), "{:?}", started.elapsed());
    probe.all_closed().await;
    probe.cancelled(before + 3).await;
    // Its deadline passes while its reader takes nothing.
    let items = client.texts(&Context::new().timeout(Duration::from_millis(200)), 100_000).await.unwrap();
    probe.opened(1).await;
    if in_memory {
        drop(items);
    }
    probe.all_closed().await;
}

async fn a_slow_reader_slows_the_server(client: &NumbersClient<impl Caller>, probe: &Probe, in_memory: bool) {
    let (before, counted) = (probe.0.made.load(Relaxed), Arc::clone(&probe.0));
    let made = || counted.made.load(Relaxed) - before;
    let mut items = client.texts(&Context::new(), 100_000).await.unwrap();
    if in_memory {
        assert_eq!(made(), 0, "nothing is made that nobody asks for");
    } else {
        soon("some are made", async {
            while made() == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }
    // Until nothing more is made.
    let mut last = u64::MAX;
    while std::mem::replace(&mut last, made()) != made() {
        sleep(Duration::from_millis(50)).await;
    }
    assert!(made() < 200, "{} items are on the way to somebody who reads none", made());
    for _ in 0..300 {
        assert_eq!(next(&mut items).await.unwrap().unwrap().len(), 100_000);
    }
    drop(items);
    probe.all_closed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn items_arrive_in_order_and_an_error_behind_them() {
    let wires = Wires::serve().await;
    items_are_in_order(&wires.memory()).await;
    an_error_follows_its_items(&wires.memory()).await;
    for url in &wires.urls {
        let client = wires.over(url).await;
        items_are_in_order(&client).await;
        an_error_follows_its_items(&client).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_nobody_wants_it_any_longer() {
    let wires = Wires::serve().await;
    a_stream_ends_early(&wires.memory(), &wires.probe, true).await;
    for url in &wires.urls {
        a_stream_ends_early(&wires.over(url).await, &wires.probe, false).await;
        soon(url, async {
            while wires.budget.calls() > 0 {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sets_the_pace() {
    let wires = Wires::serve().await;
    a_slow_reader_slows_the_server(&wires.memory(), &wires.probe, true).await;
    for url in &wires.urls {
        a_slow_reader_slows_the_server(&wires.over(url).await, &wires.probe, false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn open_streams_are_calls_that_wait() {
    let limits = Limits { waiting_calls: 3, calls_in_flight: 1, ..Limits::default() };
    let wires = Wires::serve_within(limits).await;
    for url in &wires.urls {
        let client = wires.over(url).await;
        let mut open = Vec::new();
        for _ in 0..3 {
            open.push(client.wait(&Context::new()).await.unwrap());
        }
        assert_eq!(wires.budget.calls(), 3, "{url}");
        let rejected = client.wait(&Context::new()).await.unwrap_err();
        assert_eq!(rejected.code(), Code::ResourceExhausted, "{url}: {rejected}");
        assert_eq!(client.add(3, 4).await, Ok(7), "{url}: streams keep out no other call");
        drop(open);
        wires.probe.all_closed().await;
    }
}

/// A layer that replaces the context by a clone of it.
struct Changed<S> {
    service: S,
}

impl<S: Service> Service for Changed<S> {
    fn services(&self) -> &Services {
        self.service.services()
    }

    async fn dispatch<C: Call>(&self, method: &'static Method, call: &mut C) -> C::Reply {
        let cx = call.context().unwrap();
        *cx = cx.clone().timeout(Duration::from_hours(1));
        self.service.dispatch(method, call).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_may_replace_the_context_of_a_stream() {
    let (probe, tcp) = (Probe::new(), bind(0).await);
    let url = format!("grpc://{}", tcp.address());
    let server = Server::new(NumbersService::new(probe.clone())).layer(|service| Changed { service });
    let budget = server.budget();
    let serving = tokio::spawn(server.mount((tcp, grpc::Server::new())).serve_until(std::future::pending()));
    let client = NumbersClient::new(everywire::connect(&url).await.unwrap());
    let mut items = client.wait(&Context::new()).await.unwrap();
    assert_eq!(next(&mut items).await, Some(Ok(7)));
    assert_eq!((budget.calls(), *probe.0.cancelled.borrow()), (1, 0));
    drop(items);
    probe.all_closed().await;
    probe.cancelled(1).await;
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_ends_streams_after_the_grace_period() {
    let wires = Wires::serve().await;
    let mut open = Vec::new();
    for url in &wires.urls {
        let mut items = wires.over(url).await.wait(&Context::new()).await.unwrap();
        assert_eq!(next(&mut items).await, Some(Ok(7)));
        open.push((url, items));
    }
    // Nobody reads these: over zerorpc there is no credit for their end.
    let mut unread = Vec::new();
    for url in &wires.urls {
        unread.push(wires.over(url).await.texts(&Context::new(), 10).await.unwrap());
    }
    wires.probe.opened(2 * wires.urls.len()).await;
    wires.stop.cancel();
    for (url, mut items) in open {
        let error = next(&mut items).await.unwrap().unwrap_err();
        assert_eq!((error.code(), error.origin()), (Code::Unavailable, Origin::Remote), "{url}: {error}");
    }
    wires.probe.all_closed().await;
    drop(unread);
    let cut_off = soon("the server ends", wires.serving).await.unwrap().unwrap_err();
    assert_eq!(cut_off.code(), Code::DeadlineExceeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_gone_is_an_error_and_never_an_end() {
    let wires = Wires::serve().await;
    let mut open = Vec::new();
    for url in &wires.urls {
        let mut items = wires.over(url).await.wait(&Context::new()).await.unwrap();
        assert_eq!(next(&mut items).await, Some(Ok(7)));
        open.push((url, items));
    }
    wires.serving.abort();
    for (url, mut items) in open {
        let error = next(&mut items).await.unwrap().unwrap_err();
        assert_eq!((error.code(), error.origin()), (Code::Unavailable, Origin::Local), "{url}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_does_not_survive_its_server_unnoticed() {
    let wires = Wires::serve().await;
    let mut open = Vec::new();
    for url in &wires.urls {
        let client = wires.over(url).await;
        let mut items = client.texts(&Context::new(), 1_000).await.unwrap();
        assert!(next(&mut items).await.unwrap().is_ok());
        open.push((url, client, items));
    }
    wires.serving.abort();
    wires.probe.all_closed().await;
    let restarted = Wires::serve_at(wires.ports, wires.broker, Limits::default()).await;
    for (url, client, mut items) in open {
        let error = loop {
            match next(&mut items).await {
                Some(Ok(_)) => {}
                Some(Err(error)) => break error,
                None => panic!("{url}: an end without an error"),
            }
        };
        assert_eq!(error.code(), Code::Unavailable, "{url}: {error}");
        assert_eq!(client.add(3, 4).await, Ok(7), "{url}: the client finds the new server");
    }
    restarted.probe.all_closed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_stop_cost_no_more_than_what_is_unsent() {
    const READERS: usize = 64;
    const BYTES: u32 = 10_000;
    let wires = Wires::serve().await;
    let made = || wires.probe.0.made.load(Relaxed);
    for url in &wires.urls {
        let (other, before, mut open) = (wires.over(url).await, made(), Vec::new());
        for _ in 0..READERS {
            let client = wires.over(url).await;
            let mut items = client.texts(&Context::new(), BYTES).await.unwrap();
            assert!(next(&mut items).await.unwrap().is_ok());
            open.push((client, items));
        }
        // Until nothing more is made.
        let mut last = 0;
        while std::mem::replace(&mut last, made()) != made() {
            assert_eq!(other.add(3, 4).await, Ok(7), "{url}: other calls go on");
            sleep(Duration::from_millis(100)).await;
        }
        let unsent = Limits::default().unsent_bytes;
        let buffered = wires.budget.bytes();
        assert!(buffered <= READERS * unsent, "{url}: {buffered} bytes at the server");
        // Wherever they are: at the server, on the way, or at the client, which grants 2 MiB over gRPC.
        let made = usize::try_from(made() - before).unwrap() * BYTES as usize / READERS;
        assert!(made <= 3 * unsent, "{url}: {made} bytes for each reader");
        assert_eq!(wires.budget.calls(), READERS, "{url}: none is given up");
        drop(open);
        wires.probe.all_closed().await;
    }
}

/// A wire that has no streams.
struct Lines;

impl Protocol for Lines {
    const NAME: &'static str = "lines";
    const SCHEME: &'static str = "lines";
    type Shared = ();

    fn start(self, _services: &Services) -> Result<()> {
        Ok(())
    }

    async fn serve<S: Service>(_: Arc<()>, _: S, _: Connection<impl Io>) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_wire_without_streams_rejects_them_by_name() {
    let server = Server::new(NumbersService::new(Probe::new())).mount((bind(0).await, Lines));
    let error = server.serve_until(std::future::ready(())).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "FAILED_PRECONDITION: lines can't carry probe.v1.Numbers: it has no streams, and these methods need them: \
         count, fail, reject, panic, wait, texts, \
         unwritable"
    );
}
