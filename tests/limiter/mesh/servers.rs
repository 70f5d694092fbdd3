//! Servers in a mesh, each a process.

use std::time::Duration;

use tokio::time::sleep;

use super::{GLANCE, at, free_port};
use crate::processes::Process;
use everywire_testing::soon;

const LIMIT: u32 = 10;
const PAIRS: [(usize, usize); 6] = [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)];

/// What remains at a server that has granted some: to ask for all takes nothing then.
async fn remaining(server: &Process, resource: &str) -> u32 {
    server.acquire(resource, LIMIT).await.unwrap().remaining
}

/// Waits until each server has counted what is granted by each other one.
async fn all_hear(servers: &[Process; 3], when: &str) {
    for (teller, listener) in PAIRS {
        let heard = async {
            for number in 0.. {
                let resource = format!("{when}: {teller} to {listener}, {number}");
                assert!(servers[listener].acquire(&resource, 1).await.unwrap().go);
                assert!(servers[teller].acquire(&resource, 3).await.unwrap().go);
                sleep(Duration::from_millis(20)).await;
                if remaining(&servers[listener], &resource).await == LIMIT - 4 {
                    return;
                }
            }
        };
        soon("a server is heard", heard).await;
    }
}

/// Waits until `left` permits remain at each server.
async fn all_have_left(servers: &[Process; 3], resource: &str, left: u32) {
    for server in servers {
        let counted = async {
            while remaining(server, resource).await != left {
                sleep(GLANCE).await;
            }
        };
        soon("what the others grant counts", counted).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_share_a_slot_and_find_each_other_again() {
    let ports = [free_port(), free_port(), free_port()].map(at);
    let start = async |own: usize| {
        let mut flags = vec!["--locker-rate", "10/1h", "--limiter-mesh-bind", &ports[own]];
        for peer in ports.iter().filter(|peer| **peer != ports[own]) {
            flags.extend(["--limiter-peer", peer]);
        }
        Process::start(&flags).await
    };
    let mut servers = [start(0).await, start(1).await, start(2).await];
    all_hear(&servers, "at first").await;
    for server in &servers {
        assert!(server.acquire("shared", 1).await.unwrap().go);
    }
    all_have_left(&servers, "shared", 7).await;
    // Each takes its share once it has heard of the others'.
    for (server, (share, left)) in servers.iter().zip([(2, 5), (4, 1), (1, 0)]) {
        assert!(server.acquire("shared", share).await.unwrap().go);
        all_have_left(&servers, "shared", left).await;
    }
    servers[1].serving.child.kill().await.unwrap();
    assert!(servers[0].acquire("alone", LIMIT).await.unwrap().go, "a peer that is gone holds up nobody");
    servers[1] = start(1).await;
    all_hear(&servers, "again").await;
}
