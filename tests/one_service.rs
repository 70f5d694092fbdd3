//! One process, one service value: what one wire does, the others see.

use std::time::Duration;

use everywire::{Code, Limits, Origin};
use everywire_toolkit::{Toolkit, ToolkitClient, ToolkitService};
use tokio::time::timeout;

use crate::{
    contract::embedded,
    harness::{Wires, on_every_wire, soon},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_taken_over_one_wire_is_held_on_every_other() {
    let wires = Wires::serve(ToolkitService::new(embedded())).await;
    on_every_wire!(wires, |taker, caller| {
        let name = format!("taken over {taker}");
        let grant = ToolkitClient::new(caller).lock(name.clone(), 60_000, None, Some(taker.into())).await.unwrap();
        on_every_wire!(wires, |wire, caller| {
            let toolkit = ToolkitClient::new(caller);
            let state = toolkit.lock_state(name.clone()).await.unwrap();
            assert_eq!((state.held, state.owner.as_deref(), state.token), (true, Some(taker), grant.token), "{wire}");
            assert!(!toolkit.lock(name.clone(), 1_000, None, Some("other".into())).await.unwrap().granted, "{wire}");
        });
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn one_client_has_every_wire_and_its_clones_share_it() {
    let wires = Wires::serve(ToolkitService::new(embedded())).await;
    for (scheme, address) in wires.urls() {
        let client = everywire::connect(&format!("{scheme}://{address}")).await.unwrap();
        let calls = (0..10).map(|number| {
            let toolkit = ToolkitClient::new(client.clone().timeout(Duration::from_secs(20)));
            tokio::spawn(async move { toolkit.add(number, 1).await })
        });
        for (number, call) in (0..10).zip(calls.collect::<Vec<_>>()) {
            assert_eq!(call.await.unwrap(), Ok(number + 1), "{scheme}");
        }
    }
    for (url, code) in [
        ("http://127.0.0.1:1", Code::InvalidArgument),
        ("127.0.0.1:1", Code::InvalidArgument),
        ("grpc://", Code::InvalidArgument),
        ("zerorpc://127.0.0.1:1", Code::Unavailable),
    ] {
        assert_eq!(everywire::connect(url).await.unwrap_err().code(), code, "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_calls_in_flight_finish_and_takes_no_new_ones() {
    let mut wires = Wires::serve(ToolkitService::new(embedded())).await;
    let holder = ToolkitClient::new(wires.memory());
    let mut waiting = Vec::new();
    on_every_wire!(wires, |wire, caller| {
        let toolkit = ToolkitClient::new(caller);
        holder.lock(wire.into(), 60_000, None, Some("holder".into())).await.unwrap();
        let call = tokio::spawn(async move {
            let outcome = toolkit.lock(wire.into(), 60_000, Some(20_000), None).await;
            // A queue keeps its requests for the next server.
            let next = if wire == "amqp" { None } else { Some(toolkit.add(3, 4).await) };
            (outcome.map(|grant| grant.granted), next)
        });
        waiting.push((wire, call));
        while holder.lock_state(wire.into()).await.unwrap().waiting == 0 {
            tokio::task::yield_now().await;
        }
    });
    let mut stopped = wires.stop();
    assert!(timeout(Duration::from_millis(300), &mut stopped).await.is_err(), "it waits for the calls in flight");
    for (wire, call) in waiting {
        assert_eq!(holder.unlock(wire.into(), "holder".into()).await, Ok(true), "{wire}");
        let (granted, next) = soon(wire, call).await.unwrap();
        assert_eq!(granted, Ok(true), "{wire}");
        if let Some(next) = next.filter(|_| wire != "memory") {
            let error = next.expect_err(wire);
            assert_eq!(error.code(), Code::Unavailable, "{wire}: {error}");
        }
    }
    soon("the stop", stopped).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_say_when_the_server_is_away_and_find_it_when_it_is_back() {
    let mut wires = Wires::serve(ToolkitService::new(embedded())).await;
    let addresses = wires.addresses();
    let (phase, _) = tokio::sync::watch::channel("up");
    let (tried, mut reports) = tokio::sync::mpsc::channel(8);
    let mut clients = Vec::new();
    on_every_wire!(wires, |wire, caller| {
        // Over AMQP the broker is away or not, and its tests are in the wire's crate.
        if wire != "memory" && wire != "amqp" {
            let toolkit = ToolkitClient::new(caller);
            assert_eq!(toolkit.add(3, 4).await, Ok(7), "{wire}");
            let (mut phase, tried) = (phase.subscribe(), tried.clone());
            clients.push(tokio::spawn(async move {
                phase.wait_for(|phase| *phase == "down").await.unwrap();
                let error = toolkit.add(3, 4).await.expect_err(wire);
                assert_eq!((error.code(), error.origin()), (Code::Unavailable, Origin::Local), "{wire}: {error}");
                tried.send(()).await.unwrap();
                phase.wait_for(|phase| *phase == "up again").await.unwrap();
                while toolkit.add(3, 4).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }));
        }
    });
    soon("the stop", wires.stop()).await.unwrap().unwrap();
    phase.send_replace("down");
    for _ in &clients {
        soon("a client that finds its server away", reports.recv()).await.unwrap();
    }
    let _wires = Wires::serve_at(ToolkitService::new(embedded()), addresses, Limits::default()).await;
    phase.send_replace("up again");
    for client in clients {
        soon("a client that finds its server again", client).await.unwrap();
    }
}
