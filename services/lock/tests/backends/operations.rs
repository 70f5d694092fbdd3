//! Checks that need a separate engine: its traffic, its clock, its end and its return.

use std::{
    process::{Command, Output},
    sync::Arc,
    time::{Duration, Instant},
};

use everywire_core::Code;
use everywire_lock::{Backend, Locks};
use tokio::time::sleep;

use crate::bench::{At, LONG, answer, ms_since, pause, soon};
use everywire_testing::engine::{Engine, Kind};

/// Two servers and their engines.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) servers: [Arc<Backend>; 2],
    pub(crate) engines: Vec<Engine>,
}

impl Subject {
    pub(crate) fn at(&self, server: usize, name: &str) -> At {
        At { locks: Arc::clone(&self.servers[server % 2]), name: name.to_owned() }
    }

    /// The number of requests that the engines received.
    fn requests(&self) -> i64 {
        self.engines.iter().map(requests).sum()
    }
}

/// The engine's own counter of requests.
fn requests(engine: &Engine) -> i64 {
    let port = engine.port;
    let script = match engine.kind {
        Kind::Redis => format!("redis-cli -p {port} info stats | grep -oP '(?<=total_commands_processed:)[0-9]+'"),
        Kind::Postgres => format!(
            "psql -h 127.0.0.1 -p {port} -U postgres -tAc 'select sum(xact_commit + xact_rollback) from pg_stat_database'"
        ),
        Kind::MariaDb => {
            format!("mariadb -h 127.0.0.1 -P {port} -u root -Ne \"show global status like 'Questions'\" | cut -f2")
        }
        Kind::ZooKeeper => {
            format!(
                "exec 3<>/dev/tcp/127.0.0.1/{port}; echo mntr >&3; grep -oP '(?<=zk_packets_received\\t)[0-9]+' <&3"
            )
        }
    };
    let Output { stdout, stderr, .. } = Command::new("bash").args(["-c", &script]).output().unwrap();
    let count = String::from_utf8(stdout).unwrap();
    count.trim().parse().unwrap_or_else(|_| panic!("{count:?} {}", String::from_utf8_lossy(&stderr)))
}

/// Whether waiters wait without polling: the requests that an engine receives from 40 waiters in 3 s, including those that read
/// its counters.
pub(crate) async fn pushes(subject: &Subject) -> bool {
    const WAITERS: usize = 40;
    const ASKING: i64 = 100;
    subject.at(0, "traffic").take("holder", LONG).await;
    let waits: Vec<_> =
        (0..WAITERS).map(|number| subject.at(number, "traffic").wait(&number.to_string(), LONG, LONG)).collect();
    pause(1_500).await;
    let before = subject.requests();
    pause(3_000).await;
    let heard = subject.requests() - before;
    println!("{}: {heard} requests of {WAITERS} waiters in 3 s", subject.name);
    waits.iter().for_each(tokio::task::JoinHandle::abort);
    assert!(subject.at(0, "traffic").unlock("holder").await);
    heard < ASKING
}

/// From an unlock to the next grant, 99 of 100.
pub(crate) async fn hand_off(subject: &Subject) -> Duration {
    const WAITERS: usize = 100;
    let at = |number| subject.at(number, "hand-off");
    at(0).take("holder", LONG).await;
    let mut waits = Vec::new();
    for number in 0..WAITERS {
        let at = at(number);
        let wait = tokio::spawn(async move {
            assert!(at.lock(&number.to_string(), LONG, LONG).await.granted);
            let granted = Instant::now();
            (granted, at, number)
        });
        waits.push(wait);
    }
    pause(500).await;
    let mut times = Vec::new();
    let mut freed = Instant::now();
    assert!(at(0).unlock("holder").await);
    let mut waits: futures_util::stream::FuturesUnordered<_> = waits.into_iter().collect();
    while let Some(next) = soon("the next", futures_util::StreamExt::next(&mut waits)).await {
        let (granted, at, owner) = next.unwrap();
        times.push(granted - freed);
        freed = Instant::now();
        assert!(at.unlock(&owner.to_string()).await);
    }
    times.sort_unstable();
    let [half, most] = [WAITERS / 2, WAITERS * 99 / 100 - 1].map(|index| times[index]);
    println!("{}: hand-off to {WAITERS} waiters: p50 {half:?}, p99 {most:?}", subject.name);
    most
}

/// Whether a lease ends when the engine's clock is set forward. If so, a waiter gets the lock before the lease would have ended;
/// the waiters' positions have ended with the leases, and so has their order.
pub(crate) async fn follows_the_clock(kind: Kind) -> bool {
    let engine = Engine::start_with_clock(kind).await;
    let locks = Arc::new(Backend::connect(&engine.url()).await.unwrap());
    let at = At { locks, name: "clock".into() };
    at.take("a", LONG).await;
    let [first, second] = [at.queue("b", LONG, LONG).await, at.queue("c", LONG, LONG).await];
    engine.set_clock("+3600");
    let start = Instant::now();
    while at.state().await.owner.as_deref() == Some("a") {
        if ms_since(start) > 5_000 {
            return false;
        }
        sleep(Duration::from_millis(50)).await;
    }
    let turn = |wait, owner: &'static str| {
        let at = at.clone();
        async move { answer(wait).await.granted && at.unlock(owner).await }
    };
    assert_eq!(tokio::join!(turn(first, "b"), turn(second, "c")), (true, true), "{kind:?}");
    true
}

/// Whether a lock survives the death of its engine. In either case calls fail in time and name the engine, waits end, tokens grow,
/// and the servers reconnect by themselves.
pub(crate) async fn survives_restart(subject: &mut Subject) -> bool {
    let at = subject.at(0, "restart");
    let before = at.take("a", LONG).await;
    let wait = subject.at(1, "restart").queue("b", LONG, LONG).await;
    for engine in &mut subject.engines {
        engine.kill();
    }
    let start = Instant::now();
    // One of its processes may live for a moment longer, and reply.
    let failing = async {
        loop {
            if let Err(error) = at.locks.renew(at.request("a", LONG)).await {
                return error;
            }
        }
    };
    let error = soon("a step that fails", failing).await;
    let name = subject.name;
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    let expected = format!("the {name} that keeps the locks is unavailable: ");
    assert!(
        error.message().starts_with(&expected) && !error.message().contains("127.0.0.1") && ms_since(start) < 10_000,
        "{name}: {error} after {} ms",
        ms_since(start)
    );
    wait.abort();
    for engine in &mut subject.engines {
        engine.restart().await;
    }
    for server in 0..2 {
        let at = subject.at(server, "restart");
        soon("an answer", async { while at.locks.state("restart").await.is_err() {} }).await;
        soon("a renewal", async { while at.locks.renew(at.request("a", LONG)).await.is_err() {} }).await;
    }
    let state = at.state().await;
    if state.held {
        assert_eq!(state.owner.as_deref(), Some("a"));
        assert!(!before.fenced || state.token == before.token, "{state:?} after {before:?}");
        assert!(at.unlock("a").await);
    }
    let after = at.lock("c", LONG, LONG).await;
    assert!(after.granted && (!after.fenced || after.token > before.token), "{after:?} after {before:?}");
    let wait = subject.at(1, "restart").queue("d", LONG, LONG).await;
    assert!(at.unlock("c").await && answer(wait).await.granted);
    state.held
}
