//! Waits for a lock over the wires: their order, and that who goes away leaves the queue at once.

use std::{
    fmt::Debug,
    net::SocketAddr,
    ops::RangeBounds,
    pin::Pin,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use everywire::{Caller, Code, Limits, grpc, jsonrpc, memory, zerorpc};
use everywire_testing::{needs, needs::Need};
use everywire_toolkit::{Embedded, Toolkit, ToolkitClient, ToolkitService};
use tokio::{
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    task::JoinHandle,
    time::sleep,
};

use crate::{
    contract::embedded,
    harness::{Wires, on_every_wire, soon},
    program::{PROGRAM, signal},
};

/// How soon a wait must have left the queue. No lease in these tests ends as soon.
const AT_ONCE: Duration = Duration::from_secs(1);
pub(crate) const MINUTE_MS: u64 = 60_000;

/// The locks as they are behind the wires.
pub(crate) struct Locks(ToolkitClient<memory::Client<ToolkitService<Embedded>>>);

impl Locks {
    pub(crate) fn of(wires: &Wires<ToolkitService<Embedded>>) -> Self {
        Self(ToolkitClient::new(wires.memory()))
    }

    async fn hold(&self, name: &str) {
        assert!(self.0.lock(name.into(), MINUTE_MS, None, Some("holder".into())).await.unwrap().granted, "{name}");
    }

    async fn release(&self, name: &str) {
        assert_eq!(self.0.unlock(name.into(), "holder".into()).await, Ok(true), "{name}");
    }

    /// Waits until so many calls wait for the lock.
    pub(crate) async fn waiting(&self, name: &str, count: impl RangeBounds<u32> + Debug) {
        let counted = async {
            while !count.contains(&self.0.lock_state(name.into()).await.unwrap().waiting) {
                sleep(Duration::from_micros(100)).await;
            }
        };
        soon(&format!("{name}: {count:?} waiting"), counted).await;
    }

    /// Releases the lock for whoever has it now.
    pub(crate) async fn next(&self, name: &str) {
        let granted = async {
            loop {
                if let Some(owner) = self.owner(name).await {
                    break self.0.unlock(name.into(), owner).await;
                }
            }
        };
        assert_eq!(soon(name, granted).await, Ok(true), "{name}");
    }

    async fn owner(&self, name: &str) -> Option<String> {
        self.0.lock_state(name.into()).await.unwrap().owner
    }

    /// The wait that `begin` begins is in the queue, another behind it, and `end` ends the first one's client: it leaves
    /// the queue at once, and the lock goes to the other one.
    async fn leaves_at_once<W>(&self, name: &str, begin: impl FnOnce() -> W, end: impl AsyncFnOnce(W)) {
        self.hold(name).await;
        let waiter = begin();
        self.waiting(name, 1..=1).await;
        let next = self.0.lock(name.into(), MINUTE_MS, Some(MINUTE_MS), Some("next".into()));
        let others = async {
            self.waiting(name, 2..=2).await;
            let since = Instant::now();
            end(waiter).await;
            self.waiting(name, 1..=1).await;
            assert!(since.elapsed() < AT_ONCE, "{name}: it leaves the queue after {:?}", since.elapsed());
            self.release(name).await;
            Instant::now()
        };
        let (next, since) = tokio::join!(next, others);
        assert!(next.unwrap().granted && since.elapsed() < AT_ONCE, "{name}: granted after {:?}", since.elapsed());
    }
}

/// Begins to wait for the lock `name`, for longer than any test takes.
fn wait<C: Caller>(client: &Arc<ToolkitClient<C>>, name: &str) -> JoinHandle<everywire::Result<bool>> {
    wait_as(client, name, "waiter".into())
}

pub(crate) fn wait_as<C: Caller>(
    client: &Arc<ToolkitClient<C>>,
    name: &str,
    owner: String,
) -> JoinHandle<everywire::Result<bool>> {
    let (client, name) = (Arc::clone(client), name.to_owned());
    tokio::spawn(async move {
        let grant = client.lock(name, MINUTE_MS, Some(MINUTE_MS), Some(owner)).await;
        grant.map(|grant| grant.granted)
    })
}

/// A program that waits for the lock `name`.
fn wait_in_program(scheme: &str, address: SocketAddr, name: &str, ttl_ms: u64) -> Child {
    let (url, ttl) = (format!("{scheme}://{address}"), ttl_ms.to_string());
    Command::new(PROGRAM)
        .args(["call", "--timeout", "1min", &url, "lock", name, &ttl, "60000", "waiter"])
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_call_leaves_the_queue_at_once() {
    let wires = Wires::serve(ToolkitService::new(embedded())).await;
    let locks = Locks::of(&wires);
    on_every_wire!(wires, |wire, caller| {
        // The client outlives its call.
        let client = Arc::new(ToolkitClient::new(caller));
        // Over AMQP it takes some seconds: see below.
        if wire != "amqp" {
            locks.leaves_at_once(wire, || wait(&client, wire), async |call| call.abort()).await;
        }
        assert_eq!(client.add(3, 4).await, Ok(7), "{wire}: the client works on");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_client_is_out_of_patience_leaves_the_queue_at_once() {
    let wires = Wires::serve(ToolkitService::new(embedded())).await;
    let locks = Locks::of(&wires);
    let patience = Duration::from_millis(300);
    runs_out(&locks, wires.xmlrpc().await.timeout(patience), "xmlrpc").await;
    runs_out(&locks, wires.jsonrpc().await.timeout(patience), "jsonrpc over HTTP").await;
    runs_out(&locks, wires.jsonrpc_ws().await.timeout(patience), "jsonrpc over WebSocket").await;
    runs_out(&locks, wires.grpc().await.timeout(patience), "grpc").await;
    runs_out(&locks, wires.zerorpc().await.timeout(patience), "zerorpc").await;
    if Need::RabbitMq.is_met() {
        runs_out(&locks, wires.amqp().await.timeout(patience), "amqp").await;
    }
}

async fn runs_out(locks: &Locks, caller: impl Caller, wire: &str) {
    let client = Arc::new(ToolkitClient::new(caller));
    let wait = || wait(&client, wire);
    let end = async |call: JoinHandle<everywire::Result<bool>>| {
        let error = call.await.unwrap().expect_err(wire);
        assert_eq!(error.code(), Code::DeadlineExceeded, "{wire}: {error}");
    };
    locks.leaves_at_once(wire, wait, end).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_program_leaves_the_queue_at_once() {
    let wires = Wires::serve(ToolkitService::new(embedded())).await;
    let locks = Locks::of(&wires);
    for (scheme, address) in wires.urls() {
        let begin = || wait_in_program(scheme, address, scheme, MINUTE_MS);
        locks.leaves_at_once(scheme, begin, async |mut program| program.kill().await.unwrap()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_connection_is_closed_or_reset_leaves_the_queue_at_once() {
    let wires = Wires::serve(ToolkitService::new(embedded())).await;
    let locks = Locks::of(&wires);
    for (scheme, address) in wires.urls() {
        for how in ["closed", "reset"] {
            let cable = Cable::to(address, how == "reset").await;
            let name = format!("{scheme}, {how}");
            let begin = || wait_in_program(scheme, cable.address, &name, MINUTE_MS);
            locks.leaves_at_once(&name, begin, async |_program| cable.cut()).await;
        }
    }
}

/// zerorpc and JSON-RPC have no word for giving a call up, and its connection can't be closed while it carries others. A
/// zerorpc server misses the heartbeats of the call, within 15 s; over a WebSocket it waits on until the others end. Over AMQP
/// it waits until the others end, and then until the server looks for its caller, every 5 s.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_call_beside_others_leaves_the_queue() {
    const MISSED: Duration = Duration::from_secs(16);
    const LOOKED_FOR: Duration = Duration::from_secs(6);
    let wires = Wires::serve(ToolkitService::new(embedded())).await;
    let (grpc, ws, zerorpc, ()) = tokio::join!(
        async { drop_beside_another(&Locks::of(&wires), wires.grpc().await, "grpc", false).await },
        async { drop_beside_another(&Locks::of(&wires), wires.jsonrpc_ws().await, "WebSocket", true).await },
        async { drop_beside_another(&Locks::of(&wires), wires.zerorpc().await, "zerorpc", false).await },
        async {
            needs!(RabbitMq);
            let after = drop_beside_another(&Locks::of(&wires), wires.amqp().await, "amqp", true).await;
            assert!(after < LOOKED_FOR, "{after:?}");
        },
    );
    assert!(grpc < AT_ONCE && ws < AT_ONCE && zerorpc < MISSED, "grpc {grpc:?}, WebSocket {ws:?}, zerorpc {zerorpc:?}");
}

/// Drops one of two calls that wait, and returns how long it stays in the queue from then on, or with `end_other` from the
/// end of the other one.
async fn drop_beside_another(locks: &Locks, caller: impl Caller, name: &str, end_other: bool) -> Duration {
    let (client, other_name) = (Arc::new(ToolkitClient::new(caller)), format!("{name}: the other"));
    locks.hold(name).await;
    locks.hold(&other_name).await;
    let (other, dropped) = (wait(&client, &other_name), wait(&client, name));
    locks.waiting(name, 1..=1).await;
    locks.waiting(&other_name, 1..=1).await;
    dropped.abort();
    assert_eq!(client.add(3, 4).await, Ok(7), "{name}: the client works on");
    if end_other {
        locks.release(&other_name).await;
        assert_eq!(other.await.unwrap(), Ok(true), "{name}");
    }
    let since = Instant::now();
    locks.waiting(name, 0..=0).await;
    since.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_calls_of_a_full_connection_leave_the_queue() {
    let wires = Wires::serve(ToolkitService::new(embedded())).await;
    let (ws, grpc, zerorpc) = tokio::join!(
        async {
            let cable = Cable::to(wires.jsonrpc, false).await;
            let client = jsonrpc::Client::connect(&format!("ws://{}", cable.address)).await.unwrap();
            fill_and_cut(&Locks::of(&wires), client, cable, "jsonrpc over WebSocket").await
        },
        async {
            let cable = Cable::to(wires.grpc, false).await;
            let client = grpc::Client::connect(&format!("http://{}", cable.address)).await.unwrap();
            fill_and_cut(&Locks::of(&wires), client, cable, "grpc").await
        },
        async {
            let cable = Cable::to(wires.zerorpc, false).await;
            let client = zerorpc::Client::connect(&format!("tcp://{}", cable.address)).await.unwrap();
            fill_and_cut(&Locks::of(&wires), client, cable, "zerorpc").await
        },
    );
    assert!(ws.max(grpc).max(zerorpc) < AT_ONCE, "WebSocket {ws:?}, grpc {grpc:?}, zerorpc {zerorpc:?}");
}

/// Has more calls wait than may run on one connection, cuts it, and returns how long they then stay in the queue.
async fn fill_and_cut(locks: &Locks, caller: impl Caller, cable: Cable, name: &str) -> Duration {
    let limit = u32::try_from(Limits::default().calls_in_flight).unwrap();
    let client = Arc::new(ToolkitClient::new(caller));
    locks.hold(name).await;
    let calls: Vec<_> = (0..2 * limit).map(|call| wait_as(&client, name, call.to_string())).collect();
    locks.waiting(name, 2 * limit..=2 * limit).await;
    cable.cut();
    let since = Instant::now();
    locks.waiting(name, 0..=0).await;
    calls.iter().for_each(JoinHandle::abort);
    since.elapsed()
}

/// A port whose connections lead to a server until they are cut.
struct Cable {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Cable {
    /// With `reset`, the server sees a reset connection, and otherwise a closed one.
    async fn to(server: SocketAddr, reset: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let mut server = TcpStream::connect(server).await.unwrap();
                if reset {
                    server.set_zero_linger().unwrap();
                }
                open.spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
            }
        });
        Self { address, task }
    }

    fn cut(&self) {
        self.task.abort();
    }
}

/// The program is stopped while it waits, so that it is granted the lock and can do nothing with it; then it is killed.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_killed_after_its_grant_delays_the_next_by_its_lease_at_most() {
    const TTL_MS: u64 = 500;
    let wires = Wires::serve(ToolkitService::new(embedded())).await;
    let locks = Locks::of(&wires);
    for (scheme, address) in wires.urls() {
        locks.hold(scheme).await;
        let mut program = wait_in_program(scheme, address, scheme, TTL_MS);
        locks.waiting(scheme, 1..=1).await;
        signal(program.id().unwrap(), "-STOP").await;
        let next = locks.0.lock(scheme.into(), MINUTE_MS, Some(MINUTE_MS), Some("next".into()));
        let others = async {
            locks.waiting(scheme, 2..=2).await;
            locks.release(scheme).await;
            let since = Instant::now();
            assert_eq!(locks.owner(scheme).await.as_deref(), Some("waiter"), "{scheme}");
            program.kill().await.unwrap();
            since
        };
        let (next, since) = tokio::join!(next, others);
        let (waited, lease) = (since.elapsed(), Duration::from_millis(TTL_MS));
        assert!(next.unwrap().granted && waited <= lease + AT_ONCE / 2, "{scheme}: granted after {waited:?}");
    }
}

/// Waits in a queue, and once granted gives the lock back.
type Waiter = Arc<dyn Fn(String, String) -> Pin<Box<dyn Future<Output = Turn> + Send>> + Send + Sync>;

/// When a waiter had the lock.
struct Turn {
    owner: String,
    token: u64,
    granted: Instant,
    /// When it asked to give the lock back, and when it was told that it has.
    releasing: Instant,
    released: Instant,
}

fn waiter(caller: impl Caller) -> Waiter {
    let toolkit = Arc::new(ToolkitClient::new(caller));
    Arc::new(move |name, owner| {
        let toolkit = Arc::clone(&toolkit);
        Box::pin(async move {
            let grant = toolkit.lock(name.clone(), MINUTE_MS, Some(MINUTE_MS), Some(owner.clone())).await.unwrap();
            let granted = Instant::now();
            assert!(grant.granted, "{owner}");
            let releasing = Instant::now();
            assert_eq!(toolkit.unlock(name, owner.clone()).await, Ok(true), "{owner}");
            Turn { owner, token: grant.token, granted, releasing, released: Instant::now() }
        })
    })
}

/// `EVERYWIRE_ROUNDS` is how often it runs; `--nocapture` shows the figures.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_waiters_on_mixed_wires_are_served_in_the_order_of_arrival() {
    let rounds = std::env::var("EVERYWIRE_ROUNDS").map_or(3, |rounds| rounds.parse().unwrap());
    let wires = Wires::serve(ToolkitService::new(embedded())).await;
    let locks = Locks::of(&wires);
    let mut waiters = Vec::new();
    on_every_wire!(wires, |wire, caller| {
        if wire != "memory" {
            waiters.push((wire, waiter(caller)));
        }
    });
    let (mut from_answer, mut from_request) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let turns = soon("a round", serve_a_hundred(&locks, &waiters, &format!("round {round}"))).await;
        for pair in turns.windows(2) {
            from_answer.push(pair[1].granted.saturating_duration_since(pair[0].released));
            from_request.push(pair[1].granted - pair[0].releasing);
        }
    }
    let p99 = report("from the answer to unlock to the next grant", &mut from_answer);
    report("from the request to unlock to the next grant", &mut from_request);
    assert!(p99 < Duration::from_millis(100), "p99 {p99:?}; an idle machine needs less than 5 ms");
}

/// Lets a hundred wait, each on the next wire, and checks that they had their turns in this order.
async fn serve_a_hundred(locks: &Locks, waiters: &[(&str, Waiter)], name: &str) -> Vec<Turn> {
    locks.hold(name).await;
    let (mut expected, mut waiting) = (Vec::new(), Vec::new());
    for ((wire, waiter), arrived) in waiters.iter().cycle().zip(1..=100) {
        let owner = format!("{arrived} over {wire}");
        expected.push(owner.clone());
        waiting.push(tokio::spawn(waiter(name.to_owned(), owner)));
        locks.waiting(name, arrived..=arrived).await;
    }
    locks.release(name).await;
    let mut turns = Vec::new();
    for turn in waiting {
        turns.push(turn.await.unwrap());
    }
    turns.sort_by_key(|turn| turn.token);
    let served: Vec<_> = turns.iter().map(|turn| &turn.owner).collect();
    assert_eq!(served, expected.iter().collect::<Vec<_>>(), "{name}");
    turns
}

/// Prints the distribution and returns its 99th percentile.
fn report(what: &str, times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    let percentile = |percent: usize| times[(times.len() - 1) * percent / 100];
    let (p50, p99, most) = (percentile(50), percentile(99), percentile(100));
    println!("{what}: p50 {p50:?}, p99 {p99:?}, most {most:?} of {}", times.len());
    p99
}
