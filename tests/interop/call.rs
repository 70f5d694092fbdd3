//! `everywire call` and `everywire schema` against foreign servers.

use everywire::{Context, Result, RpcError, descriptor::Method, layer};
use everywire_testing::{needs, needs::Need};
use everywire_toolkit::ToolkitService;
use serde_json::{Value, json};

use super::{
    servers::{Running, queue},
    service::{InteropService, Mirror},
};
use crate::{
    contract::embedded,
    harness::{Wires, broker},
    program::{Ended, ended},
};

/// The text that every server repeats: more than one alphabet, and quotes.
const TEXT: &str = "größer \"锁\" <&>";

/// Runs `everywire call URL` with `words`.
async fn call(url: &str, words: &[&str]) -> Ended {
    ended(&[&["call", url], words].concat()).await
}

/// Checks the calls that end in the same way over every wire.
async fn check(url: &str) {
    #[rustfmt::skip]
    let cases: [(&[&str], Value); 5] = [
        (&["add", "3", "-4"], json!(-1)),
        (&["int", "-2147483648"], json!(i32::MIN)),
        (&["text", TEXT], json!(TEXT)),
        (&["maybe", "null"], json!(null)),
        (&["nest", r#"[{"name":"a","inner":{"number":-1,"labels":["x"]}}]"#], json!([{"name": "a", "inner": {"number": -1, "labels": ["x"]}}])),
    ];
    for (words, expected) in cases {
        let ended = call(url, words).await;
        let reply: Value = serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{url} {words:?}: {ended:?}"));
        assert_eq!((ended.code, reply), (0, expected), "{url} {words:?}: {}", ended.err);
    }
}

/// Checks an error: its exit code, and a part of its message.
async fn check_error(url: &str, words: &[&str], code: i32, message: &str) {
    let ended = call(url, words).await;
    assert_eq!((ended.code, &*ended.out), (code, ""), "{url} {words:?}: {}", ended.err);
    assert!(ended.err.starts_with("error: ") && ended.err.contains(message), "{url} {words:?}: {}", ended.err);
}

/// Checks that the server's methods are listed, each expected line among them.
async fn check_listing(url: &str, expected: &[&str]) {
    for words in [&["call", url], &["schema", url]] {
        let ended = ended(words).await;
        let has = |line: &str| ended.out.lines().any(|listed| listed == line);
        assert!(ended.code == 0 && expected.iter().all(|line| has(line)), "{words:?}: {ended:?}");
    }
}

/// A server of a service that the program does not know, on every wire.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_of_another_program() {
    let wires = Wires::serve(InteropService::new(Mirror::default())).await;
    for (scheme, address) in wires.urls() {
        let url = format!("{scheme}://{address}");
        check(&url).await;
        assert_eq!(call(&url, &["text", "7"]).await.out == "\"7\"\n", scheme != "zerorpc", "{url}: it is text");
        check_error(&url, &["fail", "gone"], 15, "NOT_FOUND: gone").await;
        check_error(&url, &["missing"], 22, "no method `missing`").await;
        if scheme != "xmlrpc" {
            assert_eq!(call(&url, &["add", "b=4", "a=3"]).await.out, "7\n", "{url}");
            check_error(&url, &["text", "txet=x"], 13, "there is no parameter `txet`; usage: ").await;
            check_error(&url, &["add", "3", "b=4"], 13, "arguments are all named or all in order; usage: ").await;
        }
        for text in [r#""a=b""#, "YQ=="] {
            let expected = format!("\"{}\"\n", text.trim_matches('"'));
            assert_eq!(call(&url, &["text", text]).await.out, expected, "{url}");
        }
    }
    let zerorpc = format!("zerorpc://{}", wires.zerorpc);
    check_error(&zerorpc, &["add", "b=4"], 13, "argument `a` is missing; usage: add(a, b)").await;
}

/// Rejects calls without a token.
async fn guard(cx: Context, method: &'static Method) -> Result<Context> {
    match cx.metadata.get("authorization") {
        Some("Bearer secret") => Ok(cx),
        _ => Err(RpcError::unauthenticated(format!("{} needs a token", method.name()))),
    }
}

/// Checks that a call succeeds with the token only, however it is given.
async fn check_token(url: &str, flags: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "Bearer secret\n").unwrap();
    let from_file = format!("authorization=@{}", file.display());
    check_error(url, &[flags, &["add", "3", "4"]].concat(), 26, "UNAUTHENTICATED: ").await;
    for (flag, token) in [
        ("-H", "authorization=Bearer secret"),
        ("--metadata", "Authorization: Bearer secret"),
        ("--metadata", &from_file),
    ] {
        let ended = call(url, &[flags, &["-H", "tenant=7", flag, token, "add", "3", "4"]].concat()).await;
        assert_eq!((ended.code, &*ended.out), (0, "7\n"), "{url} {token}: {}", ended.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_wants_a_token_is_called_with_metadata_on_every_wire() {
    let wires = Wires::serve(layer::before(guard)(InteropService::new(Mirror::default()))).await;
    for (scheme, address) in wires.urls() {
        check_token(&format!("{scheme}://{address}"), &[]).await;
    }
    if Need::RabbitMq.is_met() {
        check_token(&broker().await.url, &["--queue", &wires.queue]).await;
    }
    let url = format!("jsonrpc://{}", wires.jsonrpc);
    check_error(&url, &["-H", "Bearer secret", "add", "3", "4"], 13, "--metadata: expected NAME=VALUE or ").await;
}

/// The program has a client with the types of its own service.
#[tokio::test(flavor = "multi_thread")]
async fn the_toolkit_is_called_with_metadata_on_every_wire() {
    let wires = Wires::serve(layer::before(guard)(ToolkitService::new(embedded()))).await;
    for (scheme, address) in wires.urls() {
        check_token(&format!("{scheme}://{address}"), &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn python_xmlrpc_server() {
    needs!(Foreign);
    let server = Running::start("xmlrpc_server.py").await;
    let url = format!("xmlrpc://{}", server.address);
    check(&url).await;
    check_error(&url, &["fail", "gone"], 15, "NOT_FOUND: gone").await;
    check_error(&url, &["missing"], 12, "method \"missing\" is not supported").await;
    check_error(&url, &["a<b"], 13, "is not the name of a method of XML-RPC").await;
    // Python does not know signatures.
    check_listing(&url, &["add(…)", "    Adds two integers.", "text(…)"]).await;
    let by_name = call(&url, &["text", "a=b"]).await;
    assert_eq!(by_name.out, "\"a=b\"\n", "XML-RPC has no names: {by_name:?}");
    assert_eq!(call(&format!("http://{}", server.address), &["add", "3", "4"]).await.out, "7\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn python_jsonrpc_server_with_openrpc() {
    needs!(Foreign);
    let server = Running::start("http_server.py").await;
    let url = format!("jsonrpc://{}", server.address);
    check(&url).await;
    assert_eq!(call(&url, &["add", "b=4", "a=3"]).await.out, "7\n");
    assert_eq!(call(&url, &["text", "7"]).await.out, "\"7\"\n", "the document says that it is text");
    assert_eq!(call(&url, &["maybe", "value=7"]).await.out, "7\n", "the document does not have this method");
    check_error(&url, &["fail", "gone"], 15, "NOT_FOUND: gone").await;
    check_error(&url, &["missing"], 22, "Method not found").await;
    check_error(&url, &["add", "1"], 13, "Invalid params").await;
    let listing = call(&url, &[]).await;
    let expected = "add(a: integer, b: integer) -> integer\n    Adds two integers.\n\ntext(value?: string)\n";
    assert_eq!((listing.code, &*listing.out), (0, expected), "{listing:?}");
    let schema = ended(&["schema", &url]).await;
    let document: Value = serde_json::from_str(&schema.out).unwrap();
    assert_eq!((schema.code, &document["info"]["title"]), (0, &json!("Interop")));
}

#[tokio::test(flavor = "multi_thread")]
async fn python_websocket_server_that_does_not_describe_itself() {
    needs!(Foreign);
    let server = Running::start("websocket_server.py").await;
    let url = format!("ws://{}", server.address);
    check(&url).await;
    assert_eq!(call(&url, &["add", "b=4", "a=3"]).await.out, "7\n");
    check_error(&url, &["fail", "gone"], 15, "NOT_FOUND: gone").await;
    let message = "does not describe itself: rpc.discover failed with UNIMPLEMENTED: Method not found";
    check_error(&url, &[], 22, message).await;
    let schema = ended(&["schema", &url]).await;
    assert!(schema.code == 22 && schema.err.contains(message), "{schema:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn python_zerorpc_server() {
    needs!(Foreign);
    let server = Running::start("zerorpc_server.py").await;
    let url = format!("zerorpc://{}", server.address);
    check(&url).await;
    check_error(&url, &["fail", "gone"], 15, "NOT_FOUND: gone").await;
    check_error(&url, &["crash", "boom"], 12, "ValueError: boom").await;
    check_error(&url, &["missing"], 22, "missing").await;
    // zerorpc 0.6 can't read signatures since Python 3.11.
    check_listing(&url, &["add(…)", "    Adds two integers.", "text(…)"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_grpc_server_by_reflection() {
    needs!(Foreign);
    let server = Running::start("grpc_server.py").await;
    let url = format!("grpc://{}", server.address);
    check(&url).await;
    for name in ["Add", "interop.v1.Interop/Add", "interop.v1.Interop.Add"] {
        assert_eq!(call(&url, &[name, "b=4", "a=3"]).await.out, "7\n", "{name}");
    }
    assert_eq!(call(&url, &["add", r#"{"a": 3}"#]).await.out, "3\n", "the whole request");
    assert_eq!(call(&url, &["blob", "/wA="]).await.out, "\"/wA=\"\n", "bytes are base64");
    check_error(&url, &["fail", "gone"], 15, "NOT_FOUND: gone").await;
    check_error(&url, &["missing"], 22, "no method `missing`; there are interop.v1.Interop/Add,").await;
    check_error(&url, &["add", "x"], 13, "argument `a`: expected int64: ").await;
    check_error(&url, &["add", "1", "2", "3"], 13, "3 arguments are too many; usage: interop.v1.Interop/Add(").await;
    let listing = call(&url, &[]).await;
    assert!(listing.out.starts_with("interop.v1.Interop/Add(a: int64, b: int64) -> int64\n"), "{listing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn python_grpc_server_whose_reflection_wants_a_token() {
    needs!(Foreign);
    let server = Running::start("grpc_guarded_server.py").await;
    let url = format!("grpc://{}", server.address);
    check_token(&url, &[]).await;
    for command in ["call", "schema"] {
        let with_token = ended(&[command, "-H", "authorization=Bearer secret", &url]).await;
        assert!(with_token.code == 0 && with_token.out.contains("Add("), "{command}: {with_token:?}");
        let without = ended(&[command, &url]).await;
        assert!(without.code == 26 && without.err.contains("UNAUTHENTICATED: no token"), "{command}: {without:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn python_grpc_server_without_reflection() {
    needs!(Foreign);
    let server = Running::start("grpc_bare_server.py").await;
    let url = format!("grpc://{}", server.address);
    let message = "the server has no reflection; give its schema with --proto FILE";
    check_error(&url, &[], 22, message).await;
    check_error(&url, &["add", "3", "4"], 22, message).await;
    let proto = concat!(env!("CARGO_MANIFEST_DIR"), "/../toolkit.proto");
    check_error(&url, &["--proto", proto, "add", "3", "4"], 22, "UNIMPLEMENTED: Method not found!").await;
}

/// What the schema of a server says is enough to call it.
#[tokio::test(flavor = "multi_thread")]
async fn python_grpc_server_by_a_proto_file() {
    needs!(Foreign);
    let server = Running::start("grpc_server.py").await;
    let url = format!("grpc://{}", server.address);
    let schema = ended(&["schema", &url]).await;
    assert!(schema.code == 0 && schema.out.starts_with("syntax = \"proto3\";\n\npackage interop.v1;\n"), "{schema:?}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("server.proto");
    std::fs::write(&file, &schema.out).unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(call(&url, &["--proto", file, "add", "3", "4"]).await.out, "7\n");
    check_error(&url, &["--proto", "/no/such/file", "add", "3", "4"], 13, "--proto: /no/such/file can't be read: ")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_amqp_server_at_its_queue() {
    needs!(Foreign, RabbitMq);
    let _server = Running::start("amqp_server.py").await;
    let (url, queue) = (&broker().await.url, queue("amqp_server.py"));
    for words in [&["add", "3", "4"], &["add", "b=4", "a=3"]] {
        let ended = call(url, &[&["--queue", &queue], &words[..]].concat()).await;
        assert_eq!((ended.code, &*ended.out), (0, "7\n"), "{ended:?}");
    }
    check_error(url, &["--queue", &queue, "fail", "gone"], 15, "NOT_FOUND: gone").await;
    check_error(url, &[], 22, "AMQP has no introspection").await;
}
