//! The limit of open files: raised at the start, and lived with where it can't be.

use std::{fs, time::Duration};

use everywire_toolkit::Toolkit;
use tokio::{net::TcpStream, time::sleep};

use super::{Clients, Log, cpu_time};
use crate::{harness::soon, program::Serving};

const WIRES: [&str; 5] = ["XML-RPC", "JSON-RPC", "gRPC", "zerorpc", "locker"];

#[tokio::test]
async fn the_limit_is_raised_as_far_as_the_system_allows() {
    #[rustfmt::skip]
    let cases = [
        ("ulimit -Sn 100", "20", "142", None),
        ("ulimit -Sn 200", "20", "200", None),
        ("ulimit -n 100", "20", "100", Some("5 wires with 20 connections each may need 132 open files, and 100 are allowed")),
    ];
    for (setup, connections, limit, warning) in cases {
        let flags = ["--max-connections", connections, "--max-calls-in-all", "10"];
        let mut serving = Serving::start_after(setup, &flags).await;
        let mut log = Log::of(&mut serving.child);
        // The answer shows that the start is over.
        Clients::of(&serving).await;
        let limits = fs::read_to_string(format!("/proc/{}/limits", serving.child.id().unwrap())).unwrap();
        let soft = limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next());
        assert_eq!(soft, Some(limit), "{setup}");
        if let Some(warning) = warning {
            log.line(warning).await;
        } else {
            serving.child.kill().await.unwrap();
            assert_eq!(log.rest().await, "", "{setup}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_files_to_open_the_connections_that_are_there_go_on() {
    let home = tempfile::tempdir().unwrap();
    let flags = ["--handshake-time", "5min", "--data-dir", home.path().to_str().unwrap()];
    let mut serving = Serving::start_after("ulimit -n 64", &flags).await;
    let mut log = Log::of(&mut serving.child);
    let mut clients = Clients::of(&serving).await;
    let mut crowd = Vec::new();
    for wire in WIRES {
        for _ in 0..64 {
            crowd.push(soon(wire, TcpStream::connect(serving.address(wire))).await.unwrap());
        }
    }
    let mut failing: Vec<_> = ["xmlrpc", "jsonrpc", "grpc", "zerorpc", "locker"].into();
    while !failing.is_empty() {
        let line = log.line("accept failed: new connections wait until it works").await;
        assert!(line.contains("Too many open files"), "{line}");
        failing.retain(|wire| !line.contains(&format!("wire=\"{wire}\"")));
    }
    clients.are_answered().await;
    let before = cpu_time(&serving);
    for _ in 0..10 {
        // Ids need a higher mark in the data directory several times a second.
        soon("an id", clients.grpc.next_id()).await.unwrap();
        sleep(Duration::from_millis(100)).await;
    }
    let spent = cpu_time(&serving).saturating_sub(before);
    assert!(spent < Duration::from_millis(250), "{spent:?} of CPU time in a second");
    drop(crowd);
    Clients::of(&serving).await;
    clients.are_answered().await;
}
