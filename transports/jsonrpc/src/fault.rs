//! What a client makes of jsonrpsee's errors.

use std::error::Error as _;

use everywire_core::{Code, RpcError};
use everywire_json::reported;
use everywire_net::code_of_status;
use jsonrpsee_core::{JsonRawValue, client::Error as ClientError, http_helpers::HttpError};
use jsonrpsee_http_client::{transport::Error as HttpClientError, types::ErrorObject};

/// The error that a server reported as `object`.
pub(crate) fn from_object(object: &ErrorObject<'_>) -> RpcError {
    reported(object.code(), object.message(), object.data().map(JsonRawValue::get))
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
