//! Runs every case on every backend.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use everywire_lock::{Backend, MemoryLocks};
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};

use crate::{
    bench::{Bench, Capability},
    cases,
    operations::{self, Subject},
    outages, table,
};
use everywire_testing::{
    engine::{Engine, Kind},
    needs,
};

/// The number of cases of one backend that run at the same time.
const AT_ONCE: usize = 8;
/// A case that takes longer has failed.
const CASE_TIME: Duration = Duration::from_mins(1);

/// What a backend does not support, and why.
type Unsupported = &'static [(Capability, &'static str)];

/// Runs all cases. Returns the capabilities in the order of the table, and whether the backend has them.
async fn conforms(subject: &Subject, unsupported: Unsupported) -> Vec<(Capability, bool)> {
    let (backend, permits) = (subject.name, Arc::new(Semaphore::new(AT_ONCE)));
    let mut running = JoinSet::new();
    let (mut skipped, mut names, mut found) = (Vec::new(), BTreeMap::new(), Vec::new());
    for case in cases::all() {
        let reason = unsupported.iter().find(|(capability, _)| *capability == case.capability);
        if !found.contains(&(case.capability, reason.is_none())) {
            found.push((case.capability, reason.is_none()));
        }
        if let Some((_, reason)) = reason {
            skipped.push((case.name, *reason));
            continue;
        }
        let bench = Bench { servers: subject.servers.clone(), name: case.name.to_owned() };
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
    for (name, reason) in skipped {
        println!("{backend}: {name} is not supported: {reason}");
    }
    assert!(failed.is_empty(), "{backend}: {failed:#?}");
    found
}

/// Runs everything on a separate engine: the cases, and the checks that need to control the engine.
async fn check(name: &'static str, engines: Vec<Engine>, url: &str, unsupported: Unsupported) {
    let mut subject = Subject { name, servers: two(url).await, engines };
    let kind = subject.engines[0].kind;
    let mut found = conforms(&subject, unsupported).await;
    found.push((Capability::Push, operations::pushes(&subject).await));
    operations::hand_off(&subject).await;
    outages::a_loss_is_told_before_another_has_the_lock(&subject).await;
    outages::a_release_outlasts_an_outage(&subject).await;
    outages::a_dead_server_holds_nothing_for_long(&subject, url).await;
    outages::a_removed_lock_is_lost(&subject).await;
    found.push((Capability::Restart, operations::survives_restart(&mut subject).await));
    let wall = operations::follows_the_clock(kind).await;
    row(name, &found, if wall { "the engine's, wall clock" } else { "the engine's, monotonic" });
}

fn row(backend: &str, found: &[(Capability, bool)], clock: &str) {
    let mut cells: Vec<_> = found.iter().map(|(_, can)| if *can { "yes" } else { "no" }.to_owned()).collect();
    cells.push(clock.to_owned());
    table::check(backend, &cells);
}

/// Two servers on one engine.
async fn two(url: &str) -> [Arc<Backend>; 2] {
    [Backend::connect(url).await.unwrap().into(), Backend::connect(url).await.unwrap().into()]
}

async fn check_one(name: &'static str, kind: Kind, unsupported: Unsupported) {
    let engine = Engine::start(kind).await;
    let url = engine.url();
    check(name, vec![engine], &url, unsupported).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory() {
    let locks = Arc::new(MemoryLocks::default());
    let servers = [Arc::clone(&locks), locks].map(|locks| Arc::new(Backend::Memory(locks)));
    let subject = Subject { name: "memory", servers, engines: Vec::new() };
    let mut found = conforms(&subject, &[]).await;
    found.push((Capability::Push, operations::pushes(&subject).await));
    operations::hand_off(&subject).await;
    // What a restart keeps is a matter of the data directory, which keeps the tokens' mark and no lock.
    found.push((Capability::Restart, false));
    row("memory", &found, "this process's, monotonic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis() {
    needs!(Redis, FakeTime);
    check_one("Redis", Kind::Redis, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres() {
    needs!(Postgres, FakeTime);
    check_one("PostgreSQL", Kind::Postgres, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb() {
    needs!(MariaDb, FakeTime);
    check_one("MariaDB", Kind::MariaDb, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zookeeper() {
    needs!(ZooKeeper, FakeTime);
    let unsupported: Unsupported = &[(
        Capability::ReEntrantWaits,
        "each waiter watches only the one before it, so it is granted in its order in the queue",
    )];
    check_one("ZooKeeper", Kind::ZooKeeper, unsupported).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redlock() {
    needs!(Redis, FakeTime);
    let mut engines = Vec::new();
    for _ in 0..5 {
        engines.push(Engine::start(Kind::Redis).await);
    }
    let hosts: Vec<_> = engines.iter().map(Engine::host).collect();
    let unsupported: Unsupported = &[
        (Capability::Fenced, "independent servers have no common counter"),
        (Capability::Fifo, "independent servers have no common queue; a waiter asks again at random"),
        (Capability::QueueView, "there is no queue"),
        (Capability::ReEntrantWaits, "there is no queue"),
    ];
    check("Redlock", engines, &format!("redlock://{}", hosts.join(",")), unsupported).await;
}
