//! [`RpcError`] as a gRPC status, and back.
//!
//! | everywire | gRPC |
//! |---|---|
//! | code | `grpc-status`, the same number |
//! | message | `grpc-message`, percent-encoded; cut after 2 KiB, as headers are limited |
//! | data | `grpc-status-details-bin`: a `google.rpc.Status` whose one detail is a `StringValue` of the JSON text; left out if it and the message are beyond 3 KiB |

use everywire_core::{Code, Result, RpcError};
use http::{HeaderMap, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tonic::{Status, metadata::MetadataMap};

use crate::{body::Body, codec, compression};

/// The most bytes of a message that are sent. Many peers reject headers of more than 8 KiB in total.
const MESSAGE_BYTES: usize = 2 << 10;

/// The most bytes of details that are sent.
const DETAILS_BYTES: usize = 3 << 10;

/// `google.rpc.Status`, which libraries of other languages expect in the details. Its third field is called `details` there.
#[derive(Debug, Serialize, Deserialize)]
struct Details {
    code: i32,
    message: String,
    any: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Debug, Serialize, Deserialize)]
struct Any {
    type_url: String,
    value: Vec<u8>,
}

const STRING_VALUE: &str = "type.googleapis.com/google.protobuf.StringValue";

/// The response that carries `error` in its headers.
pub(crate) fn response(error: &RpcError) -> Response<Body> {
    let mut response = status(error).into_http();
    // If the error is about an unknown compression, this lists the known ones.
    response.headers_mut().insert(compression::ACCEPT_ENCODING, compression::ACCEPTED);
    response
}

/// The trailers of a stream that `error` ends.
pub(crate) fn trailers(error: &RpcError) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    // The values are encoded, so each is a valid header.
    let _ = status(error).add_header(&mut trailers);
    trailers
}

fn status(error: &RpcError) -> Status {
    let message = &error.message()[..error.message().floor_char_boundary(MESSAGE_BYTES)];
    let details = error.data().and_then(|data| details(error.code(), message, data)).unwrap_or_default();
    Status::with_details(error.code().number().into(), message, details.into())
}

fn details(code: Code, message: &str, data: &Value) -> Option<Vec<u8>> {
    let value = codec::to_vec(&data.to_string()).ok()?;
    let any = Any { type_url: STRING_VALUE.to_owned(), value };
    let details = Details { code: code.number(), message: message.to_owned(), any: vec![any] };
    codec::to_vec(&details).ok().filter(|bytes| bytes.len() <= DETAILS_BYTES)
}

/// The status of the call, if these headers or trailers hold one.
pub(crate) fn of(headers: &HeaderMap) -> Option<Result<()>> {
    let status = headers.get(Status::GRPC_STATUS)?;
    Some(if status == "0" { Ok(()) } else { Err(error(headers)) })
}

fn error(headers: &HeaderMap) -> RpcError {
    let mut plain = headers.clone();
    // tonic panics on details that are not base64, so `data` reads them.
    plain.remove(Status::GRPC_STATUS_DETAILS);
    let status = Status::from_header_map(&plain).unwrap_or_else(|| Status::unknown(""));
    let code = Code::from_number(status.code().into()).unwrap_or(Code::Unknown);
    let error = RpcError::remote(code, status.message());
    match data(headers) {
        Some(data) => error.with_data(data),
        None => error,
    }
}

fn data(headers: &HeaderMap) -> Option<Value> {
    let header = headers.get(Status::GRPC_STATUS_DETAILS)?.clone();
    let metadata = MetadataMap::from_headers(HeaderMap::from_iter([(Status::GRPC_STATUS_DETAILS, header)]));
    let bytes = metadata.get_bin(Status::GRPC_STATUS_DETAILS.as_str())?.to_bytes().ok()?;
    let details: Details = codec::from_slice(&bytes).ok()?;
    let any = details.any.iter().find(|any| any.type_url == STRING_VALUE)?;
    serde_json::from_str(&codec::from_slice::<String>(&any.value).ok()?).ok()
}

/// The error for a response without a gRPC status, which comes from a proxy or another kind of server.
pub(crate) fn missing(status: StatusCode) -> RpcError {
    let code = everywire_net::code_of_status(status.as_u16());
    RpcError::new(code, format!("the response has no gRPC status; its HTTP status is {status}"))
}

#[cfg(test)]
mod tests {
    use everywire_core::Origin;
    use serde_json::json;

    use super::*;

    fn there_and_back(error: &RpcError) -> RpcError {
        of(response(error).headers()).expect("a status").unwrap_err()
    }

    #[test]
    fn every_code_message_and_data_come_back() {
        let messages = ["", "plain", "100 % \"quoted\" # <a> ?{}`", "zeile\r\nzwei\0", "ü 漢字 😀"];
        for (&code, message) in Code::ALL.iter().flat_map(|code| messages.map(|message| (code, message))) {
            for data in [None, Some(json!(null)), Some(json!({"retry_ms": 5, "größe": [1, 2.5, "x"]}))] {
                let error = RpcError::new(code, message);
                let error = data.iter().cloned().fold(error, RpcError::with_data);
                let back = there_and_back(&error);
                assert_eq!((back.code(), back.message(), back.data()), (code, message, data.as_ref()));
                assert_eq!(back.origin(), Origin::Remote);
            }
        }
    }

    #[test]
    fn long_messages_and_data_are_cut() {
        let error = RpcError::not_found("ü".repeat(5_000)).with_data(json!("x".repeat(5_000)));
        let back = there_and_back(&error);
        assert_eq!((back.code(), back.message().len(), back.data()), (Code::NotFound, MESSAGE_BYTES, None));
    }

    #[test]
    fn malformed_headers_do_not_panic() {
        let cases = [
            ("17", "x", "AAAA", Code::Unknown),
            ("x", "x", "no base64!", Code::Unknown),
            ("5", "%ff%", "\u{7f}", Code::Unknown),
            ("5", "%", "AAA", Code::NotFound),
            ("05", "", "", Code::Unknown),
        ];
        for (number, message, details, code) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(Status::GRPC_STATUS, number.parse().unwrap());
            headers.insert(Status::GRPC_MESSAGE, message.parse().unwrap());
            if let Ok(details) = details.parse() {
                headers.insert(Status::GRPC_STATUS_DETAILS, details);
            }
            let error = of(&headers).unwrap().unwrap_err();
            assert_eq!((error.code(), error.data()), (code, None), "{number} {message} {details}");
        }
    }
}
