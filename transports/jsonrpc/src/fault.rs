//! [`RpcError`] to a JSON-RPC error object and back.

use std::{borrow::Cow, error::Error as _};

use everywire_net::code_of_status;
use jsonrpsee_core::{client::Error as ClientError, http_helpers::HttpError};
use jsonrpsee_http_client::transport::Error as HttpClientError;
use jsonrpsee_server::types::{ErrorObject, ErrorObjectOwned, error};
use rpc_core::{Code, RpcError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The number that jsonrpsee gives to a response beyond the limit.
pub(crate) const OVERSIZED_RESPONSE: i32 = error::OVERSIZED_RESPONSE_CODE;

/// `error.data` of everywire's servers.
#[derive(Serialize, Deserialize)]
struct ErrorData<'a> {
    #[serde(borrow)]
    code: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Cow<'a, Value>>,
}

/// The error object of `error`.
pub(crate) fn to_object(error: &RpcError) -> ErrorObjectOwned {
    let data = ErrorData { code: error.code().name().into(), details: error.data().map(Cow::Borrowed) };
    ErrorObjectOwned::owned(error.code().fault_number(), error.message(), Some(data))
}

/// The error that a server reported as `object`. Data of a server that is not everywire's is kept whole.
pub(crate) fn from_object(object: &ErrorObject<'_>) -> RpcError {
    let data = object.data().map_or("null", |data| data.get());
    let named = serde_json::from_str::<ErrorData<'_>>(data).ok();
    let (code, data) = match named.and_then(|data| Some((Code::from_name(&data.code)?, data.details))) {
        Some((code, details)) => (code, details.map(Cow::into_owned)),
        None => (from_number(object.code()), serde_json::from_str(data).ok().filter(|data| *data != Value::Null)),
    };
    data.into_iter().fold(RpcError::remote(code, object.message()), RpcError::with_data)
}

/// What the number says where no name is given: numbers of jsonrpsee, then of the list that many wires share.
fn from_number(number: i32) -> Code {
    match number {
        error::OVERSIZED_REQUEST_CODE
        | error::OVERSIZED_RESPONSE_CODE
        | error::TOO_BIG_BATCH_REQUEST_CODE
        | error::TOO_BIG_BATCH_RESPONSE_CODE => Code::ResourceExhausted,
        error::SERVER_IS_BUSY_CODE => Code::Unavailable,
        _ => Code::from_fault_number(number).unwrap_or(Code::Unknown),
    }
}

/// What a client concludes from an error of jsonrpsee's clients.
pub(crate) fn from_client(url: &str, error: &ClientError) -> RpcError {
    let code = match error {
        ClientError::Call(object) => return from_object(object),
        ClientError::Transport(error) => match error.downcast_ref() {
            Some(HttpClientError::Rejected { status_code }) => code_of_status(*status_code),
            Some(HttpClientError::Http(HttpError::TooLarge)) => Code::ResourceExhausted,
            Some(HttpClientError::Http(HttpError::Malformed)) => Code::Internal,
            _ => Code::Unavailable,
        },
        ClientError::ServiceDisconnect => {
            return RpcError::unavailable(format!("jsonrpc {url}: the connection was lost"));
        }
        _ => Code::Internal,
    };
    RpcError::new(code, format!("jsonrpc {url}: {}", with_causes(error)))
}

/// The error's text and that of its causes, which hyper's errors keep apart.
fn with_causes(error: &ClientError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use rpc_core::Origin;
    use serde_json::json;

    use super::*;

    #[test]
    fn every_code_goes_there_and_back() {
        let numbers = [1, 2, -32602, 4, 5, 6, 7, 8, 9, 10, 11, -32601, -32603, 14, 15, 16];
        for (&code, number) in Code::ALL.iter().zip(numbers) {
            for data in [None, Some(json!({"left": 3})), Some(json!("text"))] {
                let error = RpcError::new(code, "„quoted\" <&>\n\u{1F980}");
                let error = data.clone().into_iter().fold(error, RpcError::with_data);
                let text = serde_json::to_string(&to_object(&error)).unwrap();
                let object = serde_json::from_str::<ErrorObjectOwned>(&text).unwrap();
                assert_eq!(object.code(), number, "{code}");

                let back = from_object(&object);
                assert_eq!((back.code(), back.message()), (code, error.message()), "{text}");
                assert_eq!((back.data(), back.origin()), (data.as_ref(), Origin::Remote), "{text}");
            }
        }
    }

    #[test]
    fn an_error_object_in_bytes() {
        let error = RpcError::not_found("no such lock").with_data(json!({"name": "a"}));
        assert_eq!(
            serde_json::to_string(&to_object(&error)).unwrap(),
            r#"{"code":5,"message":"no such lock","data":{"code":"NOT_FOUND","details":{"name":"a"}}}"#
        );
        assert_eq!(
            serde_json::to_string(&to_object(&RpcError::unknown(""))).unwrap(),
            r#"{"code":2,"message":"","data":{"code":"UNKNOWN"}}"#
        );
    }

    #[test]
    fn errors_of_other_servers() {
        #[rustfmt::skip]
        let cases = [
            (r#"{"code":-32601,"message":"Method not found"}"#, Code::Unimplemented, None),
            (r#"{"code":-32700,"message":"Parse error"}"#, Code::Internal, None),
            (r#"{"code":-32010,"message":"The batch request was too large","data":"Exceeded max limit of 2"}"#,
                Code::ResourceExhausted, Some(json!("Exceeded max limit of 2"))),
            (r#"{"code":5,"message":"5 means nothing here"}"#, Code::Unknown, None),
            (r#"{"code":-32000,"message":"m","data":{"code":"EACCES"}}"#, Code::Unknown, Some(json!({"code": "EACCES"}))),
            (r#"{"code":-32000,"message":"m","data":null}"#, Code::Unknown, None),
        ];
        for (text, code, data) in cases {
            let error = from_object(&serde_json::from_str(text).unwrap());
            assert_eq!((error.code(), error.data()), (code, data.as_ref()), "{text}");
        }
    }
}
