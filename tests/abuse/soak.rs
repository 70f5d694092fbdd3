//! Millions of mixed calls over all wires into one program, whose memory must not grow.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use everywire::{Caller, Code, Result, RpcError, grpc, jsonrpc, xmlrpc, zerorpc};
use everywire_toolkit::{Toolkit, ToolkitClient};
use tokio::task::JoinSet;
use zeromq::{ReqSocket, Socket, SocketRecv, SocketSend};

use crate::{attacks::Wire, runtime, server::Server};

/// Calls in flight over each wire.
const IN_FLIGHT: usize = 64;
/// What the memory at the end may be of that after a tenth of the calls.
const GROWTH: f64 = 1.1;
/// Locks and resources have so many names, of which each comes again only long after it was let go.
const NAMES: u64 = 100_000;

/// The calls so far, of all wires.
struct Count {
    next: AtomicU64,
    done: AtomicU64,
    all: u64,
}

impl Count {
    /// The number of the next call, if there is one.
    fn next(&self) -> Option<u64> {
        Some(self.next.fetch_add(1, Relaxed)).filter(|number| *number < self.all)
    }
}

/// Runs `all` calls and prints how it goes; true if the memory stayed.
pub(crate) fn soak(all: u64) -> bool {
    runtime().block_on(async {
        let mut server = Server::start(["--other", "0"]).await;
        let count = Arc::new(Count { next: AtomicU64::new(0), done: AtomicU64::new(0), all });
        let mut callers = callers(&server, &count).await;
        let first = watch(&server, &count, &mut callers).await;
        let (last, trouble) = (server.resident(), server.trouble());
        let grown = last / first;
        println!(
            "{all} calls: RSS {first:.1} MB after a tenth, {last:.1} MB at the end ({grown:.2}x of at most {GROWTH}x)"
        );
        trouble.inspect(|trouble| println!("{trouble}")).is_none() && grown <= GROWTH
    })
}

/// Prints a line each second until all calls are done. The memory after a tenth of them, in MB.
async fn watch(server: &Server, count: &Count, callers: &mut JoinSet<()>) -> f64 {
    let (begun, mut first, mut printed) = (Instant::now(), None, Instant::now());
    loop {
        let done = count.done.load(Relaxed);
        if first.is_none() && done >= count.all / 10 {
            first = Some(server.resident());
        }
        if printed.elapsed() >= Duration::from_secs(1) || done == count.all {
            printed = Instant::now();
            let seconds = begun.elapsed().as_secs_f64();
            #[expect(clippy::cast_precision_loss, reason = "for people")]
            let (calls, left) = (done as f64, (count.all - done) as f64);
            let (rate, memory) = (calls / seconds, server.resident());
            println!("{done:>10} calls, {rate:>7.0}/s, {:>5.0} s left, RSS {memory:.1} MB", left / rate.max(1.0));
        }
        if done == count.all {
            return first.unwrap_or_default();
        }
        if let Ok(Some(ended)) = tokio::time::timeout(Duration::from_millis(10), callers.join_next()).await {
            ended.expect("every call is answered as it should be");
        }
    }
}

async fn callers(server: &Server, count: &Arc<Count>) -> JoinSet<()> {
    let url = |scheme: &str, wire| format!("{scheme}://{}", server.address(wire));
    let [xml, json, ws] = [url("http", Wire::Xmlrpc), url("http", Wire::JsonHttp), url("ws", Wire::JsonWs)];
    let [proto, zero, locker] = [url("http", Wire::Grpc), url("tcp", Wire::Zerorpc), url("tcp", Wire::Locker)];
    let mut callers = JoinSet::new();
    start(&mut callers, count, async || xmlrpc::Client::connect(&xml).await).await;
    start(&mut callers, count, async || jsonrpc::Client::connect(&json).await).await;
    start(&mut callers, count, async || jsonrpc::Client::connect(&ws).await).await;
    start(&mut callers, count, async || grpc::Client::connect(&proto).await).await;
    start(&mut callers, count, async || zerorpc::Client::connect(&zero).await).await;
    for _ in 0..IN_FLIGHT {
        let mut socket = ReqSocket::new();
        socket.connect(&locker).await.unwrap();
        let count = Arc::clone(count);
        callers.spawn(async move {
            while count.next().is_some() {
                socket.send("let me go".into()).await.unwrap();
                let answer = String::try_from(socket.recv().await.unwrap()).unwrap();
                assert!(matches!(&*answer, "go" | "sorry"), "the locker says {answer}");
                count.done.fetch_add(1, Relaxed);
            }
        });
    }
    callers
}

/// Starts the calls over one wire.
async fn start<C: Caller + 'static>(
    callers: &mut JoinSet<()>,
    count: &Arc<Count>,
    connect: impl AsyncFn() -> Result<C>,
) {
    let known = ToolkitClient::new(connect().await.unwrap());
    let unknown = other::ToolkitClient::new(connect().await.unwrap());
    let clients = Arc::new((known, unknown));
    for _ in 0..IN_FLIGHT {
        let (clients, count) = (Arc::clone(&clients), Arc::clone(count));
        callers.spawn(async move {
            while let Some(number) = count.next() {
                call(&clients.0, &clients.1, number).await.unwrap_or_else(|error| panic!("call {number}: {error}"));
                count.done.fetch_add(1, Relaxed);
            }
        });
    }
}

/// A service of the same name with a method that the program does not have.
mod other {
    use everywire::Result;

    #[everywire::service(package = "everywire.v1")]
    pub(super) trait Toolkit {
        /// Nothing of the kind.
        async fn subtract(&self, a: i64, b: i64) -> Result<i64>;
    }
}

/// One call of the mix; an error if the answer is not what it should be.
async fn call(known: &impl Toolkit, unknown: &impl other::Toolkit, number: u64) -> Result<()> {
    let name = |number: u64| format!("name {}", number % NAMES);
    let owner = || "soak".to_owned();
    match number % 10 {
        0..4 => same(known.add(number.cast_signed(), 4).await? == number.cast_signed() + 4),
        4 => known.next_id().await.map(drop),
        5 => same(known.next_ids(10).await?.len() == 10),
        6 => known.lock(name(number), 1_000, None, Some(owner())).await.map(drop),
        // It may come before the lock that it undoes, which then expires.
        7 => known.unlock(name(number - 1), owner()).await.map(drop),
        8 => known.acquire(name(number), None).await.map(drop),
        _ => match number / 10 % 3 {
            0 => fails(known.lock(name(number), 0, None, None).await, Code::InvalidArgument),
            1 => fails(known.add(i64::MAX, 1).await, Code::OutOfRange),
            _ => fails(unknown.subtract(7, 4).await, Code::Unimplemented),
        },
    }
}

fn same(is_same: bool) -> Result<()> {
    if is_same { Ok(()) } else { Err(RpcError::internal("another answer than expected")) }
}

fn fails<T>(answer: Result<T>, code: Code) -> Result<()> {
    same(answer.err().is_some_and(|error| error.code() == code))
}
