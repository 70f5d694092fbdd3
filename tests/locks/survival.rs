//! Clients use locks while everything that can fail does.
//!
//! `EVERYWIRE_FAULTS` sets the number of faults of each run, `EVERYWIRE_SEED` what they are and when.

use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use tokio::{task::JoinSet, time::sleep};

use crate::{
    checker,
    clients::Scene,
    faults::Stage,
    history::{History, What},
    store::Store,
};
use everywire_testing::{
    engine::Kind,
    needs,
    seeded::{Random, from_env, seed},
    soon,
};

const CLIENTS: u64 = 8;

/// What a run has to show.
struct Outcome {
    calls: usize,
    grants: usize,
    writes: u64,
    stale: u64,
    refused: u64,
    lost: u64,
    tokens: Result<(), String>,
    history: Result<(), String>,
}

/// Lets clients play while `faults` faults are made.
async fn run(mut stage: Stage, faults: u64, seed: u64, looks: bool) -> Outcome {
    let mut random = Random(seed);
    let stores = [Store::new(looks), Store::new(looks)];
    let scene = Arc::new(Scene { history: History::new(), stores, urls: stage.urls(), ended: false.into() });
    let mut clients = JoinSet::new();
    for number in 1..=CLIENTS {
        let (scene, random) = (Arc::clone(&scene), Random(random.below(u64::MAX)));
        clients.spawn(async move { scene.play(number, random).await });
    }
    sleep(Duration::from_millis(500)).await;
    let mut fault = stage.peculiar();
    for _ in 0..faults {
        stage.make(fault, &mut random).await;
        fault = stage.any(&mut random);
    }
    sleep(Duration::from_millis(500)).await;
    scene.ended.store(true, SeqCst);
    soon("the clients", clients.join_all()).await;
    let Scene { history, stores, .. } = Arc::into_inner(scene).expect("all clients have ended");
    let calls = history.into_calls();
    let [one, other] = stores.map(|store| store.state());
    Outcome {
        calls: calls.len(),
        grants: calls.iter().filter(|call| matches!(call.what, What::Granted { .. })).count(),
        writes: one.writes + other.writes,
        stale: one.stale + other.stale,
        refused: one.refused + other.refused,
        lost: one.lost() + other.lost(),
        tokens: checker::tokens(&calls),
        history: checker::check(&calls),
    }
}

/// A run, printed. One in which too little was granted proves nothing, so another one follows, up to three.
async fn survives(name: &str, stage: impl AsyncFn() -> Stage, looks: bool) -> Outcome {
    let faults = from_env("EVERYWIRE_FAULTS").unwrap_or(60);
    for seed in (seed()..).take(3) {
        println!("{name}: EVERYWIRE_FAULTS={faults} EVERYWIRE_SEED={seed}");
        let outcome = run(stage().await, faults, seed, looks).await;
        let Outcome { calls, grants, writes, stale, refused, lost, .. } = outcome;
        println!(
            "{name}: {faults} faults, {calls} answers, {grants} grants, {writes} writes, {refused} refused by their token, {stale} stale accepted, {lost} updates lost"
        );
        if grants as u64 > faults / 4 || stale + lost > 0 {
            return outcome;
        }
    }
    panic!("{name}: too little was granted to prove anything");
}

/// Whatever happens, tokens grow, and a store that looks at them loses nothing.
async fn fenced(name: &str, stage: impl AsyncFn() -> Stage) -> Outcome {
    let outcome = survives(name, stage, true).await;
    assert_eq!((outcome.stale, outcome.lost), (0, 0), "{name}");
    outcome.tokens.as_ref().unwrap_or_else(|error| panic!("{name}: {error}"));
    outcome
}

/// And leases last as long as they should.
async fn fenced_and_exclusive(name: &str, stage: impl AsyncFn() -> Stage) {
    fenced(name, stage).await.history.unwrap_or_else(|error| panic!("{name}: {error}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_survives() {
    needs!(Redis);
    fenced_and_exclusive("Redis", async || Stage::engine(Kind::Redis).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_survives() {
    needs!(Postgres);
    fenced_and_exclusive("PostgreSQL", async || Stage::engine(Kind::Postgres).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_survives() {
    needs!(MariaDb);
    fenced_and_exclusive("MariaDB", async || Stage::engine(Kind::MariaDb).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zookeeper_survives() {
    needs!(ZooKeeper);
    fenced_and_exclusive("ZooKeeper", async || Stage::engine(Kind::ZooKeeper).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ensemble_survives_its_leaders() {
    needs!(ZooKeeper);
    fenced_and_exclusive("ZooKeeper, three servers", async || Stage::ensemble().await).await;
}

/// A server that is killed forgets who had its locks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_keeps_its_tokens() {
    fenced("memory", async || Stage::memory().await).await;
}

/// A clock that is set forth ends leases.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_jump_break_no_fence() {
    needs!(Redis, Postgres, MariaDb, FakeTime);
    for kind in [Kind::Redis, Kind::Postgres, Kind::MariaDb] {
        fenced(&format!("{kind:?} with a clock that jumps"), async || Stage::engine_with_clock(kind).await).await;
    }
}

/// Redlock has no tokens for the store to look at, so clients that sleep through their leases undo the writes of others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redlock_survives() {
    needs!(Redis);
    let outcome = survives("Redlock", async || Stage::redlock().await, false).await;
    assert!(outcome.lost > 0, "the workload finds what fencing is for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_fencing_updates_are_lost() {
    needs!(Redis);
    let outcome = run(Stage::engine(Kind::Redis).await, 60, 1, false).await;
    println!(
        "without fencing: {} stale writes accepted, {} updates lost of {}",
        outcome.stale, outcome.lost, outcome.writes
    );
    assert!(outcome.stale > 0 && outcome.lost > 0, "the workload finds what fencing is for");
    outcome.history.unwrap();
}

/// The textbook's lock has no tokens, and leases that end too soon or never. A clock that jumps finds it between a read and a
/// write sooner or later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_textbooks_lock_loses_updates() {
    needs!(Redis, FakeTime);
    for seed in 1..=5 {
        let Outcome { grants, writes, lost, .. } = run(Stage::textbook().await, 150, seed, false).await;
        println!("the textbook's lock: {grants} grants, {lost} updates lost of {writes}");
        if lost > 0 {
            return;
        }
    }
    panic!("the workload does not find what fencing is for");
}
