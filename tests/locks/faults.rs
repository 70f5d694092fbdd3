//! Locks while servers and engines are killed and stopped, and the network between them is cut and held.
//!
//! `EVERYWIRE_FAULTS` sets the number of faults for each engine, `EVERYWIRE_SEED` what they are and when.

use std::{
    env,
    sync::{Arc, atomic::Ordering::SeqCst},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{task::JoinSet, time::sleep};

use crate::{
    checker,
    clients::Scene,
    engine::{Engine, Kind},
    history::{History, What},
    proxy::Proxy,
    servers::{Server, WIRES},
    soon::soon,
    store::Store,
};

const CLIENTS: u64 = 8;

/// Steele, Lea and Flood's `SplitMix64`.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    pub(crate) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }

    fn ms(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.below(most - least))
    }
}

fn from_env(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// What there is to break.
struct Stage {
    engines: Vec<Engine>,
    proxies: Vec<Proxy>,
    servers: Vec<Server>,
    has_clock: bool,
}

impl Stage {
    /// Two servers, each of them behind proxies to the engines.
    async fn set(kind: Kind, engines: usize, has_clock: bool) -> Self {
        let mut stage = Self { engines: Vec::new(), proxies: Vec::new(), servers: Vec::new(), has_clock };
        for _ in 0..engines {
            let engine = if has_clock { Engine::start_with_clock(kind).await } else { Engine::start(kind).await };
            stage.engines.push(engine);
        }
        for _ in 0..2 {
            let mut ports = Vec::new();
            for engine in &stage.engines {
                let proxy = Proxy::to(engine.port).await;
                ports.push(proxy.port);
                stage.proxies.push(proxy);
            }
            let hosts: Vec<_> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
            let url = match engines {
                1 => stage.engines[0].url_at(ports[0]),
                _ => format!("redlock://{}", hosts.join(",")),
            };
            stage.servers.push(Server::start(&["--lock", &url]).await);
        }
        stage
    }

    /// One fault, and its end.
    async fn fault(&mut self, random: &mut Random) {
        let (server, engine) = (random.index(2), random.index(self.engines.len()));
        let proxy = random.index(self.proxies.len());
        match random.below(100) {
            0 => {
                self.engines[engine].kill();
                sleep(random.ms(0, 100)).await;
                self.engines[engine].restart().await;
            }
            1..=3 => {
                self.servers[server].kill().await;
                self.servers[server].restart().await;
            }
            4..=24 => {
                self.servers[server].signal("-STOP").await;
                sleep(random.ms(5, 100)).await;
                self.servers[server].signal("-CONT").await;
            }
            25..=29 => {
                self.servers[server].signal("-STOP").await;
                sleep(random.ms(300, 500)).await;
                self.servers[server].signal("-CONT").await;
            }
            30..=49 => {
                self.engines[engine].signal("STOP");
                sleep(random.ms(5, 100)).await;
                self.engines[engine].signal("CONT");
            }
            50..=69 => self.proxies[proxy].hold(random.ms(5, 150)).await,
            70..=79 if self.has_clock => {
                self.engines[engine].set_clock(&format!("{}{}", ["+", "-"][random.index(2)], random.below(300)));
            }
            _ => self.proxies[proxy].cut(),
        }
        sleep(random.ms(1, 40)).await;
    }
}

/// What a run has to show.
struct Outcome {
    calls: usize,
    grants: usize,
    writes: u64,
    stale: u64,
    refused: u64,
    lost: u64,
    history: Result<(), String>,
}

/// Lets clients play while `faults` faults are made.
async fn run(mut stage: Stage, faults: u64, seed: u64, looks: bool) -> Outcome {
    let mut random = Random(seed);
    let urls = stage.servers.iter().map(|server| WIRES.map(|wire| server.url(wire))).collect();
    let stores = [Store::new(looks), Store::new(looks)];
    let scene = Arc::new(Scene { history: History::new(), stores, urls, ended: false.into() });
    let mut clients = JoinSet::new();
    for number in 1..=CLIENTS {
        let (scene, random) = (Arc::clone(&scene), Random(random.below(u64::MAX)));
        clients.spawn(async move { scene.play(number, random).await });
    }
    sleep(Duration::from_millis(500)).await;
    for _ in 0..faults {
        stage.fault(&mut random).await;
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
        history: checker::check(&calls),
    }
}

/// One engine's run, printed; the histories of a clock that jumps are for the store alone.
async fn survives(name: &str, kind: Kind, engines: usize, has_clock: bool) -> Outcome {
    let faults = from_env("EVERYWIRE_FAULTS").unwrap_or(60);
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let seed = from_env("EVERYWIRE_SEED").unwrap_or_else(clock);
    println!("{name}: EVERYWIRE_FAULTS={faults} EVERYWIRE_SEED={seed}");
    let outcome = run(Stage::set(kind, engines, has_clock).await, faults, seed, engines == 1).await;
    let Outcome { calls, grants, writes, stale, refused, lost, .. } = outcome;
    println!(
        "{name}: {faults} faults, {calls} answers, {grants} grants, {writes} writes, {refused} refused by their token, {stale} stale accepted, {lost} updates lost"
    );
    assert!(grants as u64 > faults / 4, "{name}: too little was granted to prove anything");
    outcome
}

/// With tokens, nothing is lost, whatever happens; and the history is a lock's.
async fn fenced(name: &str, kind: Kind) {
    let outcome = survives(name, kind, 1, false).await;
    assert_eq!((outcome.stale, outcome.lost), (0, 0), "{name}");
    outcome.history.unwrap_or_else(|error| panic!("{name}: {error}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_survives() {
    fenced("Redis", Kind::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_survives() {
    fenced("PostgreSQL", Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_survives() {
    fenced("MariaDB", Kind::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zookeeper_survives() {
    fenced("ZooKeeper", Kind::ZooKeeper).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_breaks_no_fence() {
    let outcome = survives("Redis with a clock that jumps", Kind::Redis, 1, true).await;
    assert_eq!((outcome.stale, outcome.lost), (0, 0));
}

/// Redlock has no tokens for the store to look at, so clients that sleep through their leases undo the writes of others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redlock_survives() {
    let outcome = survives("Redlock", Kind::Redis, 3, false).await;
    assert!(outcome.lost > 0, "the workload finds what fencing is for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_fencing_updates_are_lost() {
    let outcome = run(Stage::set(Kind::Redis, 1, false).await, 60, 1, false).await;
    println!(
        "without fencing: {} stale writes accepted, {} updates lost of {}",
        outcome.stale, outcome.lost, outcome.writes
    );
    assert!(outcome.stale > 0 && outcome.lost > 0, "the workload finds what fencing is for");
    outcome.history.unwrap();
}
