//! Error objects: from an [`RpcError`] and back, and for messages that are not requests.

use std::{
    borrow::Cow,
    fmt::Display,
    io::{self, Write},
};

use everywire_core::{Code, RpcError, wire::fault_number};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

/// What is wrong with a message that is not a request.
#[derive(Debug)]
pub(crate) struct Fault {
    number: i32,
    message: &'static str,
    reason: String,
}

impl Fault {
    /// It is not JSON.
    pub(crate) fn parse(reason: &impl Display) -> Self {
        Self { number: fault_number::PARSE_ERROR, message: "Parse error", reason: reason.to_string() }
    }

    /// It is JSON, but not a request.
    pub(crate) fn invalid(reason: impl Into<String>) -> Self {
        Self { number: fault_number::INVALID_REQUEST, message: "Invalid Request", reason: reason.into() }
    }

    pub(crate) fn object(&self) -> impl Serialize {
        ErrorObject { code: self.number, message: self.message, data: &self.reason }
    }
}

#[derive(Serialize)]
struct ErrorObject<'a, D> {
    code: i32,
    message: &'a str,
    data: D,
}

/// `error.data` of everywire's servers.
#[derive(Serialize, Deserialize)]
struct ErrorData<'a> {
    #[serde(borrow)]
    code: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Cow<'a, Value>>,
}

/// The error object of `error`.
pub(crate) fn object(error: &RpcError) -> impl Serialize {
    let data = ErrorData { code: error.code().name().into(), details: error.data().map(Cow::Borrowed) };
    ErrorObject { code: error.code().fault_number(), message: error.message(), data }
}

/// The JSON text of [`object`].
pub(crate) fn object_text(error: &RpcError) -> Vec<u8> {
    serde_json::to_vec(&object(error)).expect("plain JSON can be written to memory")
}

/// The number for a call that its caller cancelled with `$/cancelRequest`. It is that of the Language Server Protocol, which
/// clients that send this notification expect.
const REQUEST_CANCELLED: i32 = -32800;

/// The error object for a call that was cancelled with `$/cancelRequest`.
pub(crate) fn request_cancelled() -> impl Serialize {
    let data = ErrorData { code: Code::Cancelled.name().into(), details: None };
    ErrorObject { code: REQUEST_CANCELLED, message: "the call was cancelled by its caller", data }
}

/// The error that a server reported with this `number`, `message` and `data`, for clients. Data of a server that is not
/// everywire's is kept whole.
pub fn reported(number: i32, message: &str, data: Option<&RawValue>) -> RpcError {
    let data = data.map_or("null", RawValue::get);
    let named = serde_json::from_str::<ErrorData<'_>>(data).ok();
    let (code, data) = match named.and_then(|data| Some((Code::from_name(&data.code)?, data.details))) {
        Some((code, details)) => (code, details.map(Cow::into_owned)),
        None => (from_number(number), serde_json::from_str(data).ok().filter(|data| *data != Value::Null)),
    };
    data.into_iter().fold(RpcError::remote(code, message), RpcError::with_data)
}

/// The code for a number without a name: those of servers on jsonrpsee and of language servers, then those of the list that
/// many wires share.
fn from_number(number: i32) -> Code {
    match number {
        // Request, response, batch and batch response that are too long.
        -32007 | -32008 | -32010 | -32011 => Code::ResourceExhausted,
        // The server is busy.
        -32009 => Code::Unavailable,
        REQUEST_CANCELLED => Code::Cancelled,
        _ => Code::from_fault_number(number).unwrap_or(Code::Unknown),
    }
}

/// The response to a request that could not be received and so has no id.
pub fn rejection(error: &RpcError) -> Vec<u8> {
    response(None, &object(error))
}

/// The response with the error `object`.
pub(crate) fn response(id: Option<&str>, object: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    put(&mut bytes, id, object);
    bytes
}

/// Appends the response with the error `object`, which is plain JSON, to `out`, which is in memory.
pub(crate) fn put(out: &mut impl Write, id: Option<&str>, object: &impl Serialize) {
    write(out, id, object).expect("plain JSON can be written to memory");
}

fn write(out: &mut impl Write, id: Option<&str>, object: &impl Serialize) -> io::Result<()> {
    out.write_all(br#"{"jsonrpc":"2.0","id":"#)?;
    out.write_all(id.unwrap_or("null").as_bytes())?;
    out.write_all(br#","error":"#)?;
    serde_json::to_writer(&mut *out, object)?;
    out.write_all(b"}")
}

#[cfg(test)]
mod tests {
    use everywire_core::Origin;
    use serde_json::{json, value::to_raw_value};

    use super::*;

    fn back(object: &Value) -> RpcError {
        let data = object.get("data").map(|data| to_raw_value(data).unwrap());
        let number = object["code"].as_i64().unwrap().try_into().unwrap();
        reported(number, object["message"].as_str().unwrap(), data.as_deref())
    }

    #[test]
    fn every_code_goes_there_and_back() {
        let numbers = [1, 2, -32602, 4, 5, 6, 7, 8, 9, 10, 11, -32601, -32603, 14, 15, 16];
        for (&code, number) in Code::ALL.iter().zip(numbers) {
            for data in [None, Some(json!({"left": 3})), Some(json!("text"))] {
                let error = RpcError::new(code, "„quoted\" <&>\n\u{1F980}");
                let error = data.clone().into_iter().fold(error, RpcError::with_data);
                let object = serde_json::to_value(object(&error)).unwrap();
                assert_eq!(object["code"], number, "{code}");

                let back = back(&object);
                assert_eq!((back.code(), back.message()), (code, error.message()), "{object}");
                assert_eq!((back.data(), back.origin()), (data.as_ref(), Origin::Remote), "{object}");
            }
        }
    }

    #[test]
    fn an_error_object_in_bytes() {
        let error = RpcError::not_found("no such lock").with_data(json!({"name": "a"}));
        assert_eq!(
            serde_json::to_string(&object(&error)).unwrap(),
            r#"{"code":5,"message":"no such lock","data":{"code":"NOT_FOUND","details":{"name":"a"}}}"#
        );
        assert_eq!(
            String::from_utf8(rejection(&RpcError::unknown(""))).unwrap(),
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":2,"message":"","data":{"code":"UNKNOWN"}}}"#
        );
    }

    #[test]
    fn errors_of_other_servers() {
        #[rustfmt::skip]
        let cases = [
            (json!({"code": -32601, "message": "Method not found"}), Code::Unimplemented, None),
            (json!({"code": -32700, "message": "Parse error"}), Code::Internal, None),
            (json!({"code": -32010, "message": "The batch request was too large", "data": "Exceeded max limit of 2"}),
                Code::ResourceExhausted, Some(json!("Exceeded max limit of 2"))),
            (json!({"code": -32800, "message": "Request Cancelled"}), Code::Cancelled, None),
            (json!({"code": 5, "message": "5 means nothing here"}), Code::Unknown, None),
            (json!({"code": -32000, "message": "m", "data": {"code": "EACCES"}}), Code::Unknown, Some(json!({"code": "EACCES"}))),
            (json!({"code": -32000, "message": "m", "data": null}), Code::Unknown, None),
        ];
        for (object, code, data) in cases {
            let error = back(&object);
            assert_eq!((error.code(), error.data()), (code, data.as_ref()), "{object}");
        }
    }
}
