//! Sixty-four servers that start at the same time, on nothing.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use tokio::{net::TcpListener, task::JoinSet, time::timeout};

use crate::{
    listening::{MACHINE, worker},
    process::{Said, next, spawn},
};
use everywire_testing::{
    engine::{Engine, Kind},
    needs,
};

const SERVERS: usize = 64;
const MAX_WORKER: u64 = 1_023;
/// The limit of a start.
const START_TIME: Duration = Duration::from_mins(2);

async fn start(kind: Kind) {
    let (engine, listener) = (Engine::start(kind).await, TcpListener::bind("127.0.0.1:0").await.unwrap());
    let (address, url, began) = (listener.local_addr().unwrap(), engine.url(), Instant::now());
    let _children: Vec<_> = (0..SERVERS).map(|_| spawn(address, Some(&url), MAX_WORKER)).collect();
    let mut starting = JoinSet::new();
    for _ in 0..SERVERS {
        let (mut socket, _) = timeout(START_TIME, listener.accept()).await.unwrap().unwrap();
        starting.spawn(async move {
            let mut refusals = 0;
            loop {
                match next(&mut socket).await.unwrap() {
                    // The process ends when this socket is closed.
                    Said::Ids { first, .. } => return (worker(first), refusals, socket),
                    Said::NoWorker => refusals += 1,
                    Said::Refused | Said::ClockSet => {}
                }
            }
        });
    }
    let started = timeout(START_TIME, starting.join_all()).await.expect("all make ids");
    let workers: BTreeSet<_> = started.iter().map(|(worker, ..)| worker).collect();
    assert_eq!(workers.len(), SERVERS, "{kind:?}: {workers:?}");
    let refusals: u32 = started.iter().map(|(_, refusals, _)| refusals).sum();
    assert_eq!(refusals, 0, "{kind:?}: a server without a worker id ends");
    println!("{kind:?}: {SERVERS} servers have a worker id each after {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_start_together_have_a_worker_id_each() {
    needs!(Redis, Postgres, MariaDb, ZooKeeper);
    let _alone = MACHINE.lock().await;
    for kind in [Kind::Redis, Kind::Postgres, Kind::MariaDb, Kind::ZooKeeper] {
        start(kind).await;
    }
}
