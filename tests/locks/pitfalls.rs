//! The pitfalls of docs/pitfalls.md: locks that break, and ours in the same situation.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use everywire_lock::{Backend, Locks, Request};
use tokio::time::sleep;

use crate::{
    store::Store,
    textbook::{Connection, Reply, TextbookLock},
};
use everywire_testing::{
    engine::{Engine, Kind},
    needs,
};

fn request(owner: &str, ttl: Duration) -> Request {
    let ttl_ms = ttl.as_millis().try_into().unwrap();
    Request::new("lock".into(), ttl_ms, Some(owner.into())).unwrap()
}

async fn ours(engine: &Engine) -> Backend {
    Backend::connect(&engine.url()).await.unwrap()
}

async fn commands(engine: &Engine) -> u64 {
    let Reply::Text(stats) = Connection::to(&engine.host()).await.unwrap().ask(&["INFO", "stats"]).await.unwrap()
    else {
        panic!("no statistics")
    };
    let line = stats.lines().find_map(|line| line.strip_prefix("total_commands_processed:")).unwrap();
    line.trim().parse().unwrap()
}

const LEASE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn pitfall_1_a_crash_between_setnx_and_expire_locks_for_ever() {
    needs!(Redis);
    let engine = Engine::start(Kind::Redis).await;
    let mut crashed = Connection::to(&engine.host()).await.unwrap();
    assert_eq!(crashed.ask(&["SETNX", "lock", "crashed"]).await.unwrap(), Reply::Number(1));
    drop(crashed);
    let mut next = TextbookLock::at(&engine.host()).await.unwrap();
    assert!(!next.acquire("lock", "next", 1, 4 * LEASE).await.unwrap(), "it never ends");
    assert_eq!(next.0.ask(&["TTL", "lock"]).await.unwrap(), Reply::Number(-1));

    let (dead, alive) = (ours(&engine).await, ours(&engine).await);
    assert!(dead.lock(request("dead", LEASE), Duration::ZERO).await.unwrap().granted);
    drop(dead);
    let start = Instant::now();
    assert!(alive.lock(request("next", LEASE), 4 * LEASE).await.unwrap().granted);
    assert!(start.elapsed() < 2 * LEASE, "{:?}", start.elapsed());
}

#[tokio::test]
async fn pitfall_2_waiters_renew_the_lease_of_the_dead() {
    needs!(Redis);
    let engine = Engine::start(Kind::Redis).await;
    let mut dead = TextbookLock::at(&engine.host()).await.unwrap();
    assert!(dead.acquire("lock", "dead", 1, LEASE).await.unwrap());
    let mut next = TextbookLock::at(&engine.host()).await.unwrap();
    assert!(
        !next.acquire("lock", "next", 1, 4 * LEASE).await.unwrap(),
        "in its last half second a TTL is 0, and the waiter itself sets it again"
    );

    let locks = ours(&engine).await;
    assert!(locks.lock(request("dead", LEASE), Duration::ZERO).await.unwrap().granted);
    assert!(locks.lock(request("next", LEASE), 4 * LEASE).await.unwrap().granted);
}

#[tokio::test]
async fn pitfall_3_a_watch_left_behind_aborts_what_comes_next() {
    needs!(Redis);
    let engine = Engine::start(Kind::Redis).await;
    let mut late = TextbookLock::at(&engine.host()).await.unwrap();
    assert!(!late.release("lock", "late").await.unwrap(), "its lock has ended");
    let mut other = TextbookLock::at(&engine.host()).await.unwrap();
    assert!(other.acquire("lock", "other", 1, LEASE).await.unwrap());
    late.0.ask(&["MULTI"]).await.unwrap();
    late.0.ask(&["INCR", "something else"]).await.unwrap();
    assert_eq!(
        late.0.ask(&["EXEC"]).await.unwrap(),
        Reply::Nil,
        "the next transaction has nothing to do with the lock"
    );

    let locks = ours(&engine).await;
    assert!(!locks.unlock("lock", "late").await.unwrap());
    assert!(locks.lock(request("other", LEASE), Duration::ZERO).await.unwrap().granted);
    assert!(locks.unlock("lock", "other").await.unwrap());
}

