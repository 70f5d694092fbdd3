//! Calls between our client and our server.

use std::{sync::Arc, time::Duration};

use everywire_core::{Code, Limits, Origin};
use everywire_grpc::Client;
use futures_util::future::join_all;
use tonic::transport::Endpoint;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::demo::{Colour, Demo, DemoClient, Everything, Part, Running, within};

#[tokio::test]
async fn values_at_the_edges_come_back() {
    let server = Running::start().await;
    let client = server.client().await;
    for (a, b) in [(3, 4), (i64::MIN, 0), (i64::MAX, 0), (i64::MIN, i64::MAX), (0, 0)] {
        assert_eq!(client.add(a, b).await, Ok(a + b));
    }
    for text in ["", "a", "ü漢字😀", "\0\u{1}\r\n\u{7f}", "<&>\"'"] {
        assert_eq!(client.text(text.into()).await.as_deref(), Ok(text));
    }
    let long = "ß".repeat(1 << 19);
    assert_eq!(client.text(long.clone()).await, Ok(long));
    for (first, second) in [(None, None), (Some(0), None), (None, Some(u64::MAX)), (Some(1), Some(2))] {
        assert_eq!(client.maybe(first, second).await, Ok(first.or(second)));
    }
    let rich = Everything {
        int: i64::MIN,
        uint: u64::MAX,
        float: f64::INFINITY,
        text: "text".into(),
        maybe: Some(0),
        after: true,
        colour: Colour::Green,
        parts: vec![Part::default(), Part { number: Some(-1), labels: vec![String::new(), "x".repeat(300)] }],
        counts: [(String::new(), Part::default()), ("b".into(), Part { number: Some(0), labels: vec![] })].into(),
        bytes: (0..=255).collect(),
        pair: (-128, "second".into()),
    };
    assert_eq!(client.echo(rich.clone()).await, Ok(rich));
    assert_eq!(client.echo(Everything::default()).await, Ok(Everything::default()));
    assert!(client.echo(Everything { float: f64::NAN, ..Default::default() }).await.unwrap().float.is_nan());
}

#[tokio::test]
async fn errors_arrive_as_they_were() {
    let server = Running::start().await;
    let client = server.client().await;
    for &code in Code::ALL {
        for message in ["", "größer % <b>\n😀"] {
            let error = client.fail(code.number(), message.into()).await.unwrap_err();
            assert_eq!((error.code(), error.message(), error.origin()), (code, message, Origin::Remote));
            assert_eq!(error.data(), Some(&serde_json::json!({"why": [1, "ü"]})));
        }
    }
    let error = client.panic().await.unwrap_err();
    assert_eq!((error.code(), error.origin()), (Code::Internal, Origin::Remote));
    assert_eq!(client.add(i64::MAX, 1).await.unwrap_err().code(), Code::OutOfRange);
    assert_eq!(client.add(1, 1).await, Ok(2), "the server lives on");
}

#[tokio::test]
async fn an_unreachable_server_is_unavailable_and_a_malformed_url_is_an_invalid_argument() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = DemoClient::new(Client::connect(&format!("http://{nobody}")).await.unwrap());
    let error = within(client.add(1, 2)).await.unwrap_err();
    assert_eq!((error.code(), error.origin()), (Code::Unavailable, Origin::Local));
    assert!(error.message().contains(&nobody.to_string()), "{error}");
    for url in ["", "127.0.0.1:1", "http://127.0.0.1", "ftp://127.0.0.1:1", "http://a:1/b", "https://a:1", "http://:1"]
    {
        let error = Client::connect(url).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{url}");
        assert!(error.message().contains(&format!("`{url}`")), "{error}");
    }
}

#[tokio::test]
async fn many_calls_share_a_connection_and_late_ones_are_cancelled() {
    let mut server = Running::start().await;
    let address = format!("grpc://{}", server.address);
    let client = DemoClient::new(Client::connect(&address).await.unwrap());
    let calls = join_all((0..500).map(|number| client.add(number, 1)));
    assert_eq!(within(calls).await, (1..=500).map(Ok).collect::<Vec<_>>());

    let hasty = Client::connect(&address).await.unwrap().timeout(Duration::from_millis(100));
    let error = within(DemoClient::new(hasty).wait()).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
    assert!(error.message().contains("wait") && error.message().contains("100"), "{error}");
    assert_eq!((server.event().await, server.event().await), ("waiting", "ended"));
}

#[tokio::test]
async fn a_dropped_call_is_cancelled() {
    let mut server = Running::start().await;
    let client = server.client().await;
    let call = tokio::spawn(async move { client.wait().await });
    assert_eq!(server.event().await, "waiting");
    call.abort();
    assert_eq!(server.event().await, "ended");
}

#[tokio::test]
async fn the_client_reconnects() {
    let server = Running::start().await;
    let client = server.client().await;
    assert_eq!(client.add(1, 2).await, Ok(3));
    server.stop.cancel();
    within(server.serving).await.unwrap().unwrap();
    assert_eq!(within(client.add(1, 2)).await.unwrap_err().code(), Code::Unavailable);
    let server = Running::at(&server.address.to_string(), Limits::default()).await;
    let again = async {
        while client.add(1, 2).await != Ok(3) {
            tokio::task::yield_now().await;
        }
    };
    within(again).await;
    drop(server);
}

#[tokio::test]
async fn a_shutdown_finishes_calls_in_flight_and_rejects_others() {
    let mut server = Running::start().await;
    let client = Arc::new(server.client().await);
    let in_flight = tokio::spawn({
        let client = Arc::clone(&client);
        async move { client.wait().await }
    });
    assert_eq!(server.event().await, "waiting");
    let channel = Endpoint::from_shared(format!("http://{}", server.address)).unwrap().connect().await.unwrap();
    let request = HealthCheckRequest { service: "test.v1.Demo".into() };
    let mut watch = HealthClient::new(channel).watch(request).await.unwrap().into_inner();
    assert_eq!(within(watch.message()).await.unwrap().unwrap().status, 1, "SERVING");

    server.stop.cancel();
    assert_eq!(within(watch.message()).await.unwrap().unwrap().status, 2, "NOT_SERVING");
    assert_eq!(within(watch.message()).await.unwrap_err().code(), tonic::Code::Unavailable, "the stream ends");
    let refused = within(client.add(1, 2)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    server.go.notify_one();
    assert_eq!(within(in_flight).await.unwrap(), Ok(1));
    within(server.serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn dropping_the_server_ends_its_calls() {
    let mut server = Running::start().await;
    let client = server.client().await;
    let call = tokio::spawn(async move { client.wait().await });
    assert_eq!(server.event().await, "waiting");
    server.serving.abort();
    assert_eq!(server.event().await, "ended");
    let error = within(call).await.unwrap().unwrap_err();
    assert_eq!((error.code(), error.origin()), (Code::Unavailable, Origin::Local), "{error}");
}
