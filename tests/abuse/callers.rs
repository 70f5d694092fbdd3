//! Ordinary clients of every wire, which call at a fixed rate whatever the answers do.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use everywire::{Caller, Result, RpcError, grpc, jsonrpc, xmlrpc, zerorpc};
use everywire_toolkit::{Toolkit, ToolkitClient};
use tokio::{runtime::Handle, time::timeout};
use zeromq::{ReqSocket, Socket, SocketRecv, SocketSend};

use crate::{attacks::Wire, server::Server};

/// The time between two calls over one wire.
const PERIOD: Duration = Duration::from_millis(10);
/// A call that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(5);

type Answer = Pin<Box<dyn Future<Output = Result<()>> + Send>>;
type Call = Box<dyn Fn() -> Answer + Send>;

/// Calls under way, until this is dropped.
pub(crate) struct Callers {
    window: Arc<Mutex<Arc<Window>>>,
    /// The calls go on while it is there.
    _running: Arc<()>,
}

/// The calls that were due in one stretch of time.
#[derive(Default)]
struct Window(Mutex<Tally>);

/// How calls went.
#[derive(Default)]
pub(crate) struct Tally {
    times: Vec<Duration>,
    /// The first failure and how many there were.
    pub(crate) failed: Option<(String, usize)>,
}

impl Callers {
    pub(crate) async fn start(server: &Server) -> Self {
        let calls = calls(server).await;
        for (wire, call) in &calls {
            call().await.unwrap_or_else(|error| panic!("{wire}, undisturbed: {error}"));
        }
        let (window, running) = (Arc::<Mutex<Arc<Window>>>::default(), Arc::new(()));
        let (windows, alive, handle) = (Arc::clone(&window), Arc::downgrade(&running), Handle::current());
        // A thread of its own wakes on time; the runtime's timer is late by a millisecond or two.
        thread::spawn(move || {
            let gap = PERIOD / u32::try_from(calls.len()).unwrap();
            let mut due = Instant::now();
            for &(wire, ref call) in calls.iter().cycle() {
                thread::sleep(due.saturating_duration_since(Instant::now()));
                if alive.strong_count() == 0 {
                    return;
                }
                let window = Arc::clone(&windows.lock().unwrap());
                let answer = call();
                handle.spawn(async move {
                    let outcome = timeout(PATIENCE, answer).await;
                    window.note(wire, due, outcome.unwrap_or_else(|_| Err(RpcError::deadline_exceeded("it hangs"))));
                });
                due += gap;
            }
        });
        Self { window, _running: running }
    }

    /// Begins a new stretch and gives the last one, once all calls of it have ended.
    pub(crate) async fn turn(&self) -> Tally {
        let last = std::mem::take(&mut *self.window.lock().unwrap());
        while Arc::strong_count(&last) > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        last.0.lock().map(|mut tally| std::mem::take(&mut *tally)).unwrap()
    }
}

impl Window {
    fn note(&self, wire: &str, due: Instant, outcome: Result<()>) {
        let time = due.elapsed();
        let mut tally = self.0.lock().unwrap();
        tally.times.push(time);
        if let Err(error) = outcome {
            tally.failed.get_or_insert_with(|| (format!("{wire} after {time:.1?}: {error}"), 0)).1 += 1;
        }
    }
}

impl Tally {
    /// Adds calls, and forgets the oldest beyond `kept`.
    pub(crate) fn add(&mut self, other: Self, kept: usize) {
        self.times.extend(other.times);
        self.failed = self.failed.take().or(other.failed);
        self.times.drain(..self.times.len().saturating_sub(kept));
    }

    pub(crate) fn calls(&self) -> usize {
        self.times.len()
    }

    pub(crate) fn p99(&self) -> Duration {
        let mut times = self.times.clone();
        times.sort_unstable();
        times.get(times.len() * 99 / 100).copied().unwrap_or_default()
    }
}

async fn calls(server: &Server) -> Vec<(&'static str, Call)> {
    let at = |wire| server.address(wire);
    let locker = locker(&format!("tcp://{}", at(Wire::Locker))).await;
    vec![
        ("XML-RPC", add(xmlrpc::Client::connect(&format!("http://{}", at(Wire::Xmlrpc))).await)),
        ("JSON-RPC", in_turn(add(jsonrpc::Client::connect(&format!("http://{}", at(Wire::JsonHttp))).await))),
        ("WebSocket", add(jsonrpc::Client::connect(&format!("ws://{}", at(Wire::JsonWs))).await)),
        ("gRPC", add(grpc::Client::connect(&format!("http://{}", at(Wire::Grpc))).await)),
        ("zerorpc", add(zerorpc::Client::connect(&format!("tcp://{}", at(Wire::Zerorpc))).await)),
        ("locker", locker),
    ]
}

fn add(caller: Result<impl Caller + 'static>) -> Call {
    let client = Arc::new(ToolkitClient::new(caller.unwrap()));
    Box::new(move || {
        let client = Arc::clone(&client);
        Box::pin(async move {
            let sum = client.add(3, 4).await?;
            if sum == 7 { Ok(()) } else { Err(RpcError::internal(format_args!("3 + 4 is {sum}"))) }
        })
    })
}

/// One call at a time. Calls that overlap open connections that are idle later, and hyper's client uses one at the very
/// moment when the server closes it.
fn in_turn(call: Call) -> Call {
    let turn = Arc::new(tokio::sync::Mutex::new(()));
    Box::new(move || {
        let (turn, answer) = (Arc::clone(&turn), call());
        Box::pin(async move {
            let _turn = turn.lock().await;
            answer.await
        })
    })
}

/// REQ asks one thing at a time, so a late answer makes the next ones late.
async fn locker(url: &str) -> Call {
    let mut socket = ReqSocket::new();
    socket.connect(url).await.unwrap();
    let socket = Arc::new(tokio::sync::Mutex::new(socket));
    Box::new(move || {
        let socket = Arc::clone(&socket);
        Box::pin(async move {
            let mut socket = socket.lock().await;
            socket.send("let me go".into()).await.map_err(RpcError::internal)?;
            let answer = String::try_from(socket.recv().await.map_err(RpcError::internal)?);
            match answer.as_deref() {
                Ok("go" | "sorry") => Ok(()),
                answer => Err(RpcError::internal(format_args!("the locker says {answer:?}"))),
            }
        })
    })
}
