//! The messages of a client: the request of a call, and what is in its response.

use std::{borrow::Cow, fmt::Display};

use everywire_core::{Code, Result, RpcError, descriptor::Method, wire::decode_again};
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::{envelope::without_mark, fault::reported};

/// The request that calls `method`. Its arguments travel by name.
pub fn request<A: Serialize>(method: &Method, args: &A, id: u64) -> Result<Vec<u8>> {
    #[derive(Serialize)]
    struct Call<'a, A> {
        jsonrpc: &'static str,
        id: u64,
        method: &'a str,
        params: &'a A,
    }
    let name = method.name();
    serde_json::to_vec(&Call { jsonrpc: "2.0", id, method: name, params: args }).map_err(|error| {
        RpcError::invalid_argument(format!("the arguments of {name} can't be written as JSON: {error}"))
    })
}

/// The reply, or the error, in a response.
pub fn reply<R: DeserializeOwned>(body: &[u8]) -> Result<R> {
    let unreadable =
        |reason: &dyn Display| RpcError::new(Code::Internal, format!("the answer can't be read: {reason}"));
    let response: Response<'_> = serde_json::from_slice(without_mark(body)).map_err(|error| unreadable(&error))?;
    match (response.result, response.error) {
        (Some(result), None) => read_value(result.get()).map_err(|error| unreadable(&error)),
        (None, Some(error)) => Err(reported(error.code, &error.message, error.data.map(RawValue::get))),
        _ => Err(unreadable(&"it has no result and no error, or both")),
    }
}

/// Reads the `result` of a response. Like arguments, it may have whole floats in place of integers.
pub fn read_value<R: DeserializeOwned>(text: &str) -> serde_json::Result<R> {
    let again = || decode_again(&mut serde_json::Deserializer::from_str(text)).ok();
    serde_json::from_str(text).or_else(|error| again().ok_or(error))
}

/// A response.
#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<ErrorObject<'a>>,
}

#[derive(Deserialize)]
struct ErrorObject<'a> {
    code: i32,
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

/// A value that is there, be it `null`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use everywire_core::Origin;

    use super::*;

    #[test]
    fn replies() {
        assert_eq!(reply(br#"{"jsonrpc":"2.0","id":1,"result":7}"#), Ok(7));
        assert_eq!(reply(br#"{"jsonrpc":"2.0","id":1,"result":7.0}"#), Ok(7));
        assert_eq!(reply(b"\xEF\xBB\xBF{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":7}"), Ok(7), "a byte order mark");
        assert_eq!(reply(br#"{"jsonrpc":"2.0","id":1,"result":null,"error":null}"#), Ok(()));
        #[rustfmt::skip]
        let cases = [
            (r#"{"result":"x"}"#, Code::Internal, Origin::Local),
            ("{}", Code::Internal, Origin::Local),
            ("no JSON", Code::Internal, Origin::Local),
            (r#"{"result":7,"error":{"code":5,"message":""}}"#, Code::Internal, Origin::Local),
            (r#"{"error":{"code":-32601,"message":""}}"#, Code::Unimplemented, Origin::Remote),
        ];
        for (body, code, origin) in cases {
            let error = reply::<i64>(body.as_bytes()).expect_err(body);
            assert_eq!((error.code(), error.origin()), (code, origin), "{body}: {error}");
        }
    }
}
