//! What travels with a call, over every wire: metadata, deadline, trace and cancellation.

use std::{
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use everywire::{
    Code, Context, Limits, Metadata, Result, RpcError, Trace, amqp, schemars::JsonSchema, serde, service,
    wire::CancellationToken,
};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
};

use crate::harness::{Wires, broker, on_every_wire, soon};

/// What a method sees of the context of its call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "everywire::serde")]
#[schemars(crate = "everywire::schemars")]
pub(crate) struct Seen {
    wire: String,
    has_address: bool,
    tenant: Option<String>,
    key: Option<String>,
    left_ms: Option<u64>,
    trace_id: Option<String>,
    span_id: Option<String>,
    state: Option<String>,
}

#[service(package = "probe.v1")]
pub(crate) trait Hops {
    /// What this call sees.
    async fn seen(&self, cx: &Context) -> Result<Seen>;
    /// What this call sees, and then those on the way through the other servers. The last one waits if `waits`.
    async fn hop(&self, cx: &Context, rest: Vec<String>, waits: bool) -> Result<Vec<Seen>>;
    /// Waits until nobody wants the reply any longer.
    async fn wait(&self) -> Result<u32>;
    /// Adds.
    async fn add(&self, a: u32, b: u32) -> Result<u32>;
}

#[derive(Clone, Default)]
struct Probe(Arc<State>);

#[derive(Default)]
struct State {
    calls: AtomicUsize,
    begun: Notify,
    dropped: Notify,
    /// The time at which the last waiting call was dropped.
    dropped_at: std::sync::Mutex<Option<Instant>>,
}

/// Notices that a call is dropped.
struct Waiting(Arc<State>);

impl Drop for Waiting {
    fn drop(&mut self) {
        *self.0.dropped_at.lock().unwrap() = Some(Instant::now());
        self.0.dropped.notify_one();
    }
}

impl Probe {
    async fn wait_for_ever(&self) -> Result<u32> {
        let _waiting = Waiting(Arc::clone(&self.0));
        self.0.begun.notify_one();
        std::future::pending().await
    }
}

fn seen(cx: &Context) -> Seen {
    let peer = cx.peer.as_ref().unwrap();
    let text = |name| cx.metadata.get(name).map(str::to_owned);
    Seen {
        wire: peer.wire.to_owned(),
        has_address: peer.address.is_some(),
        tenant: text("tenant"),
        key: text("key-bin"),
        left_ms: cx.time_left().map(|left| u64::try_from(left.as_millis()).unwrap()),
        trace_id: cx.trace.as_ref().map(Trace::trace_id),
        span_id: cx.trace.as_ref().map(Trace::span_id),
        state: cx.trace.as_ref().and_then(Trace::state).map(str::to_owned),
    }
}

impl Hops for Probe {
    async fn seen(&self, cx: &Context) -> Result<Seen> {
        self.0.calls.fetch_add(1, Relaxed);
        Ok(seen(cx))
    }

    async fn hop(&self, cx: &Context, mut rest: Vec<String>, waits: bool) -> Result<Vec<Seen>> {
        if rest.is_empty() {
            return if waits { self.wait_for_ever().await.map(|_| Vec::new()) } else { Ok(vec![seen(cx)]) };
        }
        let here = seen(cx);
        let next = rest.remove(0);
        // A URL of a broker has the queue behind it.
        let further = if let Some((broker, queue)) = next.split_once('#') {
            let client = HopsClient::new(amqp::Client::connect(broker).await?.queue(queue));
            // A client can cancel a call at once at a server that has replied to it.
            client.add(3, 4).await?;
            Box::pin(async move { client.hop(cx, rest, waits).await }).await
        } else {
            let client = HopsClient::new(everywire::connect(&next).await?);
            Box::pin(async move { client.hop(cx, rest, waits).await }).await
        };
        further.map(|further| [vec![here], further].concat())
    }

    async fn wait(&self) -> Result<u32> {
        self.wait_for_ever().await
    }

    async fn add(&self, a: u32, b: u32) -> Result<u32> {
        Ok(a + b)
    }
}

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn trace() -> Trace {
    Trace::parse(PARENT, Some("vendor=x")).unwrap()
}

