//! What holds for any bytes that a peer sends.
//!
//! The fuzz target of the same name looks for bytes that break it; the test replays those that it has found.

use std::{
    fmt::Debug,
    sync::{Arc, LazyLock},
};

use everywire_core::{Budget, Code, Limits, Origin, Result, RpcError};
use everywire_testing::{Choice, Echo, EchoClient, EchoService, Echoing, Several, Specimen, assert_same, at_once};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};

use crate::{answer, fault, loopback::Loopback, reported};

static SERVICE: LazyLock<Arc<EchoService<Echoing>>> = LazyLock::new(|| Arc::new(EchoService::new(Echoing)));

static BUDGET: LazyLock<Arc<Budget>> =
    LazyLock::new(|| Budget::new(Limits { depth: 8, batch_calls: 4, message_bytes: BYTES, ..Limits::default() }));

/// The longest reply.
const BYTES: usize = 4 << 10;
/// The longest text in an error of this crate.
const MESSAGE_BYTES: usize = 1 << 10;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Response<'a> {
    jsonrpc: &'a str,
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<ErrorObject<'a>>,
}

/// A value that is present, even if it is `null`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

#[derive(Debug, Deserialize)]
struct ErrorObject<'a> {
    code: i32,
    message: String,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// Reads `data` as a message to a server and as an error object to a client.
pub fn json(data: &[u8]) {
    message(data);
    assert_eq!(BUDGET.bytes(), 0, "what was buffered is free again");
    if let Ok(ErrorObject { code, message, data }) = serde_json::from_slice(data) {
        error(code, &message, data);
    }
}

/// The answer is a response, or a batch of them, or nothing for notifications; and what a client reads in it can be sent
/// again, with the same answer.
fn message(message: &[u8]) {
    let answer = at_once(answer(&*SERVICE, message, &BUDGET));
    let sent = serde_json::from_slice::<Value>(message);
    let Some(answer) = answer else {
        let has_id = sent.is_ok_and(|sent| sent.get("id").is_some());
        assert!(!has_id, "a call without a response");
        return;
    };
    let text = str::from_utf8(answer.as_ref()).expect("an answer is UTF-8");
    assert!(text.len() <= 8 * message.len() + BYTES + 4 * MESSAGE_BYTES, "the answer is out of proportion");
    if text.starts_with('[') {
        let all: Vec<Response<'_>> = serde_json::from_str(text).expect("a batch of responses");
        assert!((1..=4).contains(&all.len()), "{} responses", all.len());
        all.iter().for_each(response);
    } else {
        let one = serde_json::from_str(text).expect("a response");
        response(&one);
        if let (Ok(sent), Ok(id)) = (&sent, serde_json::from_str::<Value>(one.id.get())) {
            assert!(id.is_null() || sent.get("id") == Some(&id), "another id");
        }
    }
}

fn response(response: &Response<'_>) {
    assert_eq!(response.jsonrpc, "2.0");
    assert!(response.id.get().starts_with(['"', '-', 'n']) || response.id.get().as_bytes()[0].is_ascii_digit());
    let outcome = read(response);
    if let Err(error) = outcome {
        assert!(error.message().len() <= MESSAGE_BYTES, "{error}");
        let data = error.data().map(ToString::to_string).unwrap_or_default();
        assert!(data.len() <= MESSAGE_BYTES, "{data}");
        return;
    }
    let client = EchoClient::new(Loopback::new(Arc::clone(&SERVICE), Arc::clone(&BUDGET)));
    if let Ok(value) = decode::<Specimen>(response) {
        assert_same(&at_once(client.specimen(value.clone())), &Ok(value));
    }
    if let Ok(value) = decode::<Choice>(response) {
        assert_same(&at_once(client.choice(value.clone())), &Ok(value));
    }
    if let Ok((a, b, c)) = decode::<Several>(response) {
        assert_same(&at_once(client.several(a, b.clone(), c.clone())), &Ok((a, b, c)));
    }
}

/// The text of a result, or the error.
fn read<'a>(response: &Response<'a>) -> Result<&'a str> {
    match (response.result, &response.error) {
        (Some(result), None) => Ok(result.get()),
        (None, Some(error)) => Err(reported(error.code, &error.message, error.data)),
        _ => panic!("neither a result nor an error: {response:?}"),
    }
}

fn decode<R: DeserializeOwned>(response: &Response<'_>) -> Result<R> {
    serde_json::from_str(read(response)?).map_err(|error| RpcError::new(Code::Internal, error.to_string()))
}

/// A client makes an error of any error object, which is the same after everywire has sent it on.
fn error(code: i32, message: &str, data: Option<&RawValue>) {
    let error = reported(code, message, data);
    assert_eq!(error.origin(), Origin::Remote);
    let sent = serde_json::to_string(&fault::object(&error)).expect("an error object is JSON");
    let again: ErrorObject<'_> = serde_json::from_str(&sent).expect("an error object");
    assert_eq!(reported(again.code, &again.message, again.data), error);
}

#[cfg(test)]
#[test]
fn the_corpus_breaks_nothing() {
    everywire_testing::replay("json", json);
}