#[tokio::test]
async fn pitfall_4_a_waiter_that_polls_is_a_load() {
    needs!(Redis);
    let engine = Engine::start(Kind::Redis).await;
    let mut holder = TextbookLock::at(&engine.host()).await.unwrap();
    assert!(holder.acquire("lock", "holder", 60, LEASE).await.unwrap());
    let before = commands(&engine).await;
    TextbookLock::at(&engine.host()).await.unwrap().acquire("lock", "next", 60, 2 * LEASE).await.unwrap();
    let theirs = commands(&engine).await - before;

    let locks = ours(&engine).await;
    assert!(locks.lock(request("holder", 60 * LEASE), Duration::ZERO).await.unwrap().granted);
    let before = commands(&engine).await;
    assert!(!locks.lock(request("next", LEASE), 2 * LEASE).await.unwrap().granted);
    let ours = commands(&engine).await - before;
    println!("one waiter for 2 s: {theirs} commands of the textbook's lock, {ours} of ours");
    assert!(theirs > 2 * ours && ours < 60, "{theirs} {ours}");
}

/// Both owners are sure that they have it, and the first one writes last.
#[tokio::test]
async fn pitfall_5_a_clock_that_jumps_gives_redlock_to_two() {
    needs!(Redis, FakeTime);
    let mut engines = Vec::new();
    for _ in 0..3 {
        engines.push(Engine::start_with_clock(Kind::Redis).await);
    }
    let hosts: Vec<_> = engines.iter().map(Engine::host).collect();
    let redlock = Backend::connect(&format!("redlock://{}", hosts.join(","))).await.unwrap();
    let jump = || engines[..2].iter().for_each(|engine| engine.set_clock("+3600"));
    let tokens = scene(&redlock, jump, false).await;
    assert_eq!(tokens.stale + tokens.refused, 0, "a grant of Redlock has no token to look at");
    assert!(tokens.lost() > 0, "an update is lost");

    let engine = Engine::start_with_clock(Kind::Redis).await;
    let tokens = scene(&ours(&engine).await, || engine.set_clock("+3600"), true).await;
    assert_eq!((tokens.refused, tokens.stale, tokens.lost()), (1, 0, 0));
}

/// Two owners by a clock that jumps: both read, the second writes, the first writes.
async fn scene(locks: &Backend, jump: impl Fn(), fenced: bool) -> crate::store::State {
    let store = Store::new(fenced);
    let first = locks.lock(request("first", 60 * LEASE), Duration::ZERO).await.unwrap();
    assert!(first.granted && first.fenced == fenced, "{first:?}");
    jump();
    let second = locks.lock(request("second", 60 * LEASE), 20 * LEASE).await.unwrap();
    assert!(second.granted, "the clock ended the lease of the first, who had it for a minute: {second:?}");
    let token = |token| if fenced { token } else { 1 };
    let values = [first.token, second.token].map(|of| store.read(token(of)));
    store.write(token(second.token), values[1].unwrap() + 1);
    store.write(token(first.token), values[0].unwrap() + 1);
    store.state()
}

#[tokio::test]
async fn pitfall_6_a_holder_that_sleeps_undoes_an_update_that_no_token_protects() {
    needs!(Redis);
    let engine = Engine::start(Kind::Redis).await;
    let store = Store::new(false);
    let mut sleeper = TextbookLock::at(&engine.host()).await.unwrap();
    assert!(sleeper.acquire("lock", "sleeper", 1, LEASE).await.unwrap());
    let value = store.read(0).unwrap();
    sleep(LEASE + LEASE / 10).await;
    let mut next = TextbookLock::at(&engine.host()).await.unwrap();
    assert!(next.acquire("lock", "next", 1, LEASE).await.unwrap());
    store.write(0, store.read(0).unwrap() + 1);
    store.write(0, value + 1);
    assert_eq!(store.state().lost(), 1);

    let (locks, store) = (Arc::new(ours(&engine).await), Store::new(true));
    let sleeper = locks.lock(request("sleeper", LEASE), Duration::ZERO).await.unwrap();
    let value = store.read(sleeper.token).unwrap();
    let next = locks.lock(request("next", LEASE), 2 * LEASE).await.unwrap();
    store.write(next.token, store.read(next.token).unwrap() + 1);
    store.write(sleeper.token, value + 1);
    assert_eq!((store.state().refused, store.state().lost()), (1, 0));
}
