//! The errors of a client over a WebSocket.

use everywire_core::{Code, RpcError};
use everywire_json::reported;
use everywire_net::with_causes;
use jsonrpsee_core::client::Error as ClientError;
use jsonrpsee_ws_client::types::ErrorObject;

/// The error that a server reported as `object`.
pub(crate) fn from_object(object: &ErrorObject<'_>) -> RpcError {
    reported(object.code(), object.message(), object.data())
}

/// The error for one of jsonrpsee's client.
pub(crate) fn from_client(url: &str, error: &ClientError) -> RpcError {
    let code = match error {
        ClientError::Call(object) => return from_object(object),
        ClientError::Transport(_) => Code::Unavailable,
        ClientError::ServiceDisconnect => {
            return RpcError::unavailable(format!("jsonrpc {url}: the connection was lost"));
        }
        _ => Code::Internal,
    };
    RpcError::new(code, format!("jsonrpc {url}: {}", with_causes(error)))
}
