//! The messages of a client: the request of a call, and the reply or the error in its response.

use std::{borrow::Cow, fmt::Display};

use everywire_core::{Code, Limits, Result, RpcError, wire::decode_again};
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    envelope::without_mark,
    fault::reported,
    write::{check, write},
};

/// Bytes that a request takes besides its method's name and its arguments, at most.
const ENVELOPE_BYTES: usize = 80;

/// The request that calls the method `name`. Its arguments travel by name. Longer than 8 MiB it is `RESOURCE_EXHAUSTED`.
pub fn request<A: Serialize>(name: &str, args: &A, id: u64) -> Result<Vec<u8>> {
    #[derive(Serialize)]
    struct Call<'a, A> {
        jsonrpc: &'static str,
        id: u64,
        method: &'a str,
        params: &'a A,
    }
    let call = Call { jsonrpc: "2.0", id, method: name, params: args };
    let mut request = Vec::new();
    let has_null = write(&mut request, &call).map_err(|error| unwritable(name, &error))?;
    check(has_null, args).map_err(|error| unwritable(name, &error))?;
    check_length(name, request.len())?;
    Ok(request)
}

/// The arguments in a [`request`], for a library that writes what stands around them.
pub fn params<A: Serialize>(name: &str, args: &A) -> Result<Box<RawValue>> {
    let params = to_raw_value(args).map_err(|error| unwritable(name, &error))?;
    check(params.get().contains("null"), args).map_err(|error| unwritable(name, &error))?;
    Ok(params)
}

/// The parameters of the notification [`CANCEL`](crate::CANCEL) that cancels the call with this `id`.
pub fn cancellation(id: u64) -> Box<RawValue> {
    RawValue::from_string(format!(r#"{{"id":{id}}}"#)).expect("an object with a number is JSON")
}

/// Rejects a call of the method `name` whose arguments and other members have so many `bytes`, if its [`request`] would be too long.
pub fn check_request(name: &str, bytes: usize) -> Result<()> {
    check_length(name, bytes + name.len() + ENVELOPE_BYTES)
}

fn unwritable(method: &str, error: &impl Display) -> RpcError {
    RpcError::invalid_argument(format!("the arguments of {method} can't be written as JSON: {error}"))
}

/// Rejects a request that is longer than a server accepts by default. A server closes a WebSocket for more, which fails every
/// call on it.
fn check_length(method: &str, bytes: usize) -> Result<()> {
    let limit = Limits::default().message_bytes;
    if bytes > limit {
        let text = format!("the arguments of {method} are too long: a request may have {limit} bytes");
        return Err(RpcError::resource_exhausted(text));
    }
    Ok(())
}

/// The reply, or the error, in a response. A reply has to be the one to the request with this `id`, if there is one; without,
/// the carrier says to which request the response belongs.
pub fn reply<R: DeserializeOwned>(body: &[u8], id: Option<u64>) -> Result<R> {
    result_of(result(body, id)?)
}

fn result(body: &[u8], id: Option<u64>) -> Result<&RawValue> {
    let response: Response<'_> = serde_json::from_slice(without_mark(body)).map_err(unreadable)?;
    let is_other = id.is_some_and(|id| response.id() != Some(id));
    match (response.result, response.error) {
        (Some(_), None) if is_other => Err(unreadable("it responds to another request")),
        (Some(result), None) => Ok(result),
        (None, Some(error)) => Err(reported(error.code, &error.message, error.data)),
        _ => Err(unreadable("it has no result and no error, or both")),
    }
}

/// Items in a response, and why there are no more, if one of them can't be read.
#[derive(Debug)]
pub struct Received<R> {
    /// Those that could be read.
    pub items: Vec<R>,
    /// Why the one behind them could not.
    pub unreadable: Option<RpcError>,
}

/// The items in a response whose result is an array of them; or its error.
pub fn items<R: DeserializeOwned>(body: &[u8]) -> Result<Received<R>> {
    let items = result(body, None)?;
    if let Ok(items) = serde_json::from_str(items.get()) {
        return Ok(Received { items, unreadable: None });
    }
    // Those before the one that can't be read are not lost.
    let mut received = Received { items: Vec::new(), unreadable: None };
    for item in serde_json::from_str::<Vec<&RawValue>>(items.get()).map_err(unreadable)? {
        match result_of(item) {
            Ok(item) => received.items.push(item),
            Err(error) => {
                received.unreadable = Some(error);
                break;
            }
        }
    }
    Ok(received)
}

/// Reads the `result` of a response. Like arguments, it may have whole floats in place of integers.
pub fn result_of<R: DeserializeOwned>(result: &RawValue) -> Result<R> {
    let text = result.get();
    let again = || decode_again(&mut serde_json::Deserializer::from_str(text)).ok();
    serde_json::from_str(text).or_else(|error| again().ok_or_else(|| unreadable(error)))
}

/// The error of a client that can't read a response for this `reason`.
pub fn unreadable(reason: impl Display) -> RpcError {
    RpcError::new(Code::Internal, format!("the response can't be read: {reason}"))
}

/// A response.
#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<ErrorObject<'a>>,
}

impl Response<'_> {
    /// The id, if it is one that [`request`] writes.
    fn id(&self) -> Option<u64> {
        self.id?.get().parse().ok()
    }
}

