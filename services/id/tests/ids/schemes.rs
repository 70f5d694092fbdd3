//! The guarantees of each scheme, against its engine.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use everywire_core::{Code, Result, RpcError};
use everywire_id::{Guarantees, Ids, Settings};
use futures_util::TryStreamExt;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use everywire_testing::{
    engine::{Engine, Kind},
    needs,
};

/// Longer than any step of an engine, and than its start.
const SOON: Duration = Duration::from_mins(2);

async fn server(url: &str) -> Arc<Ids> {
    Arc::new(Ids::connect(url, Settings::default()).await.unwrap())
}

async fn two(url: &str) -> [Arc<Ids>; 2] {
    [server(url).await, server(url).await]
}

/// Draws from both servers at the same time: no id twice, and each batch grows.
async fn are_unique(servers: &[Arc<Ids>; 2], seen: &mut HashSet<u64>) {
    let mut drawing = JoinSet::new();
    for task in 0..8_u32 {
        let ids = Arc::clone(&servers[task as usize % 2]);
        drawing.spawn(async move {
            let mut all = Vec::new();
            for round in 0..10 {
                let batch = ids.next_many(1 + (task * 131 + round * 171) % 1_900).await.unwrap();
                assert!(batch.is_sorted_by(|one, next| one < next));
                all.extend(batch);
                all.push(ids.next().await.unwrap());
            }
            let streamed: Vec<u64> = ids.stream(5_000).try_collect().await.unwrap();
            assert!(streamed.len() == 5_000 && streamed.is_sorted_by(|one, next| one < next));
            all.extend(streamed);
            all
        });
    }
    for id in drawing.join_all().await.concat() {
        assert!(id >> 63 == 0 && seen.insert(id), "{id} came twice");
    }
}

/// Draws from one server after the other.
async fn grow(servers: &[Arc<Ids>; 2]) -> bool {
    let mut all = Vec::new();
    for round in 0..20 {
        all.extend(servers[round % 2].next_many(3).await.unwrap());
    }
    all.is_sorted_by(|one, next| one < next)
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

async fn keeps_its_guarantees(servers: &[Arc<Ids>; 2], seen: &mut HashSet<u64>, url: &str) {
    are_unique(servers, seen).await;
    let Guarantees { unique, monotonic, .. } = servers[0].guarantees();
    assert!(unique, "{url}");
    assert_eq!(grow(servers).await, monotonic, "{url}: two servers in turns");
    let before = unix_ms();
    let id = servers[0].next().await.unwrap();
    let parts = servers[1].decode(id).unwrap();
    assert!(parts.time_ms.is_none_or(|ms| before <= ms && ms <= unix_ms()), "{url}: {parts:?}");
    assert_eq!(parts.worker, None, "{url}: {parts:?}");
    seen.insert(id);
}

/// More ids than a server has left once [`missed`] has returned.
const MANY: u32 = 100_000;

/// Draws until the engine is needed and unavailable.
async fn missed(ids: &Ids) -> RpcError {
    let drawn = async { while ids.next_many(MANY).await.is_ok() {} };
    timeout(SOON, drawn).await.unwrap();
    ids.next_many(MANY).await.unwrap_err()
}

/// Draws until the engine is back.
async fn again(ids: &Ids) -> Result<Vec<u64>> {
    let began = Instant::now();
    loop {
        match ids.next_many(MANY).await {
            Err(error) if began.elapsed() < SOON => assert_eq!(error.code(), Code::Unavailable, "{error}"),
            outcome => return outcome,
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// The engine dies and comes back: an error that names it, and no id twice.
async fn survives(engine: &mut Engine, url: &str, servers: &[Arc<Ids>; 2], seen: &mut HashSet<u64>) {
    engine.kill();
    for ids in servers {
        let error = missed(ids).await;
        assert_eq!(error.code(), Code::Unavailable, "{url}: {error}");
        let role = format!("the {} that makes the ids is unavailable: ", engine.kind.name());
        assert!(error.message().contains(&role) && !error.message().contains("127.0.0.1"), "{url}: {error}");
        let out = error.message().starts_with("the segment of ids has run out, and there is no other: ");
        assert_eq!(out, url.starts_with("segment"), "{url}: {error}");
    }
    engine.restart().await;
    for ids in servers {
        for id in again(ids).await.unwrap() {
            assert!(seen.insert(id), "{url}: {id} came twice");
        }
    }
    are_unique(servers, seen).await;
    are_unique(&two(url).await, seen).await;
}

async fn check(kind: Kind, prefixes: &[&str]) {
    let mut engine = Engine::start(kind).await;
    for prefix in prefixes {
        let url = format!("{prefix}{}", engine.url());
        let (servers, mut seen) = (two(&url).await, HashSet::new());
        keeps_its_guarantees(&servers, &mut seen, &url).await;
        survives(&mut engine, &url, &servers, &mut seen).await;
        println!("{url}: {} ids are {}", seen.len(), servers[0].guarantees());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis() {
    needs!(Redis);
    check(Kind::Redis, &[""]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres() {
    needs!(Postgres);
    check(Kind::Postgres, &["segment+", "increment+"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb() {
    needs!(MariaDb);
    check(Kind::MariaDb, &["segment+", "increment+"]).await;
}

/// Ids continue from the last one, whatever the engine's clock shows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_whose_clock_jumps_repeats_nothing() {
    needs!(Redis, FakeTime);
    let engine = Engine::start_with_clock(Kind::Redis).await;
    let ids = Ids::connect(&engine.url(), Settings::default()).await.unwrap();
    let (mut last, mut jumped) = (0, 0);
    for offset in ["+3600", "-3600", "+0", "+7200"] {
        engine.set_clock(offset);
        for _ in 0..8 {
            let batch = ids.next_many(1_000).await.unwrap();
            assert!(batch[0] > last && batch.is_sorted(), "{offset}");
            jumped += u32::from(last != 0 && batch[0] >> 22 > (last >> 22) + 3_000_000);
            last = batch[999];
            sleep(Duration::from_millis(200)).await;
        }
    }
    assert!(jumped > 0, "the clock was never seen to jump");
}
