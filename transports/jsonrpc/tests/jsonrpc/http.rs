//! Requests written by hand.

use std::{
    io::{Read, Write},
    time::Duration,
};

use everywire_core::Limits;
use everywire_jsonrpc::Server;
use everywire_net::{Tcp, WebOrigins};
use flate2::{
    Compression,
    read::GzDecoder,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::probe::{Peer, Running, exchange, post, post_bytes, request, within};

const JSON: &str = "Content-Type: application/json\r\n";

#[tokio::test]
async fn requests_and_responses_in_bytes() {
    let server = Running::start(Limits::default()).await;
    #[rustfmt::skip]
    let cases = [
        ("by position", r#"{"jsonrpc":"2.0","id":1,"method":"add","params":[3, 4]}"#,
            200, r#"{"jsonrpc":"2.0","id":1,"result":7}"#),
        ("by name, in any order", r#"{"method":"add","params":{"b":4,"a":3},"id":"x","jsonrpc":"2.0"}"#,
            200, r#"{"jsonrpc":"2.0","id":"x","result":7}"#),
        ("id null", r#"{"jsonrpc":"2.0","id":null,"method":"add","params":[-3,4]}"#,
            200, r#"{"jsonrpc":"2.0","id":null,"result":1}"#),
        ("largest id", r#"{"jsonrpc":"2.0","id":18446744073709551615,"method":"add","params":[0,0]}"#,
            200, r#"{"jsonrpc":"2.0","id":18446744073709551615,"result":0}"#),
        ("no params", r#"{"jsonrpc":"2.0","id":1,"method":"ended"}"#,
            200, r#"{"jsonrpc":"2.0","id":1,"result":0}"#),
        ("empty list", r#"{"jsonrpc":"2.0","id":1,"method":"ended","params":[]}"#,
            200, r#"{"jsonrpc":"2.0","id":1,"result":0}"#),
        ("empty object", r#"{"jsonrpc":"2.0","id":1,"method":"ended","params":{}}"#,
            200, r#"{"jsonrpc":"2.0","id":1,"result":0}"#),
        ("trailing option left out", r#"{"jsonrpc":"2.0","id":1,"method":"options","params":[null,2]}"#,
            200, r#"{"jsonrpc":"2.0","id":1,"result":"None 2 None"}"#),
        ("options by name left out", r#"{"jsonrpc":"2.0","id":1,"method":"options","params":{"second":2}}"#,
            200, r#"{"jsonrpc":"2.0","id":1,"result":"None 2 None"}"#),
        ("exact extremes", r#"{"jsonrpc":"2.0","id":1,"method":"add","params":[-9223372036854775808,0]}"#,
            200, r#"{"jsonrpc":"2.0","id":1,"result":-9223372036854775808}"#),
        ("an error with data", r#"{"jsonrpc":"2.0","id":1,"method":"fail","params":[5,"no \"lock\""]}"#,
            200, r#"{"jsonrpc":"2.0","id":1,"error":{"code":5,"message":"no \"lock\"","data":{"code":"NOT_FOUND","details":{"number":5}}}}"#),
        ("an error without data", r#"{"jsonrpc":"2.0","id":1,"method":"add","params":[9223372036854775807,1]}"#,
            200, r#"{"jsonrpc":"2.0","id":1,"error":{"code":11,"message":"the sum is beyond 64 bits","data":{"code":"OUT_OF_RANGE"}}}"#),
        ("a notification", r#"{"jsonrpc":"2.0","method":"add","params":[1,2]}"#, 200, ""),
        ("a failing notification", r#"{"jsonrpc":"2.0","method":"nope"}"#, 200, ""),
        ("a batch", r#"[{"jsonrpc":"2.0","id":1,"method":"add","params":[1,2]},{"jsonrpc":"2.0","method":"ended"},{"id":2},{"jsonrpc":"2.0","id":3,"method":"ended"}]"#,
            200, r#"[{"jsonrpc":"2.0","id":1,"result":3},{"jsonrpc":"2.0","id":2,"error":{"code":-32600,"message":"Invalid Request","data":"`jsonrpc` is not \"2.0\""}},{"jsonrpc":"2.0","id":3,"result":0}]"#),
        ("a batch of notifications", r#"[{"jsonrpc":"2.0","method":"ended"}]"#, 200, ""),
        ("an empty batch", "[]", 200, r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid Request","data":"a batch without requests"}}"#),
        ("not JSON", r#"{"jsonrpc":"#,
            200, r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error","data":"EOF while parsing a value at line 1 column 11"}}"#),
        ("not even a brace", "hello",
            200, r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error","data":"expected value at line 1 column 1"}}"#),
        ("not a request", r#"{"id":1,"method":"add"}"#,
            200, r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"Invalid Request","data":"`jsonrpc` is not \"2.0\""}}"#),
    ];
    for (case, body, status, expected) in cases {
        assert_eq!(post(server.address, JSON, body).await, (status, expected.to_owned()), "{case}");
    }
}

#[tokio::test]
async fn every_answer_is_json_without_a_charset() {
    let server = Running::start(Limits { message_bytes: 100, ..Limits::default() }).await;
    #[rustfmt::skip]
    let cases = [
        (r#"{"jsonrpc":"2.0","id":1,"method":"ended"}"#, 200),
        (r#"{"jsonrpc":"2.0","id":1,"method":"nope"}"#, 200),
        (r#"{"jsonrpc":"2.0","method":"ended"}"#, 200),
        (r#"[{"jsonrpc":"2.0","method":"ended"}]"#, 200),
        ("", 200),
        (&"x".repeat(101), 413),
    ];
    for (body, status) in cases {
        let response = post_bytes(server.address, JSON, body.as_bytes()).await;
        assert_eq!(response.status, status, "{body}: {response:?}");
        assert!(response.head.contains("\r\ncontent-type: application/json\r\n"), "{body}: {response:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_order_mark_is_skipped() {
    let server = Running::start(Limits::default()).await;
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"ended"}"#;
    let result = r#"{"jsonrpc":"2.0","id":1,"result":0}"#;
    let mut peer = Peer::connect(server.address).await;
    for (message, expected) in
        [(format!("\u{feff}{call}"), result.to_owned()), (format!("\u{feff}\r\n [{call}]"), format!("[{result}]"))]
    {
        assert_eq!(post(server.address, JSON, &message).await, (200, expected.clone()));
        peer.send(&message).await;
        assert_eq!(peer.receive().await.as_ref(), Some(&expected), "a text");
        peer.send_frame(0x82, message.as_bytes()).await;
        assert_eq!(peer.receive().await, Some(expected), "a binary message");
    }
    for bytes in [utf16(call, u16::to_le_bytes), utf16(&format!("\u{feff}{call}"), u16::to_be_bytes)] {
        let response = post_bytes(server.address, JSON, &bytes).await;
        assert!(response.body.contains(r#""data":"the message is UTF-16 or UTF-32; expected UTF-8""#), "{response:?}");
    }
}

fn utf16(text: &str, bytes: impl Fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn zlib(text: &str) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn bare(text: &str) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn bodies_may_be_compressed_within_the_limit() {
    let server = Running::start(Limits { decompressed_bytes: 1_000, ..Limits::default() }).await;
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"add","params":[3,4]}"#;
    let sum = r#"{"jsonrpc":"2.0","id":1,"result":7}"#;
    let long = call.to_owned() + &" ".repeat(1_000);
    let unknown = r#""message":"expected one content coding of gzip, deflate","data":{"code":"UNIMPLEMENTED"}"#;
    #[rustfmt::skip]
    let cases = [
        ("gzip", gzip(call), 200, sum),
        ("X-Gzip", gzip(call), 200, sum),
        ("identity", call.into(), 200, sum),
        ("deflate", zlib(call), 200, sum),
        ("deflate", bare(call), 200, sum),
        ("gzip", gzip(&format!("\u{feff}{call}")), 200, sum),
        ("gzip", gzip(r#"{"jsonrpc":"2.0","method":"ended"}"#), 200, ""),
        ("gzip", call.into(), 400, r#""data":{"code":"INVALID_ARGUMENT"}"#),
        ("gzip", gzip(call)[..30].into(), 400, r#""data":{"code":"INVALID_ARGUMENT"}"#),
        ("gzip", gzip(&long), 413, "the limit decompressed_bytes is 1000"),
        ("br", call.into(), 415, unknown),
        ("gzip, gzip", gzip(call), 415, unknown),
        ("zstd", call.into(), 415, unknown),
    ];
    for (coding, body, status, expected) in cases {
        let response = post_bytes(server.address, &format!("{JSON}Content-Encoding: {coding}\r\n"), &body).await;
        assert_eq!(response.status, status, "{coding}: {response:?}");
        assert!(response.body.contains(expected), "{coding}: {response:?}");
        assert!(response.head.contains("\r\ncontent-type: application/json\r\n"), "{coding}: {response:?}");
        let names_codings = response.head.contains("\r\naccept-encoding: gzip, deflate\r\n");
        assert_eq!(names_codings, status == 415, "{coding}: {response:?}");
    }
}

#[tokio::test]
async fn long_answers_are_compressed_if_that_is_accepted() {
    let server = Running::start(Limits::default()).await;
    let cases = [
        (200, "Accept-Encoding: deflate, gzip\r\n", true),
        (200, "Accept-Encoding: gzip;q=0\r\n", false),
        (200, "", false),
        (20, "Accept-Encoding: gzip\r\n", false),
    ];
    for (times, headers, expected) in cases {
        let call = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"repeat","params":["0123456789",{times}]}}"#);
        let response = post_bytes(server.address, headers, call.as_bytes()).await;
        assert_eq!(response.head.contains("\r\ncontent-encoding: gzip\r\n"), expected, "{headers}: {}", response.head);
        let mut plain = response.body;
        if expected {
            plain.clear();
            GzDecoder::new(&response.bytes[..]).read_to_string(&mut plain).unwrap();
        }
        assert_eq!(plain, format!(r#"{{"jsonrpc":"2.0","id":1,"result":"{}"}}"#, "0123456789".repeat(times)));
    }
}

#[tokio::test]
async fn errors_say_what_is_wrong() {
    let server = Running::start(Limits::default()).await;
    #[rustfmt::skip]
    let cases = [
        (r#""nope""#, "[]", -32601, "UNIMPLEMENTED", "no method `nope` in test.v1.Probe; it has add, options, "),
        (r#""add""#, "[1]", -32602, "INVALID_ARGUMENT", "argument `b` is missing"),
        (r#""add""#, "[1,2,3]", -32602, "INVALID_ARGUMENT", "more than 2 arguments"),
        (r#""add""#, r#"[1,"2"]"#, -32602, "INVALID_ARGUMENT", "argument `b`: invalid type: string \"2\", expected i64"),
        (r#""add""#, "[1,9223372036854775808]", -32602, "INVALID_ARGUMENT", "argument `b`: invalid value: "),
        (r#""add""#, r#"{"a":1,"c":2}"#, -32602, "INVALID_ARGUMENT", "unknown field `c`, expected `a` or `b`"),
        (r#""add""#, r#"{"a":1}"#, -32602, "INVALID_ARGUMENT", "missing field `b`"),
        (r#""add""#, "7", -32602, "INVALID_ARGUMENT", "invalid type: integer `7`, expected arguments"),
        (r#""ended""#, "[1]", -32602, "INVALID_ARGUMENT", "more than 0 arguments"),
        (r#""panic""#, "[]", -32603, "INTERNAL", "internal error"),
    ];
    for (method, params, code, name, message) in cases {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":{method},"params":{params}}}"#);
        let (status, body) = post(server.address, JSON, &body).await;
        let error = &serde_json::from_str::<Value>(&body).unwrap()["error"];
        assert_eq!((status, &error["code"], &error["data"]["code"]), (200, &json!(code), &json!(name)), "{body}");
        assert!(error["message"].as_str().unwrap().starts_with(message), "{body}");
    }
}

#[tokio::test]
async fn content_types_are_forgiven_and_foreign_pages_are_not() {
    let server = Running::start(Limits::default()).await;
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"ended"}"#;
    #[rustfmt::skip]
    let cases = [
        ("", 200),
        ("Content-Type: application/x-www-form-urlencoded\r\n", 200),
        ("Content-Type: application/json; charset=utf-8\r\nOrigin: http://page\r\n", 403),
        ("Content-Type: text/plain\r\nOrigin: http://page\r\n", 403),
        ("Content-Type: application/json\r\nOrigin: http://h\r\n", 403),
        ("Origin: null\r\n", 403),
    ];
    for (headers, status) in cases {
        assert_eq!(post(server.address, headers, body).await.0, status, "{headers:?}");
    }
    assert_eq!(request(server.address, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.0, 405);
}

#[tokio::test]
async fn handshakes_that_are_refused() {
    let server = Running::start(Limits::default()).await;
    let key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let cases = [
        ("no key", String::new(), 400),
        ("half a key", key.replace("==", ""), 400),
        ("another version", key.replace("13", "8"), 426),
        ("a page of another origin", format!("{key}Origin: http://page\r\n"), 403),
        ("a page without an origin", format!("{key}Origin: null\r\n"), 403),
    ];
    for (case, headers, status) in cases {
        let handshake =
            format!("GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n{headers}\r\n");
        assert_eq!(request(server.address, &handshake).await.0, status, "{case}");
    }
}

#[tokio::test]
async fn http_1_0_has_no_upgrades() {
    let server = Running::start(Limits::default()).await;
    let handshake = "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    assert_eq!(exchange(server.address, handshake.as_bytes()).await.status, 405);
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"ended"}"#;
    let post = format!("POST / HTTP/1.0\r\nUpgrade: websocket\r\nContent-Length: {}\r\n\r\n{call}", call.len());
    assert_eq!(exchange(server.address, post.as_bytes()).await.body, r#"{"jsonrpc":"2.0","id":1,"result":0}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subprotocol_is_chosen_where_it_is_known() {
    let server = Running::start(Limits::default()).await;
    let cases = [
        ("", None),
        ("Sec-WebSocket-Protocol: jsonrpc\r\n", Some("jsonrpc")),
        ("Sec-WebSocket-Protocol: graphql-ws, jsonrpc-2.0,jsonrpc\r\n", Some("jsonrpc-2.0")),
        ("Sec-WebSocket-Protocol: v2\r\nSec-WebSocket-Protocol: jsonrpc2.0\r\n", Some("jsonrpc2.0")),
        ("Sec-WebSocket-Protocol: graphql-ws, soap\r\n", None),
        ("Sec-WebSocket-Protocol: jsonrpc3\r\n", None),
        ("Sec-WebSocket-Extensions: permessage-deflate\r\n", None),
    ];
    for (headers, expected) in cases {
        let (mut peer, head) = Peer::connect_with(server.address, &format!("Host: h\r\n{headers}")).await;
        let chosen = head.split("sec-websocket-protocol: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        assert_eq!(chosen, expected, "{headers}: {head}");
        assert!(!head.contains("sec-websocket-extensions"), "{head}");
        peer.send(r#"{"jsonrpc":"2.0","id":1,"method":"ended"}"#).await;
        assert_eq!(peer.receive().await.as_deref(), Some(r#"{"jsonrpc":"2.0","id":1,"result":0}"#));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_are_allowed_may_call() {
    let origins = WebOrigins::default().allow_origin("https://app.example").unwrap();
    let server = Server::new().origins(origins.allow_host("rpc.example").unwrap());
    let server = Running::serve(Tcp::bind("127.0.0.1:0").await.unwrap(), server, Limits::default());
    for headers in
        ["Host: h\r\nOrigin: https://app.example\r\n", "Host: rpc.example:4244\r\nOrigin: http://rpc.example:4244\r\n"]
    {
        Peer::connect_with(server.address, headers).await;
    }
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"ended"}"#;
    let response = post_bytes(server.address, "Origin: https://app.example\r\n", call.as_bytes()).await;
    assert!(response.head.contains("\r\naccess-control-allow-origin: https://app.example\r\n"), "{response:?}");
    assert_eq!(response.body, r#"{"jsonrpc":"2.0","id":1,"result":0}"#);
    assert_eq!(post(server.address, "Origin: https://evil.example\r\n", call).await.0, 403);
}

#[tokio::test]
async fn notifications_run() {
    let server = Running::start(Limits::default()).await;
    server.state.go_on.add_permits(2);
    let wait = r#"{"jsonrpc":"2.0","method":"wait"}"#;
    assert_eq!(post(server.address, JSON, wait).await, (200, String::new()));
    let batch = format!(r#"[{wait},{{"jsonrpc":"2.0","id":1,"method":"ended"}}]"#);
    assert_eq!(post(server.address, JSON, &batch).await.1, r#"[{"jsonrpc":"2.0","id":1,"result":2}]"#);
}

#[tokio::test]
async fn limits_are_kept_and_named() {
    let limits = Limits { message_bytes: 1_000, batch_calls: 2, ..Limits::default() };
    let server = Running::start(limits).await;
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"ended"}"#;
    let repeat =
        |times: u32| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"repeat","params":["0123456789",{times}]}}"#);
    #[rustfmt::skip]
    let cases = [
        ("batch", format!("[{call},{call},{call}]"), 200, "the batch has too many calls; the limit batch_calls is 2"),
        ("request", repeat(1) + &" ".repeat(1_000), 413, "the body is too long; the limit message_bytes is 1000"),
        ("reply", repeat(100), 200, "the reply is too long; the limit message_bytes is 1000"),
        ("depth", format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ended","params":[{}{}]}}"#, "[".repeat(65), "]".repeat(65)),
            200, "the arguments nest too deep; the limit depth is 64"),
    ];
    for (case, body, status, message) in cases {
        let (actual, response) = post(server.address, JSON, &body).await;
        let error = &serde_json::from_str::<Value>(&response).unwrap()["error"];
        assert_eq!((actual, &error["code"], &error["message"]), (status, &json!(8), &json!(message)), "{case}");
        assert_eq!(error["data"]["code"], "RESOURCE_EXHAUSTED", "{case}");
    }
    assert_eq!(server.budget.to_string().rsplit_once("met:").unwrap().1, " message_bytes 2 depth 1 batch_calls 1");
    assert_eq!(post(server.address, JSON, &format!("[{call},{call}]")).await.0, 200, "the limit itself is allowed");
}

#[tokio::test]
async fn slow_requests_are_cut_off() {
    let limits = Limits {
        handshake_time: Duration::from_millis(50),
        message_time: Duration::from_millis(50),
        ..Limits::default()
    };
    let server = Running::start(limits).await;
    let cases = [
        ("nothing", "", ""),
        ("half a head", "POST / HTTP/1.1\r\nHost:", ""),
        ("half a body", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 50\r\n\r\n{\"jsonrpc\"", "HTTP/1.1 408 "),
    ];
    for (case, bytes, answer) in cases {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        within(case, stream.read_to_end(&mut rest)).await.unwrap();
        let rest = String::from_utf8_lossy(&rest);
        assert!(rest.starts_with(answer) && rest.is_empty() == answer.is_empty(), "{case}: {rest}");
    }
}

#[tokio::test]
async fn a_connection_beyond_the_limit_is_closed() {
    let server = Running::start(Limits { connections: 1, ..Limits::default() }).await;
    let mut first = TcpStream::connect(server.address).await.unwrap();
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"ended"}"#;
    let bytes = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{call}", call.len());
    for _ in 0..3 {
        first.write_all(bytes.as_bytes()).await.unwrap();
        let mut response = vec![0; 1_024];
        let length = within("the response", first.read(&mut response)).await.unwrap();
        assert!(response[..length].ends_with(br#""result":0}"#), "kept alive");
    }
    let mut second = TcpStream::connect(server.address).await.unwrap();
    assert!(matches!(within("the close", second.read(&mut [0])).await, Ok(0) | Err(_)));
}

#[tokio::test]
async fn more_than_a_hundred_connections_are_served() {
    let server = Running::start(Limits::default()).await;
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"wait"}"#;
    let calls: Vec<_> = (0..150).map(|_| tokio::spawn(post(server.address, JSON, call))).collect();
    server.state.begun(150).await;
    server.state.go_on.add_permits(150);
    for call in calls {
        assert_eq!(call.await.unwrap().0, 200);
    }
}

#[tokio::test]
async fn a_stop_finishes_what_is_in_flight() {
    let server = Running::start(Limits::default()).await;
    let call = tokio::spawn(post(server.address, JSON, r#"{"jsonrpc":"2.0","id":1,"method":"wait"}"#));
    server.state.begun(1).await;
    let _idle = TcpStream::connect(server.address).await.unwrap();
    server.begin_stop();
    server.state.go_on.add_permits(1);
    assert_eq!(call.await.unwrap().1, r#"{"jsonrpc":"2.0","id":1,"result":1}"#);
    server.stop().await;
}

#[tokio::test]
async fn a_stop_refuses_a_body_that_is_not_whole() {
    let server = Running::start(Limits::default()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"wait"}"#;
    let head = format!("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n", call.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    within("the wish for a body", stream.read_exact(&mut go_on)).await.unwrap();
    stream.write_all(&call.as_bytes()[..10]).await.unwrap();
    server.begin_stop();
    let mut answer = String::new();
    let reading = async {
        while !answer.ends_with("}}}") {
            answer.push(char::from(stream.read_u8().await.unwrap()));
        }
    };
    within("the answer", reading).await;
    let _ = stream.write_all(&call.as_bytes()[10..]).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(
        answer.contains(r#"{"code":14,"message":"the server is shutting down","data":{"code":"UNAVAILABLE"}}"#),
        "{answer}"
    );
    drop(stream);
    let state = std::sync::Arc::clone(&server.state);
    server.stop().await;
    assert_eq!(*state.begun.borrow(), 0, "it does not run");
}