#[derive(Deserialize)]
struct ErrorObject<'a> {
    code: i32,
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

/// A value that is present, even if it is `null`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use everywire_core::Origin;

    use super::*;

    #[test]
    fn items_before_one_that_can_not_be_read_are_not_lost() {
        #[rustfmt::skip]
        let cases = [
            ("[]", vec![], false),
            ("[1,2]", vec![1, 2], false),
            ("[1,2.0]", vec![1, 2], false),
            (r#"[1,"x",3]"#, vec![1], true),
        ];
        for (result, expected, is_unreadable) in cases {
            let body = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#);
            let Received { items, unreadable } = super::items::<i64>(body.as_bytes()).unwrap();
            assert_eq!((items, unreadable.is_some()), (expected, is_unreadable), "{result}");
        }
        #[rustfmt::skip]
        let cases = [
            (r#"{"id":1,"result":7}"#, Origin::Local),
            (r#"{"id":1}"#, Origin::Local),
            (r#"{"id":1,"error":{"code":10,"message":""}}"#, Origin::Remote),
        ];
        for (body, origin) in cases {
            assert_eq!(super::items::<i64>(body.as_bytes()).expect_err(body).origin(), origin, "{body}");
        }
    }

    #[test]
    fn replies() {
        assert_eq!(reply(br#"{"jsonrpc":"2.0","id":1,"result":7}"#, Some(1)), Ok(7));
        assert_eq!(reply(br#"{"jsonrpc":"2.0","id":1,"result":7.0}"#, Some(1)), Ok(7));
        assert_eq!(
            reply(b"\xEF\xBB\xBF{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":7}", Some(1)),
            Ok(7),
            "a byte order mark"
        );
        assert_eq!(reply(br#"{"jsonrpc":"2.0","id":1,"result":null,"error":null}"#, Some(1)), Ok(()));
        assert_eq!(reply(br#"{"jsonrpc":"2.0","id":2,"result":7}"#, None), Ok(7), "the carrier knows the request");
        #[rustfmt::skip]
        let cases = [
            (r#"{"id":1,"result":"x"}"#, Code::Internal, Origin::Local),
            (r#"{"id":2,"result":7}"#, Code::Internal, Origin::Local),
            (r#"{"id":"1","result":7}"#, Code::Internal, Origin::Local),
            (r#"{"result":7}"#, Code::Internal, Origin::Local),
            ("{}", Code::Internal, Origin::Local),
            ("no JSON", Code::Internal, Origin::Local),
            (r#"{"id":1,"result":7,"error":{"code":5,"message":""}}"#, Code::Internal, Origin::Local),
            (r#"{"id":null,"error":{"code":-32601,"message":""}}"#, Code::Unimplemented, Origin::Remote),
        ];
        for (body, code, origin) in cases {
            let error = reply::<i64>(body.as_bytes(), Some(1)).expect_err(body);
            assert_eq!((error.code(), error.origin()), (code, origin), "{body}: {error}");
        }
    }
}
