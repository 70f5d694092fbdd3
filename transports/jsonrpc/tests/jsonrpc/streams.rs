//! Streams, in bytes and with jsonrpsee's client.

use std::{sync::Arc, time::Duration};

use everywire_core::Limits;
use jsonrpsee_core::{client::SubscriptionClientT, rpc_params};
use jsonrpsee_ws_client::WsClientBuilder;
use serde_json::{Value, json};

use crate::probe::{Peer, Running, State, post, within};

fn request(id: u32, method: &str, params: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string()
}

/// Calls over HTTP and over a WebSocket.
enum Wire<'a> {
    Http(&'a Running),
    WebSocket(Peer),
}

impl Wire<'_> {
    /// The result of a call, or its error.
    async fn call(&mut self, method: &str, params: Value) -> Value {
        let response = match self {
            Wire::Http(server) => post(server.address, "", &request(1, method, &params)).await.1,
            Wire::WebSocket(peer) => {
                peer.send(&request(1, method, &params)).await;
                peer.receive().await.unwrap()
            }
        };
        let mut response: Value = serde_json::from_str(&response).unwrap();
        if response["error"].is_object() { response["error"].take() } else { response["result"].take() }
    }
}

async fn wires(server: &Running) -> [Wire<'_>; 2] {
    [Wire::Http(server), Wire::WebSocket(Peer::connect(server.address).await)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_pulls_items_with_the_token_of_the_reply() {
    let server = Running::start(Limits::default()).await;
    for mut wire in wires(&server).await {
        let all = json!({ "values": [0, 1, 2], "finished": true });
        assert_eq!(wire.call("count", json!([3])).await, all, "what is there at once needs no token");
        assert_eq!(wire.call("count", json!([0])).await, json!({ "values": [], "finished": true }));

        server.state.go_on.add_permits(2);
        let first = wire.call("ticks", json!({ "to": 4 })).await;
        let token = first["token"].clone();
        assert_eq!((&first["values"], &first["finished"]), (&json!([0, 1]), &json!(false)), "{first}");
        server.state.go_on.add_permits(2);
        let next = wire.call("$/enumerator/next", json!({ "token": token, "received": 2 })).await;
        assert_eq!(next, json!({ "values": [2, 3], "finished": false }));
        let error = wire.call("$/enumerator/next", json!([token, 4])).await;
        assert_eq!((&error["message"], &error["data"]["code"]), (&json!("enough"), &json!("ABORTED")));
        let error = wire.call("$/enumerator/next", json!([token, 4])).await;
        assert_eq!(error["data"]["code"], "UNAVAILABLE", "an error is the last item: {error}");

        let token = wire.call("ticks", json!([1])).await["token"].clone();
        server.state.waiting(1).await;
        assert_eq!(wire.call("$/enumerator/abort", json!({ "token": token })).await, Value::Null);
        server.state.waiting(0).await;
        assert_eq!(wire.call("$/enumerator/abort", json!([token])).await, Value::Null, "again, to no effect");
        let error = wire.call("$/enumerator/next", json!([token, 0])).await;
        assert_eq!(error["data"]["code"], "UNAVAILABLE", "{error}");
    }
    assert_eq!(server.budget.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_items_come_in_parts() {
    let server = Running::start(Limits::default()).await;
    for mut wire in wires(&server).await {
        let mut part = wire.call("count", json!([100_000])).await;
        let token = part["token"].clone();
        let mut all = Vec::new();
        loop {
            let values = part["values"].as_array().unwrap();
            assert!(!values.is_empty() && values.len() < 40_000, "64 KiB at a time");
            all.extend(values.iter().map(|value| value.as_u64().unwrap()));
            if part["finished"] == true {
                break;
            }
            part = wire.call("$/enumerator/next", json!([token, all.len()])).await;
        }
        assert!(all.iter().copied().eq(0..100_000));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pulls_that_make_no_sense_are_errors() {
    let server = Running::start(Limits::default()).await;
    let [mut http, mut websocket] = wires(&server).await;
    let code = |error: &Value| error["data"]["code"].as_str().unwrap().to_owned();
    for params in [json!(["0123", 0]), json!({ "token": "", "received": 0 })] {
        assert_eq!(code(&http.call("$/enumerator/next", params).await), "UNAVAILABLE");
    }
    for params in [json!([]), json!([7, 0]), json!(["a", -1]), json!({ "received": 1 })] {
        let error = http.call("$/enumerator/next", params).await;
        assert_eq!(code(&error), "INVALID_ARGUMENT", "{error}");
    }
    // Over HTTP a response may be lost, so the number of items has to be right.
    for (received, expected) in [(json!([]), "INVALID_ARGUMENT"), (json!([1]), "DATA_LOSS")] {
        let token = http.call("ticks", json!([1])).await["token"].clone();
        let params: Vec<_> = [token].into_iter().chain(received.as_array().unwrap().clone()).collect();
        let error = http.call("$/enumerator/next", json!(params)).await;
        assert_eq!(code(&error), expected, "{error}");
        server.state.waiting(0).await;
    }
    // The token of another connection.
    let token = websocket.call("ticks", json!([1])).await["token"].clone();
    let mut other = Wire::WebSocket(Peer::connect(server.address).await);
    for stranger in [&mut http, &mut other] {
        assert_eq!(code(&stranger.call("$/enumerator/next", json!([token, 0])).await), "UNAVAILABLE");
        stranger.call("$/enumerator/abort", json!([token])).await;
    }
    server.state.go_on.add_permits(1);
    assert_eq!(websocket.call("$/enumerator/next", json!([token])).await["values"], json!([0]));
    // A notification has nobody to reply to.
    let Wire::WebSocket(peer) = &mut websocket else { unreachable!("it is one") };
    peer.send(r#"{"jsonrpc":"2.0","method":"ticks","params":[1]}"#).await;
    assert_eq!(websocket.call("count", json!([0])).await["finished"], true);
    server.state.waiting(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_leaves_ends_its_stream() {
    let server = Running::start(Limits { stream_idle_time: Duration::from_millis(50), ..Limits::default() }).await;
    let mut http = Wire::Http(&server);
    // It doesn't pull.
    http.call("ticks", json!([1])).await;
    server.state.waiting(0).await;
    // It leaves while it waits for an item, for longer than it may be idle.
    let server = Running::start(Limits { stream_idle_time: Duration::from_secs(3), ..Limits::default() }).await;
    let mut http = Wire::Http(&server);
    let token = http.call("ticks", json!([1])).await["token"].clone();
    let pull = http.call("$/enumerator/next", json!([token, 0]));
    assert!(tokio::time::timeout(Duration::from_secs(4), pull).await.is_err(), "it waits");
    server.state.waiting(0).await;
    // It cancels the call that waits for an item.
    let mut peer = Peer::connect(server.address).await;
    peer.send(&request(1, "ticks", &json!([1]))).await;
    let first: Value = serde_json::from_str(&peer.receive().await.unwrap()).unwrap();
    server.state.waiting(1).await;
    peer.send(&request(2, "$/enumerator/next", &json!([first["result"]["token"]]))).await;
    peer.send(r#"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":2}}"#).await;
    assert!(peer.receive().await.unwrap().starts_with(r#"{"jsonrpc":"2.0","id":2,"error":{"code":-32800"#));
    server.state.waiting(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_can_have_the_items_sent() {
    let server = Running::start(Limits::default()).await;
    let mut peer = Peer::connect(server.address).await;
    let State { go_on, .. } = &*server.state;
    peer.send(&request(1, "subscribe_count", &json!([2]))).await;
    let subscription = subscription(&peer.receive().await.unwrap());
    let sent = |member: &str, value: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"count","params":{{"subscription":"{subscription}","{member}":{value}}}}}"#
        )
    };
    for expected in [sent("result", "0"), sent("result", "1"), sent("error", "null")] {
        assert_eq!(peer.receive().await, Some(expected));
    }

    peer.send(&request(1, "test.v1.Probe.subscribe_ticks", &json!([1]))).await;
    let subscription = self::subscription(&peer.receive().await.unwrap());
    go_on.add_permits(1);
    assert_eq!(
        peer.receive().await,
        Some(format!(
            r#"{{"jsonrpc":"2.0","method":"test.v1.Probe.ticks","params":{{"subscription":"{subscription}","result":0}}}}"#
        ))
    );
    let end: Value = serde_json::from_str(&peer.receive().await.unwrap()).unwrap();
    assert_eq!(end["params"]["error"], json!({ "code": 10, "message": "enough", "data": { "code": "ABORTED" } }));

    peer.send(&request(1, "subscribe_ticks", &json!([1]))).await;
    let subscription = self::subscription(&peer.receive().await.unwrap());
    server.state.waiting(1).await;
    for (ended, id) in [(true, &subscription), (false, &subscription)] {
        peer.send(&request(2, "unsubscribe_ticks", &json!([id]))).await;
        assert_eq!(peer.receive().await, Some(format!(r#"{{"jsonrpc":"2.0","id":2,"result":{ended}}}"#)));
    }
    server.state.waiting(0).await;
    assert_eq!(server.budget.calls(), 0);
}

fn subscription(response: &str) -> String {
    let response: Value = serde_json::from_str(response).unwrap();
    response["result"].as_str().unwrap_or_else(|| panic!("{response}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_rejected_where_nothing_can_be_sent() {
    let server = Running::start(Limits::default()).await;
    for mut wire in wires(&server).await {
        for (method, code) in [("subscribe_add", "INVALID_ARGUMENT"), ("subscribe_nothing", "UNIMPLEMENTED")] {
            assert_eq!(wire.call(method, json!([1])).await["data"]["code"], code);
        }
        assert_eq!(wire.call("subscribe_ticks", json!(["x"])).await["data"]["code"], "INVALID_ARGUMENT");
    }
    let error = Wire::Http(&server).call("subscribe_count", json!([1])).await;
    assert_eq!(error["data"]["code"], "FAILED_PRECONDITION", "{error}");
    // Its items could not come behind its own response.
    let mut peer = Peer::connect(server.address).await;
    peer.send(&format!(
        "[{},{}]",
        request(1, "subscribe_ticks", &json!([1])),
        request(2, "subscribe_ticks", &json!([1]))
    ))
    .await;
    let responses: Value = serde_json::from_str(&peer.receive().await.unwrap()).unwrap();
    for response in responses.as_array().unwrap() {
        assert_eq!(response["error"]["data"]["code"], "FAILED_PRECONDITION", "{responses}");
    }
    server.state.waiting(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_jsonrpsee_subscribes() {
    let server = Running::start(Limits::default()).await;
    let client = WsClientBuilder::new().max_buffer_capacity_per_subscription(20_000).build(server.websocket());
    let client = within("a connection", client).await.unwrap();
    let mut items =
        client.subscribe::<u64, _>("subscribe_count", rpc_params![10_000], "unsubscribe_count").await.unwrap();
    for number in 0..10_000 {
        assert_eq!(within("an item", items.next()).await.unwrap().unwrap(), number);
    }
    assert!(within("the end", items.next()).await.is_none());

    let state = Arc::clone(&server.state);
    let mut items = client.subscribe::<u64, _>("subscribe_ticks", rpc_params![2], "unsubscribe_ticks").await.unwrap();
    state.go_on.add_permits(1);
    assert_eq!(within("an item", items.next()).await.unwrap().unwrap(), 0);
    within("the end of the subscription", items.unsubscribe()).await.unwrap();
    state.waiting(0).await;
}
