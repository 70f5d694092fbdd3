//! Runs every case on every backend.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use everywire_services::lock::{Backend, MemoryLocks};
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};

use crate::{
    bench::{Bench, Capability},
    cases,
    engine::{Engine, Kind},
};

/// Cases of one backend that run at the same time.
const AT_ONCE: usize = 8;
/// A case that takes longer has failed.
const CASE_TIME: Duration = Duration::from_mins(1);

/// What a backend can't, and why.
type Unsupported = &'static [(Capability, &'static str)];

async fn conforms(backend: &str, servers: [Backend; 2], unsupported: Unsupported) {
    let servers = servers.map(Arc::new);
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    let (mut skipped, mut names) = (Vec::new(), BTreeMap::new());
    for case in cases::all() {
        if let Some((_, reason)) = unsupported.iter().find(|(capability, _)| *capability == case.capability) {
            skipped.push((case.name, *reason));
            continue;
        }
        let bench = Bench { servers: servers.clone(), name: case.name.to_owned() };
        let permits = Arc::clone(&permits);
        let task = running.spawn(async move {
            let _permit = permits.acquire_owned().await.unwrap();
            timeout(CASE_TIME, (case.run)(bench)).await.unwrap_or_else(|_| panic!("no end within {CASE_TIME:?}"));
        });
        names.insert(task.id(), case.name);
    }
    let mut failed = Vec::new();
    while let Some(ended) = running.join_next_with_id().await {
        if let Err(error) = ended {
            failed.push(format!("{}: {error}", names[&error.id()]));
        }
    }
    println!("{backend}: {} cases pass, {} fail", names.len() - failed.len(), failed.len());
    skipped.iter().for_each(|(name, reason)| println!("{backend}: {name} is not supported: {reason}"));
    assert!(failed.is_empty(), "{backend}: {failed:#?}");
}

/// Two servers on one engine.
async fn two(url: &str) -> [Backend; 2] {
    [Backend::connect(url).await.unwrap(), Backend::connect(url).await.unwrap()]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory() {
    let locks = Arc::new(MemoryLocks::default());
    conforms("memory", [Backend::Memory(Arc::clone(&locks)), Backend::Memory(locks)], &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis() {
    let engine = Engine::start(Kind::Redis).await;
    conforms("Redis", two(&engine.url()).await, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres() {
    let engine = Engine::start(Kind::Postgres).await;
    conforms("PostgreSQL", two(&engine.url()).await, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb() {
    let engine = Engine::start(Kind::MariaDb).await;
    conforms("MariaDB", two(&engine.url()).await, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zookeeper() {
    let engine = Engine::start(Kind::ZooKeeper).await;
    let unsupported: Unsupported = &[(
        Capability::ReEntrantWaits,
        "each place watches only the one before it, so a place has its turn in its order",
    )];
    conforms("ZooKeeper", two(&engine.url()).await, unsupported).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redlock() {
    let mut engines = Vec::new();
    for _ in 0..5 {
        engines.push(Engine::start(Kind::Redis).await);
    }
    let hosts: Vec<_> = engines.iter().map(|engine| format!("127.0.0.1:{}", engine.port)).collect();
    let unsupported: Unsupported = &[
        (Capability::Fenced, "independent servers have no common counter"),
        (Capability::Fifo, "independent servers have no common queue; a waiter asks again at random"),
        (Capability::QueueView, "there is no queue"),
        (Capability::ReEntrantWaits, "there is no queue"),
    ];
    conforms("Redlock", two(&format!("redlock://{}", hosts.join(","))).await, unsupported).await;
}
