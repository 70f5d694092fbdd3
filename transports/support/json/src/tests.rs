//! Messages and their answers.

use std::sync::Arc;

use everywire_core::{Budget, Limit, Limits, Result, RpcError, wire::FREE_BYTES};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

#[everywire_core::service(package = "test.v1")]
trait Probe {
    async fn add(&self, a: i64, b: i64) -> Result<i64>;
    async fn echo(&self, value: Value) -> Result<Value>;
    async fn repeat(&self, text: String, times: u32) -> Result<String>;
    async fn trap(&self) -> Result<Trap>;
}

struct Methods;

impl Probe for Methods {
    async fn add(&self, a: i64, b: i64) -> Result<i64> {
        a.checked_add(b).ok_or_else(|| RpcError::out_of_range("the sum is beyond 64 bits"))
    }

    async fn echo(&self, value: Value) -> Result<Value> {
        Ok(value)
    }

    async fn repeat(&self, text: String, times: u32) -> Result<String> {
        Ok(text.repeat(times as usize))
    }

    async fn trap(&self) -> Result<Trap> {
        Ok(Trap { before: 1, sprung: Sprung(true) })
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Trap {
    before: i32,
    sprung: Sprung,
}

/// Panics while it is written, if it is true.
#[derive(Deserialize, JsonSchema)]
struct Sprung(bool);

impl Serialize for Sprung {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert!(!self.0, "as asked");
        serializer.serialize_newtype_struct("Sprung", &self.0)
    }
}

async fn answer(message: impl AsRef<[u8]>, budget: &Arc<Budget>) -> String {
    let answer = crate::answer(&ProbeService::new(Methods), message.as_ref(), budget).await;
    answer.map_or_else(String::new, |answer| String::from_utf8(answer.to_vec()).unwrap())
}

/// An answer with this id and the error object's beginning.
fn error(id: &str, object: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{{object}"#)
}

#[tokio::test]
async fn messages_and_answers_in_bytes() {
    let call = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"add","params":[3,4]}}"#);
    let result = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":7}}"#);
    let with = |members: &str| format!(r#"{{"jsonrpc":"2.0",{members},"method":"add"}}"#);
    let parse =
        |reason: &str| error("null", &format!(r#""code":-32700,"message":"Parse error","data":"{reason}"}}}}"#));
    let invalid = |id: &str, reason: &str| {
        error(id, &format!(r#""code":-32600,"message":"Invalid Request","data":"{reason}"}}}}"#))
    };
    let id_reason = "an id is a string, a number or null";
    let not_2 = r#"`jsonrpc` is not \"2.0\""#;
    let call_1 = call("1");
    let utf16 = "the message is UTF-16 or UTF-32; expected UTF-8";
    #[rustfmt::skip]
    let cases = [
        (call_1.clone(), result("1")),
        (format!("\n {call_1} \t"), result("1")),
        (format!("\u{feff}{call_1}"), result("1")),
        (format!("\u{feff} [{call_1}]"), format!("[{}]", result("1"))),
        ("\u{feff}".into(), parse("EOF while parsing a value at line 1 column 0")),
        (format!("\u{feff}\u{feff}{call_1}"), parse("expected value at line 1 column 1")),
        (call_1.chars().flat_map(|character| [character, '\0']).collect(), parse(utf16)),
        (format!("\0\0\0{call_1}"), parse(utf16)),
        (call("-1"), result("-1")),
        (call("1.50"), result("1.50")),
        (call("18446744073709551616"), result("18446744073709551616")),
        (call("null"), result("null")),
        (call(r#""\u0061\"""#), result(r#""\u0061\"""#)),
        (call("true"), invalid("null", id_reason)),
        (call("[1]"), invalid("null", id_reason)),
        (call("{}"), invalid("null", id_reason)),
        (r#"{"method":"\u0061dd","params":{"b":4,"a":3},"id":1,"jsonrpc":"2.\u0030","x":[{"y":null}]}"#.into(), result("1")),
        (with(r#""id":1,"params":[3.0,4e0]"#), result("1")),
        (with(r#""id":1,"params":{"b":7.0,"a":-0}"#), result("1")),
        (with(r#""params":[1]"#), String::new()),
        (r#"{"jsonrpc":"2.0","method":"nothing"}"#.into(), String::new()),
        ("{}".into(), invalid("null", not_2)),
        (r#"{"id":7}"#.into(), invalid("7", not_2)),
        (r#"{"jsonrpc":2.0,"id":7,"method":"add"}"#.into(), invalid("7", not_2)),
        (r#"{"jsonrpc":"2.0","id":7}"#.into(), invalid("7", "`method` is not a string")),
        (r#"{"jsonrpc":"2.0","id":7,"method":["add"]}"#.into(), invalid("7", "`method` is not a string")),
        (r#"{"jsonrpc":"2.0","id":7,"method":"\ud800"}"#.into(), invalid("7", "`method` is not a string")),
        (with(r#""id":1,"id":2"#), invalid("null", "duplicate field `id` at line 1 column 28")),
        (r#""add""#.into(), invalid("null", "a request is an object")),
        ("null".into(), invalid("null", "a request is an object")),
        ("7".into(), invalid("null", "a request is an object")),
        ("[]".into(), invalid("null", "a batch without requests")),
        (String::new(), parse("EOF while parsing a value at line 1 column 0")),
        ("hello".into(), parse("expected value at line 1 column 1")),
        ("null null".into(), parse("trailing characters at line 1 column 6")),
        ("{} {}".into(), parse("trailing characters at line 1 column 4")),
        (with(r#""id":1,"id":2,"#), parse("key must be a string at line 1 column 32")),
        ("[{}".into(), parse("EOF while parsing a list at line 1 column 3")),
        (format!("[{call_1}]"), format!("[{}]", result("1"))),
        (format!("[{call_1},{},{call_1}]", with(r#""params":[1,2]"#)), format!("[{0},{0}]", result("1"))),
        (format!("[{}]", with(r#""params":[1,2]"#)), String::new()),
        (format!(r#"[["2.0",1,"add",[]],1,{{"id":2}},{call_1}]"#),
            format!("[{0},{0},{1},{2}]", invalid("null", "a request is an object"), invalid("2", not_2), result("1"))),
        (r#"{"jsonrpc":"2.0","id":1,"method":"add","params":[9223372036854775807,1]}"#.into(),
            error("1", r#""code":11,"message":"the sum is beyond 64 bits","data":{"code":"OUT_OF_RANGE"}}}"#)),
    ];
    let budget = Budget::new(Limits::default());
    for (message, expected) in cases {
        assert_eq!(answer(&message, &budget).await, expected, "{message}");
    }
    let not_utf8 = answer(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}", &budget).await;
    assert!(not_utf8.starts_with(&error("null", r#""code":-32700"#)), "{not_utf8}");
    for mark in [b"\xff\xfe{\0", b"\xfe\xff\0{"] {
        assert_eq!(answer(mark, &budget).await, parse(utf16));
    }
}

#[tokio::test]
async fn arguments_nest_as_deep_as_the_limit() {
    let call = |value: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"echo","params":[{value}]}}"#);
    let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
    let budget = Budget::new(Limits { depth: 3, ..Limits::default() });
    let brackets = r#""[[[[\"{{{{\\""#;
    for value in [&nested(3), "[[{}],[],{},{}]", brackets, &format!("[[[{brackets}]]]")] {
        let expected = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{value}}}"#);
        assert_eq!(answer(call(value), &budget).await, expected);
    }
    assert_eq!(budget.met(Limit::Depth), 0);
    for value in [&nested(4), r#"[[[{"a":1}]]]"#, &nested(1_000_000)] {
        let expected = r#""code":8,"message":"the arguments nest too deep; the limit depth is 3""#;
        assert!(answer(call(value), &budget).await.starts_with(&error("1", expected)), "{value:.9}");
    }
    assert_eq!(budget.met(Limit::Depth), 3);
    let unknown = answer(call(&nested(1_000_000)).replace("echo", "nothing"), &budget).await;
    assert!(unknown.starts_with(&error("1", r#""code":-32601"#)), "what is not read may nest: {unknown}");

    let budget = Budget::new(Limits { depth: 1_000, ..Limits::default() });
    assert!(answer(call(&nested(126)), &budget).await.contains(r#""result":"#));
    assert!(answer(call(&nested(127)), &budget).await.contains(r#""code":-32602"#), "serde_json's own limit");
}

#[tokio::test]
async fn replies_are_bounded() {
    let repeat = |id: u32, times: usize| {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"repeat","params":["0123456789",{times}]}}"#)
    };
    let budget = Budget::new(Limits { message_bytes: 1_000, batch_calls: 3, ..Limits::default() });
    let too_long = r#""code":8,"message":"the reply is too long; the limit message_bytes is 1000""#;
    assert!(answer(repeat(1, 100), &budget).await.starts_with(&error("1", too_long)));
    let batch = answer(format!("[{},{},{}]", repeat(1, 60), repeat(2, 60), repeat(3, 1)), &budget).await;
    let batch = serde_json::from_str::<Value>(&batch).unwrap();
    assert_eq!(batch[0]["result"].as_str().map(str::len), Some(600), "{batch}");
    assert_eq!((&batch[1]["id"], &batch[1]["error"]["code"]), (&2.into(), &8.into()), "{batch}");
    assert_eq!(batch[2]["result"], "0123456789", "{batch}");
    assert_eq!(budget.met(Limit::MessageBytes), 2);

    let calls = vec![repeat(1, 1); 4].join(",");
    let too_many = r#""code":8,"message":"the batch has too many calls; the limit batch_calls is 3""#;
    assert!(answer(format!("[{calls}]"), &budget).await.starts_with(&error("null", too_many)));
    assert_eq!(budget.met(Limit::BatchCalls), 1);
}

#[tokio::test]
async fn long_replies_count_until_they_are_sent() {
    let times = FREE_BYTES / 5;
    let long = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"repeat","params":["0123456789",{times}]}}"#);
    let budget = Budget::new(Limits { buffered_bytes: FREE_BYTES * 3 / 2, ..Limits::default() });
    let first = crate::answer(&ProbeService::new(Methods), long.as_bytes(), &budget).await.unwrap();
    assert!(budget.bytes() > FREE_BYTES * 9 / 10, "{budget}");
    let full = r#""code":8,"message":"the buffers of all connections are full; the limit buffered_bytes is "#;
    assert!(answer(&long, &budget).await.starts_with(&error("1", full)));
    drop(bytes::Bytes::from(first).slice(1..));
    assert_eq!(budget.bytes(), 0);
}

#[tokio::test]
async fn a_reply_that_panics_is_an_internal_error() {
    let budget = Budget::new(Limits::default());
    let trap = r#"{"jsonrpc":"2.0","id":1,"method":"trap"}"#;
    let internal = error("1", r#""code":-32603,"message":"internal error"#);
    assert!(answer(trap, &budget).await.starts_with(&internal));
    let add = r#"{"jsonrpc":"2.0","id":2,"method":"add","params":[3,4]}"#;
    let batch = answer(format!("[{add},{trap},{add}]"), &budget).await;
    let result = r#"{"jsonrpc":"2.0","id":2,"result":7}"#;
    assert!(batch.starts_with(&format!("[{result},{internal}")) && batch.ends_with(&format!(",{result}]")), "{batch}");
}
