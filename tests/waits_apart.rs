//! Calls that wait for a lock never keep out the call that ends their wait.

use std::sync::Arc;

use everywire::{Caller, Code, Limits};
use everywire_testing::needs;
use everywire_toolkit::{Toolkit, ToolkitClient, ToolkitService};
use tokio::task::JoinHandle;

use crate::{
    contract::embedded,
    harness::{Wires, on_every_wire},
    waiting::{Locks, MINUTE_MS, wait_as},
};

/// More than may run on one connection.
const MANY: u32 = 300;

#[tokio::test(flavor = "multi_thread")]
async fn however_many_calls_of_a_client_wait_it_can_end_their_wait() {
    let wires = Wires::serve(ToolkitService::new(embedded())).await;
    let locks = Locks::of(&wires);
    on_every_wire!(wires, |wire, caller| { many_wait_and_the_holder_goes_on(&locks, caller, wire).await });
}

async fn many_wait_and_the_holder_goes_on(locks: &Locks, caller: impl Caller, wire: &str) {
    let client = Arc::new(ToolkitClient::new(caller));
    let holder = || "holder".to_owned();
    assert!(client.lock(wire.into(), MINUTE_MS, None, Some(holder())).await.unwrap().granted, "{wire}");
    let waits: Vec<_> = (0..MANY).map(|wait| wait_as(&client, wire, wait.to_string())).collect();
    locks.waiting(wire, MANY..=MANY).await;
    assert_eq!(client.add(3, 4).await, Ok(7), "{wire}");
    assert!(client.renew(wire.into(), holder(), MINUTE_MS).await.unwrap().granted, "{wire}");
    assert_eq!(client.unlock(wire.into(), holder()).await, Ok(true), "{wire}");
    locks.waiting(wire, MANY - 1..MANY).await;
    waits.iter().for_each(JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_waiting_call_too_many_is_rejected_and_nothing_else() {
    let limits = Limits { waiting_calls: 3, calls_in_flight: 2, ..Limits::default() };
    let wires = Wires::serve_within(ToolkitService::new(embedded()), limits).await;
    let locks = Locks::of(&wires);
    let reason = "the connection has too many waiting calls; the limit waiting_calls is 3";
    one_too_many(&locks, wires.jsonrpc_ws().await, "jsonrpc over WebSocket", reason).await;
    one_too_many(&locks, wires.grpc().await, "grpc", reason).await;
    one_too_many(&locks, wires.zerorpc().await, "zerorpc", reason).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_calls_of_all_do_not_take_the_place_of_others() {
    let limits = Limits { calls_in_all: 3, connections: 2, ..Limits::default() };
    let wires = Wires::serve_within(ToolkitService::new(embedded()), limits).await;
    let locks = Locks::of(&wires);
    let reason = "the server has too many waiting calls; the limit calls_in_all is 3";
    // Over HTTP/1 each waiting call has a connection, which does not count as one of the two.
    one_too_many(&locks, wires.xmlrpc().await, "xmlrpc", reason).await;
    one_too_many(&locks, wires.jsonrpc().await, "jsonrpc over HTTP", reason).await;
    one_too_many(&locks, wires.grpc().await, "grpc", reason).await;
    needs!(RabbitMq);
    one_too_many(&locks, wires.amqp().await, "amqp", reason).await;
}

/// Three calls of a client may wait. A fourth is rejected for this `reason`, and the holder goes on.
async fn one_too_many(locks: &Locks, caller: impl Caller, wire: &str, reason: &str) {
    let client = Arc::new(ToolkitClient::new(caller));
    let holder = || "holder".to_owned();
    assert!(client.lock(wire.into(), MINUTE_MS, None, Some(holder())).await.unwrap().granted, "{wire}");
    let mut waits = Vec::new();
    for waiting in 1..=3 {
        waits.push(wait_as(&client, wire, waiting.to_string()));
        // Before its call waits, a connection counts.
        locks.waiting(wire, waiting..=waiting).await;
    }
    let error = client.lock(wire.into(), MINUTE_MS, Some(MINUTE_MS), None).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::ResourceExhausted, reason), "{wire}");
    assert!(client.renew(wire.into(), holder(), MINUTE_MS).await.unwrap().granted, "{wire}");
    assert_eq!(client.unlock(wire.into(), holder()).await, Ok(true), "{wire}");
    for _ in &waits {
        locks.next(wire).await;
    }
    for wait in waits {
        assert_eq!(wait.await.unwrap(), Ok(true), "{wire}");
    }
}
