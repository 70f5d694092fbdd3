//! Two servers on one engine are one service to their clients.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use everywire::{Code, grpc, xmlrpc, zerorpc};
use everywire_toolkit::{LockEvent, LockGuard, Toolkit, ToolkitClient};

use crate::servers::{AnyClient, Server, WIRES};
use everywire_testing::{
    engine::{Engine, Kind},
    needs, soon,
};

const KINDS: [Kind; 4] = [Kind::Redis, Kind::Postgres, Kind::MariaDb, Kind::ZooKeeper];

async fn two(url: &str) -> [Server; 2] {
    [Server::start(&["--lock", url, "--grace", "300ms"]).await, Server::start(&["--lock", url]).await]
}

async fn client(server: &Server, wire: &str) -> AnyClient {
    AnyClient::connect(&server.url(wire), wire).await.unwrap()
}

/// What is held through one server is held through the other, whatever wire leads there.
async fn held_through_both(kind: Kind, servers: &[Server; 2]) {
    for (number, wire) in WIRES.iter().enumerate() {
        let other_wire = WIRES[(number + 1) % WIRES.len()];
        let (one, other) = (client(&servers[0], wire).await, client(&servers[1], other_wire).await);
        let (name, what) = (format!("{wire} and {other_wire}"), format!("{kind:?}, {wire}, {other_wire}"));
        let first = one.lock(&name, 60_000, 0, "a").await.unwrap();
        assert!(first.granted, "{what}");
        assert!(!other.lock(&name, 60_000, 0, "b").await.unwrap().granted, "{what}");
        let again = other.lock(&name, 60_000, 0, "a").await.unwrap();
        assert_eq!((again.token, again.holds), (first.token, 2), "{what}");
        for _ in 0..2 {
            assert!(other.unlock(&name, "a").await.unwrap(), "{what}");
        }
        let next = one.lock(&name, 60_000, 0, "b").await.unwrap();
        assert!(next.granted && next.token > first.token, "{what}: {next:?}");
    }
}

/// Who waits at the other server has the lock within a tenth more than the TTL.
async fn inherited(kind: Kind, servers: &mut [Server; 2]) {
    const TTL: u64 = 3_000;
    let [first, second] = [client(&servers[0], "gRPC").await, client(&servers[1], "JSON-RPC").await];
    let granted = Instant::now();
    let grant = first.lock("inherited", TTL, 0, "dead").await.unwrap();
    assert!(grant.granted);
    let wait = second.lock("inherited", TTL, 20_000, "next");
    let (next, ()) = tokio::join!(soon("the next holder", wait), servers[0].kill());
    let (next, waited) = (next.unwrap(), granted.elapsed());
    assert!(next.granted && next.token > grant.token, "{kind:?}: {next:?}");
    assert!(waited < Duration::from_millis(TTL + TTL / 10), "{kind:?}: {waited:?}");
    servers[0].restart().await;
    println!(
        "{kind:?}: {waited:?} after a lease of {TTL} ms began, its holder's server dead, the next one has the lock"
    );
}

/// A stream holds a lock through one server, and a watch sees it through the other: until the stream is dropped, the server is
/// stopped, or it is killed.
async fn held_by_a_stream(kind: Kind, servers: &mut [Server; 2]) {
    const TTL: u64 = 4_000;
    let other = ToolkitClient::new(grpc::Client::connect(&servers[1].url("gRPC")).await.unwrap());
    let mut watch = other.watch_lock("streamed".to_owned()).await.unwrap();
    let mut seen = async |event| {
        let change = soon("a change", watch.next()).await.unwrap().unwrap();
        assert_eq!(change.event, event, "{kind:?}: {change:?}");
    };
    seen(LockEvent::Found).await;
    for end in ["drop", "-TERM", "-KILL"] {
        let one = ToolkitClient::new(zerorpc::Client::connect(&servers[0].url("zerorpc")).await.unwrap());
        let ttl = if end == "-KILL" { TTL } else { 600_000 };
        let mut hold = one.hold("streamed".to_owned(), ttl, None, None).await.unwrap();
        assert!(hold.next().await.unwrap().unwrap().granted, "{kind:?}, {end}");
        seen(LockEvent::Taken).await;
        let ended = Instant::now();
        match end {
            "drop" => drop(hold),
            signal => {
                servers[0].signal(signal).await;
                soon("the end", servers[0].ended()).await;
                servers[0].restart().await;
                let code = soon("an error", async {
                    loop {
                        if let Err(error) = hold.next().await.unwrap() {
                            break error.code();
                        }
                    }
                });
                assert_eq!(code.await, Code::Unavailable, "{kind:?}, {end}");
            }
        }
        seen(if end == "-KILL" { LockEvent::Expired } else { LockEvent::Released }).await;
        println!("{kind:?}: a lock that a stream held for {ttl} ms is free {:?} after {end}", ended.elapsed());
    }
}

