//! An engine that becomes read-only or dies, and another one, or itself, that is there afterwards.

use std::{sync::Arc, time::Duration};

use everywire_core::{Code, RpcError};
use everywire_lock::{Backend, Locks};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    client, log, until,
    users::{Use, User, request},
};
use everywire_testing::{
    engine::{Engine, Kind},
    needs,
    proxy::Proxy,
};

/// Calls until one fails, as callers see it.
async fn fails(what: &str, caller: &User) -> RpcError {
    until(what, async || caller.call().await.err()).await
}

async fn works(what: &str, caller: &User) {
    until(what, async || caller.call().await.ok()).await;
}

/// Callers see what is away, and nothing of where it is.
fn is_of_role(error: &RpcError, role: &str) {
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert!(error.message().contains(&format!("{role} is unavailable: ")), "{role}: {error}");
    assert!(!error.message().contains("127.0.0.1"), "{role}: {error}");
}

/// One line when it went, one when it came back.
async fn logged_twice(role: &str, address: &str) {
    let there = async || (log::lines(address).len() >= 2).then_some(());
    until(&format!("two lines of {address}"), there).await;
    let lines = log::lines(address);
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].starts_with(&format!("WARN {role}, {address}, is unavailable: ")), "{lines:#?}");
    assert_eq!(lines[1], format!("WARN {role}, {address}, is available again"));
}

fn address(kind: Kind, port: u16) -> String {
    let scheme = match kind {
        Kind::Redis => "redis",
        Kind::Postgres => "postgres",
        Kind::MariaDb => "mysql",
        Kind::ZooKeeper => "zookeeper",
    };
    format!("{scheme}://127.0.0.1:{port}")
}

/// Long enough for several tries to reconnect, which must not be logged: only time can show that.
const AWAY: Duration = Duration::from_secs(2);
/// The same, where it is repeated for every use of an engine.
const BRIEFLY_AWAY: Duration = Duration::from_millis(500);

