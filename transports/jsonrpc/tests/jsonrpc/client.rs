//! Our client against our server, over HTTP and over WebSocket.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use everywire_core::{Code, Limits, Origin, Result};
use everywire_jsonrpc::{Client, schema};
use jsonrpsee_core::{client::ClientT, params::ArrayParams};
use jsonrpsee_http_client::HttpClientBuilder;
use jsonrpsee_ws_client::WsClientBuilder;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::probe::{Colour, Everything, Inner, Probe, ProbeClient, ProbeService, Running, post, within};

/// A client of each kind, with the name of the case.
async fn clients(server: &Running) -> [(String, ProbeClient<Client>); 2] {
    let [http, websocket] = [server.http(), server.websocket()];
    [(http.clone(), client(&http).await), (websocket.clone(), client(&websocket).await)]
}

async fn client(url: &str) -> ProbeClient<Client> {
    ProbeClient::new(Client::connect(url).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn extremes_come_back_unchanged() {
    let server = Running::start(Limits::default()).await;
    let inner = Inner { name: "{}[]\"\\,:".into(), colours: vec![Colour::Red, Colour::Green] };
    let value = Everything {
        signed: vec![i64::MIN, -1, 0, i64::MAX, (1 << 53) + 1],
        unsigned: vec![0, (1 << 53) + 1, (1 << 63) + 1, u64::MAX],
        float: 1.797_693_134_862_315_7e308,
        yes: true,
        texts: vec![
            String::new(),
            "Grüße 日本 🦀 \u{10FFFF}".into(),
            "<&>\"'\\/".into(),
            (0..32).map(char::from).collect(),
            "\u{7F}\u{2028}\u{FFFE}".into(),
            "x".repeat(1 << 20),
        ],
        absent: None,
        present: Some(inner.clone()),
        map: BTreeMap::from([(String::new(), inner.clone()), ("ключ".into(), inner)]),
        bytes: (0..=255).collect(),
    };
    for (case, client) in clients(&server).await {
        assert!(client.echo(value.clone()).await.as_ref() == Ok(&value), "{case}");
        assert_eq!(client.options(None, 2, None).await.as_deref(), Ok("None 2 None"), "{case}");
        assert_eq!(client.options(Some(1), 2, Some(3)).await.as_deref(), Ok("Some(1) 2 Some(3)"), "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_bytes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = client(&format!("http://user:secret@{address}/path?query")).await;
    let call = tokio::spawn(async move { client.add(3, -4).await });
    let (mut stream, _) = within("the connection", listener.accept()).await.unwrap();
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"add","params":{"a":3,"b":-4}}"#;
    let mut request = String::new();
    while !request.ends_with(body) {
        assert!(request.len() < 1_000, "{request}");
        request.push(char::from(within(&request, stream.read_u8()).await.unwrap()));
    }
    let expected = format!(
        "POST /path?query HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
         authorization: Basic dXNlcjpzZWNyZXQ=\r\naccept: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(request, expected);
    let response = r#"{"jsonrpc":"2.0","id":1,"result":-1}"#;
    let length = response.len();
    stream
        .write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{response}").as_bytes())
        .await
        .unwrap();
    assert_eq!(within("the outcome", call).await.unwrap(), Ok(-1));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_comes_back_unchanged() {
    let server = Running::start(Limits::default()).await;
    for (case, client) in clients(&server).await {
        for &code in Code::ALL {
            for message in ["", "no \"lock\" <here>\n🦀"] {
                let error = client.fail(code.number(), message.into()).await.unwrap_err();
                assert_eq!((error.code(), error.message()), (code, message), "{case}");
                assert_eq!(error.data(), Some(&json!({ "number": code.number() })), "{case}");
                assert_eq!(error.origin(), Origin::Remote, "{case}");
            }
        }
        let error = client.panic().await.unwrap_err();
        assert_eq!((error.code(), error.origin()), (Code::Internal, Origin::Remote), "{case}");
        assert_eq!(client.add(1, 1).await, Ok(2), "{case}: a panic harms no other call");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_are_in_flight_at_the_same_time() {
    let server = Running::start(Limits::default()).await;
    for (case, client) in clients(&server).await {
        let client = Arc::new(client);
        let before = *server.state.begun.borrow();
        let calls: Vec<_> = (0..200)
            .map(|_| {
                let client = Arc::clone(&client);
                tokio::spawn(async move { client.wait().await })
            })
            .collect();
        server.state.begun(before + 200).await;
        server.state.go_on.add_permits(200);
        for call in calls {
            assert!(call.await.unwrap().is_ok(), "{case}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_is_a_missed_deadline() {
    let server = Running::start(Limits::default()).await;
    for url in [server.http(), server.websocket()] {
        let client = Client::connect(&url).await.unwrap().timeout(Duration::from_millis(50));
        let client = ProbeClient::new(client);
        let error = within(&url, client.wait()).await.unwrap_err();
        assert_eq!((error.code(), error.origin()), (Code::DeadlineExceeded, Origin::Local), "{url}");
        assert_eq!(error.message(), format!("wait: no response from {url} within 50ms"));
        assert_eq!(client.add(1, 2).await, Ok(3), "{url}: the connection is still good");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_is_refused_and_harms_no_other_call() {
    let server = Running::start(Limits::default()).await;
    for (case, client) in clients(&server).await {
        let error = client.repeat("x".repeat(8 << 20), 0).await.unwrap_err();
        assert_eq!((error.code(), error.origin()), (Code::ResourceExhausted, Origin::Local), "{case}: {error}");
        let error = client.repeat("x".repeat(1 << 20), 9).await.unwrap_err();
        assert_eq!((error.code(), error.origin()), (Code::ResourceExhausted, Origin::Remote), "{case}: {error}");
        let most = "x".repeat((8 << 20) - 120);
        assert_eq!(client.repeat(most.clone(), 1).await.as_ref(), Ok(&most), "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_addresses_are_named() {
    for url in ["", "localhost:4244", "http://", "ftp://localhost:1", "https://localhost:1", "http://a b", "ws://:1"] {
        let error = Client::connect(url).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{url:?}");
        assert!(error.message().contains(&format!("`{url}`")), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_listening_is_unavailable() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for url in [format!("http://{address}"), format!("ws://{address}")] {
        let client = client(&url).await;
        let error = within(&url, client.add(1, 2)).await.unwrap_err();
        assert_eq!((error.code(), error.origin()), (Code::Unavailable, Origin::Local), "{error}");
        assert!(error.message().contains(&address.to_string()), "{error}");
        assert!(error.message().contains("refused"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_another_kind_is_an_error_and_not_a_panic() {
    #[rustfmt::skip]
    let cases = [
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", Code::Unimplemented),
        ("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", Code::Unavailable),
        ("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", Code::Internal),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", Code::Internal),
        ("HTTP/1.1 200 OK\r\nContent-Length: 38\r\n\r\n{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":\"no\"}", Code::Internal),
        ("220 mail.example ESMTP\r\n", Code::Unavailable),
    ];
    for (answer, code) in cases {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let other = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_u8().await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream
        });
        let error = within(answer, client(&url).await.add(1, 2)).await.unwrap_err();
        assert_eq!((error.code(), error.origin()), (code, Origin::Local), "{answer:?}: {error}");
        drop(other.await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_come_back_after_the_server_does() {
    let server = Running::start(Limits::default()).await;
    let address = server.address.to_string();
    let clients = clients(&server).await;
    for (case, client) in &clients {
        assert_eq!(client.add(1, 2).await, Ok(3), "{case}");
    }
    server.stop().await;
    for (case, client) in &clients {
        let calls = tokio::join!(client.add(1, 2), client.add(1, 2), client.add(1, 2));
        for outcome in <[Result<i64>; 3]>::from(calls) {
            assert_eq!(outcome.unwrap_err().code(), Code::Unavailable, "{case}");
        }
    }
    let _server = Running::start_on(&address, Limits::default()).await;
    for (case, client) in &clients {
        let calls = tokio::join!(client.add(1, 2), client.add(1, 2), client.add(1, 2));
        assert_eq!(<[Result<i64>; 3]>::from(calls), [Ok(3), Ok(3), Ok(3)], "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_fails_its_calls() {
    let server = Running::start(Limits::default()).await;
    let calls = clients(&server).await.map(|(_, client)| tokio::spawn(async move { client.wait().await }));
    server.state.begun(2).await;
    server.cut().await;
    for call in calls {
        let error = within("the failure", call).await.unwrap().unwrap_err();
        assert_eq!((error.code(), error.origin()), (Code::Unavailable, Origin::Local), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_answers_with_the_openrpc_document() {
    let server = Running::start(Limits::default()).await;
    let request = r#"{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}"#;
    let (_, response) = post(server.address, "", request).await;
    let answer: Value = serde_json::from_str(&response).unwrap();
    let document = schema::openrpc(ProbeService::descriptor());
    assert_eq!(answer["result"], document);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_of_jsonrpsee_may_notify() {
    let server = Running::start(Limits::default()).await;
    let http = HttpClientBuilder::default().build(server.http()).unwrap();
    let socket = WsClientBuilder::default().build(server.websocket()).await.unwrap();
    server.state.go_on.add_permits(2);
    within("a POST", http.notification("wait", ArrayParams::new())).await.unwrap();
    within("a text", socket.notification("wait", ArrayParams::new())).await.unwrap();
    server.state.begun(2).await;
    let mut sum = ArrayParams::new();
    sum.insert(3).unwrap();
    sum.insert(4).unwrap();
    assert_eq!(within("a call", http.request::<i64, _>("add", sum.clone())).await.unwrap(), 7);
    assert_eq!(within("a call", socket.request::<i64, _>("add", sum)).await.unwrap(), 7);
}