/// A guard keeps its lock over one server while the other refuses it, and knows when it is lost.
async fn guarded(kind: Kind, servers: &mut [Server; 2]) {
    let ttl = Duration::from_secs(2);
    let one = Arc::new(ToolkitClient::new(grpc::Client::connect(&servers[0].url("gRPC")).await.unwrap()));
    let other = Arc::new(ToolkitClient::new(xmlrpc::Client::connect(&servers[1].url("XML-RPC")).await.unwrap()));
    let guard = LockGuard::acquire(&one, "guarded", ttl, Duration::ZERO).await.unwrap().unwrap();
    // Nothing says that a lease was renewed but that it has not ended.
    tokio::time::sleep(2 * ttl).await;
    assert!(!guard.is_lost(), "{kind:?}");
    assert!(LockGuard::acquire(&other, "guarded", ttl, Duration::ZERO).await.unwrap().is_none(), "{kind:?}");
    servers[0].kill().await;
    let next = LockGuard::acquire(&other, "guarded", ttl, Duration::from_secs(20));
    let (next, ()) = tokio::join!(next, async {
        soon("the loss", guard.lost()).await;
    });
    assert!(guard.is_lost() && next.unwrap().unwrap().token() > guard.token(), "{kind:?}");
    servers[0].restart().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_are_one() {
    needs!(Redis, Postgres, MariaDb, ZooKeeper);
    for kind in KINDS {
        let engine = Engine::start(kind).await;
        let mut servers = two(&engine.url()).await;
        held_through_both(kind, &servers).await;
        inherited(kind, &mut servers).await;
        held_by_a_stream(kind, &mut servers).await;
        guarded(kind, &mut servers).await;
    }
}

#[tokio::test]
async fn what_is_no_engine_is_named() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    #[rustfmt::skip]
    let cases = [
        ("nowhere".to_owned(), "error: INVALID_ARGUMENT: --lock: unknown lock engine ``; expected a URL that begins with one of redis://, ".to_owned()),
        ("ftp://x".to_owned(), "error: INVALID_ARGUMENT: --lock: unknown lock engine `ftp`; ".to_owned()),
        ("rediss://:secret@x:6379".to_owned(), "error: INVALID_ARGUMENT: --lock: `rediss://`: TLS to Redis is not supported; expected redis://HOST:PORT".to_owned()),
        ("redis-sentinel://x:26379/mymaster".to_owned(), "error: INVALID_ARGUMENT: --lock: `redis-sentinel://`: Redis Sentinel is not supported; ".to_owned()),
        ("redlock://a:1,b:2".to_owned(), "error: INVALID_ARGUMENT: --lock: 2 servers; ".to_owned()),
        ("redis://".to_owned(), "error: INVALID_ARGUMENT: --lock: no URL of a Redis: ".to_owned()),
        (format!("redis://:secret@{nobody}"), format!("error: UNAVAILABLE: --lock: redis://{nobody}: ")),
        (format!("postgres://me:secret@{nobody}/d"), format!("error: UNAVAILABLE: --lock: postgres://{nobody}: ")),
        (format!("mysql://me:secret@{nobody}/d"), format!("error: UNAVAILABLE: --lock: mysql://{nobody}: ")),
        (format!("zookeeper://{nobody}"), format!("error: UNAVAILABLE: --lock: zookeeper://{nobody}: ")),
    ];
    for (url, expected) in cases {
        let run =
            tokio::process::Command::new(crate::serving::PROGRAM).args(["--lock", &url]).kill_on_drop(true).output();
        let err = String::from_utf8(soon(&url, run).await.unwrap().stderr).unwrap();
        assert!(err.starts_with(&expected) && !err.contains("secret"), "{url}: {err}");
    }
}
