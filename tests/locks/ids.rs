//! Ids of two servers on one engine, over every wire.

use std::{collections::HashSet, process::Stdio};

use everywire::{Result, grpc, jsonrpc, xmlrpc, zerorpc};
use everywire_toolkit::{IdParts, Toolkit, ToolkitClient};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

use crate::{
    servers::{Server, WIRES},
    serving::{PROGRAM, on_free_ports},
};
use everywire_testing::{
    engine::{Engine, Kind},
    needs, soon,
};

const SECRET: &str = "00112233445566778899aabbccddeeff";

async fn two(flags: &[&str]) -> [Server; 2] {
    [Server::start(flags).await, Server::start(flags).await]
}

/// Draws from both servers over every wire, and says what the last id of each says.
async fn drawn(servers: &[Server; 2], most: u64) -> [IdParts; 2] {
    let (mut seen, mut last) = (HashSet::new(), Vec::new());
    for server in servers {
        for wire in WIRES {
            let url = &server.url(wire);
            let (ids, parts) = match wire {
                "XML-RPC" => ids(xmlrpc::Client::connect(url).await.map(ToolkitClient::new)).await,
                "JSON-RPC" => ids(jsonrpc::Client::connect(url).await.map(ToolkitClient::new)).await,
                "gRPC" => ids(grpc::Client::connect(url).await.map(ToolkitClient::new)).await,
                _ => ids(zerorpc::Client::connect(url).await.map(ToolkitClient::new)).await,
            };
            assert!(ids.iter().all(|id| *id < most && seen.insert(*id)), "{wire}");
            last.push(parts);
        }
    }
    [last[3].clone(), last[7].clone()]
}