/// The wire that a service sees behind the client of the harness with this name.
fn wire_of(client: &str) -> &str {
    if client.starts_with("jsonrpc") { "jsonrpc" } else { client }
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_deadline_and_trace_travel_on_every_wire() {
    let wires = Wires::serve(HopsService::new(Probe::default())).await;
    let cx = Context::new().metadata("tenant", "7").unwrap().metadata("key-bin", "AAH/").unwrap();
    let cx = cx.timeout(Duration::from_secs(20)).trace(trace());
    on_every_wire!(wires, |wire, caller| {
        let client = HopsClient::new(caller);
        let found = client.seen(&cx).await.unwrap();
        assert_eq!((&*found.wire, found.has_address), (wire_of(wire), !matches!(wire, "amqp" | "memory")), "{wire}");
        assert_eq!((found.tenant.as_deref(), found.key.as_deref()), (Some("7"), Some("AAH/")), "{wire}");
        assert!(found.left_ms.is_some_and(|left| (10_000..=20_000).contains(&left)), "{wire}: {found:?}");
        assert_eq!(found.trace_id.as_deref(), Some(&PARENT[3..35]), "{wire}");
        assert_ne!(found.span_id.as_deref(), Some(&PARENT[36..52]), "{wire}: a span of its own");
        assert_eq!(found.state.as_deref(), Some("vendor=x"), "{wire}");
        // A client's own context, for methods that take none.
        assert_eq!(client.with(&cx).add(3, 4).await, Ok(7), "{wire}");
        let nothing = client.seen(&Context::new()).await.unwrap();
        assert_eq!((nothing.tenant, nothing.trace_id), (None, None), "{wire}");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_has_an_end_on_every_wire() {
    let wires = Wires::serve(HopsService::new(Probe::default())).await;
    let cx = Context::new().metadata("long", &"x".repeat(Metadata::MAX_BYTES - 36)).unwrap();
    on_every_wire!(wires, |wire, caller| {
        let client = HopsClient::new(caller);
        let outcome = client.seen(&cx).await;
        // HTTP adds headers of its own to what fills the limit, and some that is no metadata here is to gRPC.
        let is_full = |error: &RpcError| error.code() == Code::ResourceExhausted;
        assert!(outcome.as_ref().map_or_else(is_full, |_| true), "{wire}: {outcome:?}");
        assert_eq!(client.add(3, 4).await, Ok(7), "{wire}");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_drops_the_call_on_every_wire() {
    let probe = Probe::default();
    let wires = Wires::serve(HopsService::new(probe.clone())).await;
    on_every_wire!(wires, |wire, caller| {
        let client = HopsClient::new(caller);
        client.add(3, 4).await.unwrap();
        let begun = Instant::now();
        let error = client.with(&Context::new().timeout(Duration::from_millis(50))).wait().await.unwrap_err();
        assert_eq!(error.code(), Code::DeadlineExceeded, "{wire}: {error}");
        soon(wire, probe.0.dropped.notified()).await;
        let took = probe.0.dropped_at.lock().unwrap().unwrap() - begun;
        println!("{wire:<12} dropped after {took:?}");
        assert!(took >= Duration::from_millis(45), "{wire}: {took:?}");
        assert!(took < Duration::from_millis(60) + SLACK, "{wire}: {took:?}");
    });
}

/// What a busy machine may add. Shorter than the 5 s after which a server over AMQP looks for its callers, and than any other timeout.
const SLACK: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_deadline_has_passed_does_not_run() {
    let probe = Probe::default();
    let wires = Wires::serve(HopsService::new(probe.clone())).await;
    let late = Context::new().timeout(Duration::ZERO);
    on_every_wire!(wires, |wire, caller| {
        let error = HopsClient::new(caller).seen(&late).await.unwrap_err();
        assert_eq!(error.code(), Code::DeadlineExceeded, "{wire}: {error}");
    });
    assert_eq!(probe.0.calls.load(Relaxed), 0);
}

/// The response to a raw request over HTTP/1, on a connection that stays open meanwhile.
async fn posted(address: SocketAddr, header: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request = format!("POST / HTTP/1.1\r\nHost: localhost\r\n{header}Content-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = Vec::new();
    while !String::from_utf8_lossy(&response).contains("deadline") {
        let read = soon(header, stream.read_buf(&mut response)).await.unwrap();
        assert!(read > 0, "{header}: {}", String::from_utf8_lossy(&response));
    }
    String::from_utf8(response).unwrap()
}

/// The server itself ends the calls of clients that leave their connections open.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_ends_calls_at_their_deadlines_by_itself() {
    const XML: &str = "<methodCall><methodName>wait</methodName></methodCall>";
    let json = |members: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"wait"{members}}}"#);
    let probe = Probe::default();
    let wires = Wires::serve(HopsService::new(probe.clone())).await;
    for (address, header, body) in [
        (wires.xmlrpc, "grpc-timeout: 50m\r\n", XML.to_owned()),
        (wires.xmlrpc, "connect-timeout-ms: 50\r\n", XML.to_owned()),
        (wires.jsonrpc, "grpc-timeout: 50000u\r\n", json("")),
        (wires.jsonrpc, "", json(r#","timeout_ms":50"#)),
    ] {
        let begun = Instant::now();
        let response = posted(address, header, &body).await;
        assert!(response.contains("wait did not finish by its caller's deadline"), "{header}: {response}");
        soon(header, probe.0.dropped.notified()).await;
        let took = probe.0.dropped_at.lock().unwrap().unwrap() - begun;
        assert!(took >= Duration::from_millis(50) && took < Duration::from_millis(60) + SLACK, "{header}: {took:?}");
    }
    let late = posted(wires.jsonrpc, "grpc-timeout: 0n\r\n", &json("")).await;
    assert!(late.contains("the caller's deadline passed before wait began"), "{late}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_context_that_is_cancelled_ends_the_call_on_every_wire() {
    let probe = Probe::default();
    let wires = Wires::serve(HopsService::new(probe.clone())).await;
    on_every_wire!(wires, |wire, caller| {
        let token = CancellationToken::new();
        let client = HopsClient::new(caller);
        // Over AMQP the client knows the server from its first reply.
        assert_eq!(client.add(3, 4).await, Ok(7), "{wire}");
        let client = client.with(&Context::new().cancelled_by(token.clone()));
        let waiting = tokio::spawn(async move { client.wait().await });
        soon(wire, probe.0.begun.notified()).await;
        let cancelled = Instant::now();
        token.cancel();
        let error = soon(wire, waiting).await.unwrap().unwrap_err();
        assert_eq!(error.code(), Code::Cancelled, "{wire}: {error}");
        soon(wire, probe.0.dropped.notified()).await;
        let took = probe.0.dropped_at.lock().unwrap().unwrap() - cancelled;
        println!("{wire:<12} dropped after {took:?}");
        assert!(took < SLACK, "{wire}: {took:?}");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_call_ends_beside_another_on_every_wire() {
    let probe = Probe::default();
    let wires = Wires::serve(HopsService::new(probe.clone())).await;
    on_every_wire!(wires, |wire, caller| {
        let client = HopsClient::new(caller);
        assert_eq!(client.add(3, 4).await, Ok(7), "{wire}");
        let begin = || {
            let client = client.clone();
            tokio::spawn(async move { client.wait().await })
        };
        let other = begin();
        soon(wire, probe.0.begun.notified()).await;
        let call = begin();
        soon(wire, probe.0.begun.notified()).await;
        let dropped = Instant::now();
        call.abort();
        soon(wire, probe.0.dropped.notified()).await;
        let took = probe.0.dropped_at.lock().unwrap().unwrap() - dropped;
        println!("{wire:<12} ended after {took:?}");
        assert!(took < SLACK && !other.is_finished(), "{wire}: {took:?}");
        other.abort();
        soon(wire, probe.0.dropped.notified()).await;
    });
}

/// The servers that a chain passes, each over another wire, and back at the first.
async fn chain(wires: &Wires<HopsService<Probe>>) -> Vec<String> {
    let mut chain: Vec<_> = wires.urls().into_iter().map(|(scheme, address)| format!("{scheme}://{address}")).collect();
    if everywire_testing::needs::Need::RabbitMq.is_met() {
        drop(wires.amqp().await);
        chain.insert(2, format!("{}#{}", broker().await.url, wires.queue));
    }
    chain
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_over_all_wires_keeps_its_trace_and_its_deadline_falls() {
    let wires = Wires::serve_within(HopsService::new(Probe::default()), Limits::default()).await;
    let mut chain = chain(&wires).await;
    let first = HopsClient::new(everywire::connect(&chain.remove(0)).await.unwrap());
    let hops = chain.len() + 1;
    let cx = Context::new().timeout(Duration::from_secs(20)).trace(trace()).metadata("tenant", "7").unwrap();
    let seen = first.hop(&cx, chain, false).await.unwrap();
    assert_eq!(seen.len(), hops);
    let traces: Vec<_> = seen.iter().map(|seen| seen.trace_id.as_deref()).collect();
    assert_eq!(traces, vec![Some(&PARENT[3..35]); hops]);
    let mut spans: Vec<_> = seen.iter().map(|seen| seen.span_id.clone()).collect();
    spans.sort();
    spans.dedup();
    assert_eq!(spans.len(), hops, "a span for each call");
    assert!(seen.is_sorted_by(|one, next| one.left_ms >= next.left_ms && next.left_ms > Some(0)), "{seen:?}");
    let tenants: Vec<_> = seen.iter().filter_map(|seen| seen.tenant.as_deref()).collect();
    assert_eq!(tenants, ["7"], "only the first call has what its caller added");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_the_first_call_of_a_chain_ends_the_last() {
    static PROBE: OnceLock<Probe> = OnceLock::new();
    let probe = PROBE.get_or_init(Probe::default);
    let wires = Wires::serve(HopsService::new(probe.clone())).await;
    let mut chain = chain(&wires).await;
    let first = HopsClient::new(everywire::connect(&chain.remove(0)).await.unwrap());
    let call = tokio::spawn(async move { first.hop(&Context::new(), chain, true).await });
    soon("the last call", probe.0.begun.notified()).await;
    let cancelled = Instant::now();
    call.abort();
    soon("the end of the last call", probe.0.dropped.notified()).await;
    let took = probe.0.dropped_at.lock().unwrap().unwrap() - cancelled;
    println!("ended after {took:?}");
    assert!(took < Duration::from_millis(10) + SLACK, "{took:?}");
}
