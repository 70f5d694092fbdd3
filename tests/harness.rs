//! One service value mounted on every wire, on free ports, and a client of each wire.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use everywire::{
    Budget, Caller, Code, Context, Limits, Server, Service, Tcp, amqp, grpc, jsonrpc, memory, wire::CancellationToken,
    xmlrpc, zerorpc,
};
use serde_json::{Value, json};
use tokio::{sync::OnceCell, task::JoinHandle, time::sleep};

use everywire_testing::{broker::Broker, needs::Need};

pub(crate) use everywire_testing::soon;

/// A running server. It stops when this is dropped.
pub(crate) struct Wires<S> {
    service: Arc<S>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) xmlrpc: SocketAddr,
    pub(crate) jsonrpc: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) zerorpc: SocketAddr,
    /// The queue of the requests over AMQP.
    pub(crate) queue: String,
    stop: CancellationToken,
    serving: Option<JoinHandle<everywire::Result<()>>>,
}

impl<S: Service> Wires<S> {
    /// Serves on free ports.
    pub(crate) async fn serve(service: S) -> Self {
        Self::serve_within(service, Limits::default()).await
    }

    /// Serves on free ports within `limits`.
    pub(crate) async fn serve_within(service: S, limits: Limits) -> Self {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::serve_at(service, [free; 4], limits).await
    }

    /// The scheme and the address of each wire that has a port.
    pub(crate) fn urls(&self) -> [(&'static str, SocketAddr); 5] {
        [
            ("xmlrpc", self.xmlrpc),
            ("jsonrpc", self.jsonrpc),
            ("jsonrpc+ws", self.jsonrpc),
            ("grpc", self.grpc),
            ("zerorpc", self.zerorpc),
        ]
    }

    /// Serves XML-RPC, JSON-RPC, gRPC and zerorpc on these ports.
    pub(crate) async fn serve_at(service: S, addresses: [SocketAddr; 4], limits: Limits) -> Self {
        let service = Arc::new(service);
        let [xml, json, proto, zero] = addresses.map(|address| address.to_string());
        let (xml, json) = (Tcp::bind(&xml).await.unwrap(), Tcp::bind(&json).await.unwrap());
        let (proto, zero) = (Tcp::bind(&proto).await.unwrap(), Tcp::bind(&zero).await.unwrap());
        let queue = new_queue();
        let stop = CancellationToken::new();
        let (xmlrpc, jsonrpc, grpc, zerorpc) = (xml.address(), json.address(), proto.address(), zero.address());
        let server = Server::with_limits(Arc::clone(&service), limits);
        let budget = server.budget();
        let mut server = server
            .mount((xml, xmlrpc::Server::new()))
            .mount((json, jsonrpc::Server::new()))
            .mount((proto, grpc::Server::new()))
            .mount((zero, zerorpc::Server::new()));
        if Need::RabbitMq.is_met() {
            server = server.mount(amqp::Server::connect(&broker().await.url).await.unwrap().queue(&queue));
        }
        let serving = server.serve_until(stop.clone().cancelled_owned());
        let serving = Some(tokio::spawn(async { serving.await.inspect_err(|error| eprintln!("the server: {error}")) }));
        Self { service, budget, xmlrpc, jsonrpc, grpc, zerorpc, queue, stop, serving }
    }

    pub(crate) fn addresses(&self) -> [SocketAddr; 4] {
        [self.xmlrpc, self.jsonrpc, self.grpc, self.zerorpc]
    }

    pub(crate) fn memory(&self) -> memory::Client<S> {
        memory::Client::new(Arc::clone(&self.service))
    }

    pub(crate) async fn xmlrpc(&self) -> xmlrpc::Client {
        xmlrpc::Client::connect(&format!("http://{}", self.xmlrpc)).await.unwrap()
    }

    pub(crate) async fn jsonrpc(&self) -> jsonrpc::Client {
        jsonrpc::Client::connect(&format!("http://{}", self.jsonrpc)).await.unwrap()
    }

    pub(crate) async fn jsonrpc_ws(&self) -> jsonrpc::Client {
        jsonrpc::Client::connect(&format!("ws://{}", self.jsonrpc)).await.unwrap()
    }

    pub(crate) async fn grpc(&self) -> grpc::Client {
        grpc::Client::connect(&format!("http://{}", self.grpc)).await.unwrap()
    }

    pub(crate) async fn zerorpc(&self) -> zerorpc::Client {
        zerorpc::Client::connect(&format!("tcp://{}", self.zerorpc)).await.unwrap()
    }

    /// Once the server consumes: until then its queue may be missing. Needs RabbitMQ.
    pub(crate) async fn amqp(&self) -> amqp::Client {
        let client = amqp::Client::connect(&broker().await.url).await.unwrap().queue(&self.queue);
        let any = self.service.services().methods().next().unwrap().1;
        let not_an_argument = json!({ "is anybody": "there?" });
        let served = async {
            while client.call::<_, Value>(any, &Context::new(), &not_an_argument).await.unwrap_err().code()
                == Code::Unavailable
            {
                sleep(Duration::from_millis(5)).await;
            }
        };
        soon("amqp serves", served).await;
        client
    }

    /// Begins the stop, and says later how it went.
    pub(crate) fn stop(&mut self) -> JoinHandle<everywire::Result<()>> {
        self.stop.cancel();
        self.ended()
    }

    /// How the server ended, by itself or stopped.
    pub(crate) fn ended(&mut self) -> JoinHandle<everywire::Result<()>> {
        self.serving.take().unwrap()
    }
}

impl<S> Drop for Wires<S> {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The broker of all tests that [`Need::RabbitMq`]: a start takes some seconds.
pub(crate) async fn broker() -> &'static Broker {
    static BROKER: OnceCell<Broker> = OnceCell::const_new();
    BROKER.get_or_init(Broker::start).await
}

/// A queue that no other server has.
fn new_queue() -> String {
    static LAST: AtomicUsize = AtomicUsize::new(0);
    format!("wires-{}", LAST.fetch_add(1, Relaxed))
}

/// Runs a block once per wire, with the wire's name and a client of it: over AMQP if RabbitMQ is installed.
macro_rules! on_every_wire {
    ($wires:expr, |$wire:ident, $caller:ident| $block:block) => {{
        let wires = &$wires;
        on_every_wire!(@one "memory", wires.memory(), $wire, $caller, $block);
        on_every_wire!(@one "xmlrpc", wires.xmlrpc().await, $wire, $caller, $block);
        on_every_wire!(@one "jsonrpc over HTTP", wires.jsonrpc().await, $wire, $caller, $block);
        on_every_wire!(@one "jsonrpc over WebSocket", wires.jsonrpc_ws().await, $wire, $caller, $block);
        on_every_wire!(@one "grpc", wires.grpc().await, $wire, $caller, $block);
        on_every_wire!(@one "zerorpc", wires.zerorpc().await, $wire, $caller, $block);
        if everywire_testing::needs::Need::RabbitMq.is_met() {
            on_every_wire!(@one "amqp", wires.amqp().await, $wire, $caller, $block);
        }
    }};
    (@one $name:literal, $client:expr, $wire:ident, $caller:ident, $block:block) => {{
        let $wire = $name;
        let $caller = $client;
        $crate::harness::soon($wire, async $block).await;
    }};
}
pub(crate) use on_every_wire;
