//! What is said at the start of an engine that can't do what it is needed for.

use std::{fs, process::Stdio};

use everywire_core::{Code, RpcError};
use everywire_id::{Ids, Settings};
use everywire_lock::Backend;
use tokio::{net::TcpListener, process::Command, time::timeout};

use crate::{SOON, client, until, users::Use};
use everywire_testing::{
    engine::{Engine, Kind, free_port},
    needs,
};

async fn rejected(used: Use, url: &str) -> RpcError {
    used.connect(url).await.err().unwrap_or_else(|| panic!("{used:?} in {url} begins"))
}

/// The error that stays once an engine has started.
async fn rejected_in_time(used: Use, url: &str) -> RpcError {
    let unfit = async || used.connect(url).await.err().filter(|error| error.code() != Code::Unavailable);
    until(url, unfit).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_of_redis() {
    needs!(Redis);
    let [replica, primary] = [Engine::start(Kind::Redis).await, Engine::start(Kind::Redis).await];
    client(&replica, &format!("replicaof 127.0.0.1 {}", primary.port));
    for used in [Use::Locks, Use::Ids, Use::Limiter] {
        let error = rejected(used, &replica.url()).await;
        assert_eq!(error.code(), Code::FailedPrecondition);
        let expected = format!("{}: is a read-only replica; give the address of the primary", replica.url());
        assert_eq!(error.message(), expected, "{used:?}");
    }
    let third = Engine::start(Kind::Redis).await;
    let hosts = [&primary, &replica, &third].map(Engine::host).join(",");
    let error = rejected(Use::Locks, &format!("redlock://{hosts}")).await;
    assert!(error.message().starts_with(&format!("{}: is a read-only replica", replica.url())), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_a_redis_cluster() {
    needs!(Redis);
    // Without it the bus is 10,000 above the port, which may be too high.
    let flags = format!("--cluster-enabled yes --cluster-port {}", free_port());
    let node = Engine::start_unfit(Kind::Redis, &flags);
    for used in [Use::Locks, Use::Ids, Use::Limiter] {
        let error = rejected_in_time(used, &node.url()).await;
        let expected = format!("{}: is a node of a Redis Cluster, which is not supported; ", node.url());
        assert!(error.message().starts_with(&expected), "{used:?}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_sentinel() {
    needs!(Redis);
    let (port, home) = (free_port(), tempfile::tempdir().unwrap());
    let file = home.path().join("sentinel.conf");
    fs::write(&file, format!("port {port}\nbind 127.0.0.1\n")).unwrap();
    let mut sentinel = Command::new("redis-server");
    let _running = sentinel.arg(file).arg("--sentinel").stdout(Stdio::null()).kill_on_drop(true).spawn().unwrap();
    let error = rejected_in_time(Use::Locks, &format!("redis://127.0.0.1:{port}")).await;
    assert!(error.message().ends_with(": is a Redis Sentinel; give the address of the primary"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_permits_too_little() {
    needs!(Redis);
    let redis = Engine::start(Kind::Redis).await;
    for (rules, expected) in [
        ("+@all -@scripting", "rejects a script that writes: NOPERM "),
        ("+@all -@write", "rejects a script that writes: "),
        ("+@all resetchannels", "NOPERM "),
    ] {
        client(&redis, &format!("acl setuser poor reset on '>secret' '~*' '&*' {rules}"));
        let error = rejected(Use::Locks, &format!("redis://poor:secret@{}", redis.host())).await;
        assert!(error.message().starts_with(&format!("{}: {expected}", redis.url())), "{rules}: {error}");
    }
    let error = rejected(Use::Locks, &format!("redis://poor:wrong@{}", redis.host())).await;
    assert!(error.message().contains("WRONGPASS") && !error.message().contains("poor:wrong"), "{error}");
    client(&redis, "config set maxmemory 1");
    let error = rejected(Use::Limiter, &redis.url()).await;
    assert!(error.message().contains(": rejects a script that writes: OOM "), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_is_read_only() {
    needs!(Postgres);
    let mut postgres = Engine::start(Kind::Postgres).await;
    client(&postgres, "ALTER SYSTEM SET default_transaction_read_only = on; SELECT pg_reload_conf()");
    for used in [Use::Locks, Use::Segments, Use::Increments] {
        let error = rejected_in_time(used, &postgres.url()).await;
        assert!(error.message().ends_with(": is read-only: default_transaction_read_only is on"), "{used:?}: {error}");
    }
    postgres.kill();
    fs::write(postgres.file("data/standby.signal"), "").unwrap();
    postgres.restart_unfit();
    for used in [Use::Locks, Use::Segments] {
        let error = rejected_in_time(used, &postgres.url()).await;
        let expected = ": is a standby in recovery; give the address of the primary";
        assert!(error.message().ends_with(expected), "{used:?}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_says_no_in_its_own_words() {
    needs!(Postgres);
    let postgres = Engine::start(Kind::Postgres).await;
    client(&postgres, "CREATE ROLE poor LOGIN");
    let host = postgres.host();
    for (url, expected) in [
        (
            format!("postgres://nobody_here@{host}/postgres"),
            "FATAL: role \"nobody_here\" does not exist (SQLSTATE 28000)",
        ),
        (
            format!("postgres://postgres@{host}/no_such_db"),
            "FATAL: database \"no_such_db\" does not exist (SQLSTATE 3D000)",
        ),
        (
            format!("postgres://poor@{host}/template1"),
            "ERROR: permission denied for database template1 (SQLSTATE 42501)",
        ),
    ] {
        for used in [Use::Locks, Use::Segments] {
            let error = rejected(used, &url).await;
            assert_eq!(error.message(), format!("postgres://{host}: {expected}"), "{used:?}");
        }
    }
    let user = Use::Increments.connect(&postgres.url()).await.unwrap();
    client(&postgres, "DROP SEQUENCE everywire.ids");
    let error = user.call().await.unwrap_err();
    let expected = "the PostgreSQL that makes the ids rejects this: ERROR: relation \"everywire.ids\" does not exist \
        (SQLSTATE 42P01)";
    assert_eq!(error.message(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mariadb_that_is_read_only() {
    needs!(MariaDb);
    let mariadb = Engine::start(Kind::MariaDb).await;
    client(&mariadb, "SET GLOBAL read_only = 1");
    for used in [Use::Locks, Use::Segments, Use::Increments] {
        let error = rejected(used, &mariadb.url()).await;
        assert_eq!(error.code(), Code::FailedPrecondition);
        let expected = ": is read-only, as replicas are; give the address of the primary";
        assert!(error.message().ends_with(expected), "{used:?}: {error}");
    }
    let error = rejected(Use::Locks, &format!("mysql://nobody_here:secret@{}/test", mariadb.host())).await;
    assert!(error.message().contains("nobody_here") && !error.message().contains("secret"), "{error}");
}

/// Without a quorum a server of an ensemble can be read at most, also if it would permit that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zookeeper_without_a_quorum() {
    needs!(ZooKeeper);
    let mut ensemble = Engine::ensemble(3).await;
    ensemble[1].kill();
    ensemble[2].kill();
    let error = rejected(Use::Locks, &ensemble[0].url()).await;
    assert_eq!(error.code(), Code::Unavailable);
    let expected = format!("{}: no server takes a session (", ensemble[0].url());
    assert!(error.message().starts_with(&expected) && error.message().contains("has a quorum"), "{error}");
}

#[tokio::test]
async fn urls_that_others_know() {
    for (url, expected) in [
        ("rediss://me:secret@x:6379", "`rediss://`: TLS to Redis is not supported; expected redis://HOST:PORT"),
        ("redis-sentinel://x:26379/mymaster", "`redis-sentinel://`: Redis Sentinel is not supported; expected "),
        ("redis+sentinel://x:26379/mymaster", "`redis+sentinel://`: Redis Sentinel is not supported; expected "),
        ("redis-cluster://x:6379", "`redis-cluster://`: Redis Cluster is not supported; expected "),
        ("valkey://x:6379", "`valkey://`: a Valkey is a Redis; expected redis://HOST:PORT"),
        ("redis+unix:///run/redis.sock", "`redis+unix://`: a socket file is not supported; expected redis://HOST:PORT"),
    ] {
        let limiter = rejected(Use::Limiter, url).await;
        let ids = Ids::connect(url, Settings::default()).await.unwrap_err();
        for error in [Backend::connect(url).await.unwrap_err(), ids, limiter] {
            assert_eq!(error.code(), Code::InvalidArgument, "{url}: {error}");
            assert!(error.message().starts_with(expected) && !error.message().contains("secret"), "{url}: {error}");
        }
    }
}

/// `[::1]` is nobody else.
#[tokio::test]
async fn an_engine_at_an_ipv6_address() {
    for url in ["redis://[::1]:PORT", "postgres://me@[::1]:PORT/d", "mysql://me@[::1]:PORT/d", "zookeeper://[::1]:PORT"]
    {
        let listener = TcpListener::bind("[::1]:0").await.unwrap();
        let url = url.replace("PORT", &listener.local_addr().unwrap().port().to_string());
        let connecting = Backend::connect(&url);
        let accepted = async {
            let accepted = timeout(SOON, listener.accept()).await;
            drop(listener);
            accepted
        };
        let (error, accepted) = tokio::join!(connecting, accepted);
        accepted.expect(&url).unwrap();
        let (scheme, host) = url.split_once("://").unwrap();
        let host = host.trim_start_matches("me@").trim_end_matches("/d");
        assert!(error.unwrap_err().message().starts_with(&format!("{scheme}://{host}: ")), "{url}");
    }
}