/// A caller of `old` behind a proxy, before and after a failover to `new` that cuts no connection.
async fn fails_over(used: Use, [old, new]: [&Engine; 2], demote: &str, promote: &str) {
    let (kind, proxy) = (old.kind, Proxy::to(old.port).await);
    let what = format!("{used:?} in {kind:?}");
    let url = old.url_at(&format!("127.0.0.1:{}", proxy.port)).replace("root@", "app@");
    let caller = used.connect(&url).await.unwrap();
    caller.call().await.unwrap();
    // As a replica, the new one has what the old one has.
    used.connect(&new.url()).await.unwrap();
    client(old, demote);
    let role = used.role(kind.name());
    is_of_role(&fails(&what, &caller).await, &role);
    sleep(AWAY).await;
    is_of_role(&fails(&what, &caller).await, &role);
    proxy.lead_to(new.port);
    works(&what, &caller).await;
    logged_twice(&role, &address(kind, proxy.port)).await;
    client(old, promote);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_becomes_a_replica_is_left() {
    needs!(Redis);
    log::begin();
    let [old, new] = [Engine::start(Kind::Redis).await, Engine::start(Kind::Redis).await];
    for used in [Use::Locks, Use::Ids, Use::Limiter] {
        let demote = format!("replicaof 127.0.0.1 {}", new.port);
        fails_over(used, [&old, &new], &demote, "replicaof no one").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_becomes_read_only_is_left() {
    needs!(Postgres);
    log::begin();
    let [old, new] = [Engine::start(Kind::Postgres).await, Engine::start(Kind::Postgres).await];
    let set = |value| format!("ALTER SYSTEM SET default_transaction_read_only = {value}; SELECT pg_reload_conf()");
    for used in [Use::Locks, Use::Segments, Use::Increments] {
        fails_over(used, [&old, &new], &set("on"), &set("off")).await;
        // A server is told by a signal, and a moment later.
        let writable = async || client(&old, "SHOW transaction_read_only").contains("off").then_some(());
        until("the old one can be written to", writable).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mariadb_that_becomes_read_only_is_left() {
    needs!(MariaDb);
    log::begin();
    let [old, new] = [Engine::start(Kind::MariaDb).await, Engine::start(Kind::MariaDb).await];
    for engine in [&old, &new] {
        // Whoever may do everything may write to a server that is read-only.
        client(engine, "CREATE USER app; GRANT ALL ON test.* TO app");
    }
    for used in [Use::Locks, Use::Segments, Use::Increments] {
        fails_over(used, [&old, &new], "SET GLOBAL read_only = 1", "SET GLOBAL read_only = 0").await;
    }
}

/// Two of three nodes of a quorum become replicas.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redlock_leaves_replicas() {
    needs!(Redis);
    log::begin();
    let (mut old, mut proxies) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let engine = Engine::start(Kind::Redis).await;
        proxies.push(Proxy::to(engine.port).await);
        old.push(engine);
    }
    let hosts: Vec<_> = proxies.iter().map(|proxy| format!("127.0.0.1:{}", proxy.port)).collect();
    let caller = Use::Locks.connect(&format!("redlock://{}", hosts.join(","))).await.unwrap();
    caller.call().await.unwrap();
    let [one, other] = [Engine::start(Kind::Redis).await, Engine::start(Kind::Redis).await];
    for (engine, new) in old.iter().zip([&one, &other]) {
        client(engine, &format!("replicaof 127.0.0.1 {}", new.port));
    }
    let error = fails("Redlock", &caller).await;
    is_of_role(&error, "the Redlock that keeps the locks");
    assert!(error.message().contains("1 of 3 servers answer; a Redis of the Redlock is unavailable: "), "{error}");
    proxies.iter().zip([&one, &other]).for_each(|(proxy, new)| proxy.lead_to(new.port));
    works("Redlock", &caller).await;
    for proxy in &proxies[..2] {
        logged_twice("a Redis of the Redlock", &address(Kind::Redis, proxy.port)).await;
    }
}

/// Killed and started again: for every engine and every use of it.
async fn goes_and_comes_back(kind: Kind, each: &[Use]) {
    log::begin();
    let mut engine = Engine::start(kind).await;
    for used in each {
        let proxy = Proxy::to(engine.port).await;
        let url = engine.url_at(&format!("127.0.0.1:{}", proxy.port));
        let (what, role) = (format!("{used:?} in {kind:?}"), used.role(kind.name()));
        let caller = used.connect(&url).await.unwrap();
        caller.call().await.unwrap();
        engine.kill();
        is_of_role(&fails(&what, &caller).await, &role);
        sleep(BRIEFLY_AWAY).await;
        engine.restart().await;
        works(&what, &caller).await;
        let address = if kind == Kind::ZooKeeper { url } else { address(kind, proxy.port) };
        logged_twice(&role, &address).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_goes_and_comes_back() {
    needs!(Redis);
    goes_and_comes_back(Kind::Redis, &[Use::Locks, Use::Ids, Use::Limiter]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_goes_and_comes_back() {
    needs!(Postgres);
    goes_and_comes_back(Kind::Postgres, &[Use::Locks, Use::Segments, Use::Increments]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mariadb_goes_and_comes_back() {
    needs!(MariaDb);
    goes_and_comes_back(Kind::MariaDb, &[Use::Locks, Use::Increments]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zookeeper_goes_and_comes_back() {
    needs!(ZooKeeper);
    goes_and_comes_back(Kind::ZooKeeper, &[Use::Locks]).await;
}

/// A way to an engine that nothing comes back on: what a machine leaves that vanished.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_silent_is_left() {
    needs!(Redis, Postgres, MariaDb, ZooKeeper);
    log::begin();
    for (kind, used) in [
        (Kind::Redis, Use::Limiter),
        (Kind::Postgres, Use::Locks),
        (Kind::MariaDb, Use::Increments),
        (Kind::Redis, Use::Locks),
    ] {
        let (engine, what) = (Engine::start(kind).await, format!("{used:?} in {kind:?}"));
        let [vanished, proxy] = [Proxy::to(engine.port).await, Proxy::to(engine.port).await];
        proxy.lead_to(vanished.port);
        let caller = used.connect(&engine.url_at(&format!("127.0.0.1:{}", proxy.port))).await.unwrap();
        caller.call().await.unwrap();
        vanished.set_held(true);
        is_of_role(&fails(&what, &caller).await, &used.role(kind.name()));
        proxy.lead_to(engine.port);
        works(&what, &caller).await;
        logged_twice(&used.role(kind.name()), &address(kind, proxy.port)).await;
    }
}

/// An administrator ends all connections; idle ones are nobody's loss.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_an_administrator_ends_are_made_again() {
    needs!(Postgres);
    let engine = Engine::start(Kind::Postgres).await;
    for used in [Use::Locks, Use::Increments] {
        let caller = used.connect(&engine.url()).await.unwrap();
        caller.call().await.unwrap();
        client(
            &engine,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename <> ''",
        );
        works(&format!("{used:?}"), &caller).await;
    }
}

/// A message that is lost costs a waiter a second or so, not its wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiter_has_its_turn_though_no_message_comes() {
    needs!(Postgres);
    let engine = Engine::start(Kind::Postgres).await;
    let locks = Arc::new(Backend::connect(&engine.url()).await.unwrap());
    assert!(locks.lock(request("holder"), Duration::ZERO).await.unwrap().granted);
    let waiting = tokio::spawn({
        let locks = Arc::clone(&locks);
        async move { locks.lock(request("waiter"), Duration::from_mins(1)).await }
    });
    until("a waiter", async || (locks.state("user").await.unwrap().waiting == 1).then_some(())).await;
    // As the holder's unlock does it, but for the message.
    client(&engine, "UPDATE everywire.locks SET owner = NULL, holds = 0, until = 0");
    until("the waiter's turn", async || waiting.is_finished().then_some(())).await;
    assert!(waiting.await.unwrap().unwrap().granted);
}

/// A Redis that forgets everything, as after FLUSHALL, has the places of those who wait again after a second or so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiters_of_a_redis_that_forgets_take_their_places_again() {
    needs!(Redis);
    let engine = Engine::start(Kind::Redis).await;
    let locks = Arc::new(Backend::connect(&engine.url()).await.unwrap());
    assert!(locks.lock(request("holder"), Duration::ZERO).await.unwrap().granted);
    let mut waits = JoinSet::new();
    for waiter in 0..5_u32 {
        let locks = Arc::clone(&locks);
        waits.spawn(async move {
            let owner = waiter.to_string();
            let grant = locks.lock(request(&owner), Duration::from_mins(1)).await.unwrap();
            locks.unlock("user", &owner).await.unwrap() && grant.granted
        });
    }
    until("waiters", async || (locks.state("user").await.unwrap().waiting == 5).then_some(())).await;
    client(&engine, "flushall");
    let granted = tokio::time::timeout(Duration::from_secs(20), waits.join_all()).await.expect("their turns");
    assert_eq!(granted, [true; 5]);
}