async fn ids(toolkit: Result<impl Toolkit>) -> (Vec<u64>, IdParts) {
    let toolkit = toolkit.unwrap();
    let mut ids = toolkit.next_ids(1_000).await.unwrap();
    ids.push(toolkit.next_id().await.unwrap());
    let parts = toolkit.decode_id(ids[1_000]).await.unwrap();
    (ids, parts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worker_ids_are_leased_and_ids_hidden() {
    needs!(Redis);
    let engine = Engine::start(Kind::Redis).await;
    let url = engine.url();
    let flags = ["--lock", &url, "--worker", "auto", "--id-layout", "js", "--id-secret", SECRET];
    let [one, other] = drawn(&two(&flags).await, 1 << 53).await;
    assert!(one.worker.is_some() && one.worker != other.worker, "{one:?}, {other:?}");
    assert!(one.time_ms.is_some_and(|ms| other.time_ms.is_some_and(|later| ms <= later)), "{one:?}, {other:?}");
}

/// The worker id in an id of each server.
async fn workers(servers: &[Server; 2]) -> [Option<u64>; 2] {
    drawn(servers, 1 << 63).await.map(|parts| parts.worker)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_an_engine_for_the_locks_worker_ids_are_leased_unless_they_are_given() {
    needs!(Redis, Postgres, MariaDb, ZooKeeper);
    for kind in [Kind::Redis, Kind::Postgres, Kind::MariaDb, Kind::ZooKeeper] {
        let engine = Engine::start(kind).await;
        let url = engine.url();
        let [one, other] = workers(&two(&["--lock", &url]).await).await;
        assert!(one.is_some() && one != other, "{kind:?}: {one:?}, {other:?}");
        let given = [Server::start(&["--lock", &url, "--worker", "3"]).await, Server::start(&["--lock", &url]).await];
        let [one, other] = workers(&given).await;
        assert!(one == Some(3) && other != Some(3), "{kind:?}: {one:?}, {other:?}");
    }
}

/// What the program prints until its last wire.
async fn listing(flags: &[&str]) -> Vec<String> {
    let mut program = on_free_ports(Command::new(PROGRAM));
    let mut program = program.args(flags).stdout(Stdio::piped()).spawn().unwrap();
    let (mut out, mut lines) = (BufReader::new(program.stdout.take().unwrap()).lines(), Vec::<String>::new());
    while !lines.last().is_some_and(|line| line.starts_with("  locker ")) {
        lines.push(soon("the listing", out.next_line()).await.unwrap().expect("the locker is listed"));
    }
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_listing_says_from_where_worker_ids_are_leased() {
    needs!(Redis);
    let engines =
        [Engine::start(Kind::Redis).await, Engine::start(Kind::Redis).await, Engine::start(Kind::Redis).await];
    let [url, b, c] = engines.each_ref().map(Engine::url);
    let quorum = format!(
        "redlock://{},{},{}",
        url.trim_start_matches("redis://"),
        b.trim_start_matches("redis://"),
        c.trim_start_matches("redis://")
    );
    let leased = format!("Ids are unique among the servers that lease a worker id from {url}, as long as");
    #[rustfmt::skip]
    let cases: [(&[&str], String, bool); 5] = [
        (&["--lock", &url], leased.clone(), false),
        (&["--lock", &url, "--worker", "auto"], leased, false),
        (&["--lock", &url, "--worker", "5"], "Ids are unique as long as this is the only server with worker id 5.".to_owned(), true),
        (&["--lock", &quorum], "Ids are unique as long as this is the only server with worker id 0.".to_owned(), true),
        (&["--id", &url], format!("Ids are unique among the servers that take them from {url} by the same --id, as long as"), false),
    ];
    for (flags, expected, is_by_hand) in cases {
        let listing = listing(flags).await;
        assert!(listing.iter().any(|line| line.starts_with(&expected)), "{flags:?}: {listing:#?}");
        assert_eq!(listing.iter().any(|line| line.contains("needs another worker id")), is_by_hand, "{flags:?}");
    }
}

#[tokio::test]
async fn a_lease_that_is_not_to_be_had_says_how_to_do_without() {
    needs!(Redis);
    let engine = Engine::start(Kind::Redis).await;
    let url = engine.url();
    let flags = ["--lock", &url, "--id-layout", "41/0/12"];
    let _only = Server::start(&flags).await;
    let run = Command::new(PROGRAM).args(flags).kill_on_drop(true).output();
    let err = String::from_utf8(soon("the program", run).await.unwrap().stderr).unwrap();
    let expected = "error: RESOURCE_EXHAUSTED: with --lock a worker id is leased there, unless --worker N sets one: all 1 worker ids are held";
    assert!(err.starts_with(expected), "{err}");
    Server::start(&[&flags[..], &["--worker", "0"]].concat()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_share_segments_and_say_what_engine_is_away() {
    needs!(Postgres);
    let mut engine = Engine::start(Kind::Postgres).await;
    let url = format!("segment+{}", engine.url());
    let servers = two(&["--id", &url]).await;
    let [one, other] = drawn(&servers, 1 << 63).await;
    assert!((one.time_ms, one.worker) == (None, None) && one.sequence != other.sequence, "{one:?}, {other:?}");
    engine.kill();
    let toolkit = ToolkitClient::new(grpc::Client::connect(&servers[0].url("gRPC")).await.unwrap());
    let missed = async {
        loop {
            if let Err(error) = toolkit.next_ids(50_000).await {
                return error;
            }
        }
    };
    let error = soon("the end of the segment", missed).await;
    let expected =
        "the segment of ids has run out, and there is no other: the PostgreSQL that makes the ids is unavailable: ";
    assert!(error.code() == everywire::Code::Unavailable && error.message().starts_with(expected), "{error}");
}

#[tokio::test]
async fn what_makes_no_ids_is_named() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    #[rustfmt::skip]
    let cases: [(&[&str], String); 6] = [
        (&["--id", "uuid"], "INVALID_ARGUMENT: --id: unknown id scheme `uuid`; expected snowflake, or a URL that begins with one of redis://, ".to_owned()),
        (&["--id", "redis://:secret@localhost", "--worker", "auto"], "INVALID_ARGUMENT: --worker is for --id snowflake only".to_owned()),
        (&["--id", &format!("redis://:secret@{nobody}")], format!("UNAVAILABLE: --id: redis://{nobody}: ")),
        (&["--id", &format!("segment+postgres://me:secret@{nobody}/d")], format!("UNAVAILABLE: --id: postgres://{nobody}: ")),
        (&["--id", &format!("increment+mysql://me:secret@{nobody}/d")], format!("UNAVAILABLE: --id: mysql://{nobody}: ")),
        (&["--worker", "auto"], "INVALID_ARGUMENT: --worker auto: it leases a worker id from the engine of --lock".to_owned()),
    ];
    for (flags, expected) in cases {
        let run = Command::new(PROGRAM).args(flags).kill_on_drop(true).output();
        let err = String::from_utf8(soon(&expected, run).await.unwrap().stderr).unwrap();
        assert!(err.starts_with(&format!("error: {expected}")) && !err.contains("secret"), "{flags:?}: {err}");
    }
}
