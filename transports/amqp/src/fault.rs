//! The errors of a broker, as those of calls and servers.

use std::fmt;

use everywire_core::{Code, RpcError};
use lapin::{
    Error, ErrorKind,
    protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError},
};

use crate::broker::Broker;

impl Broker {
    /// The error of a broker that can't be connected to.
    pub(crate) fn unreachable(&self, error: &Error) -> RpcError {
        match rejection(error) {
            Some(AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED)) => RpcError::unauthenticated(format!(
                "the broker at {self} rejects the user or the password: {}",
                reason(error)
            )),
            Some(AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED)) => {
                RpcError::permission_denied(format!("the broker at {self} rejects the connection: {}", reason(error)))
            }
            _ => RpcError::unavailable(format!("no broker at {self}: {error}")),
        }
    }

    /// The error of a call or a server whose channel or connection the broker ended.
    pub(crate) fn lost(&self, error: &Error) -> RpcError {
        if is_forbidden(error) {
            return RpcError::permission_denied(format!("the broker at {self} rejects it: {}", reason(error)));
        }
        self.closed(reason(error))
    }

    /// Like [`lost`](Self::lost), without an error from the broker.
    pub(crate) fn closed(&self, reason: impl fmt::Display) -> RpcError {
        RpcError::unavailable(format!("the connection to the broker at {self} is lost: {reason}"))
    }

    /// The error of a stream that ends because its server is gone.
    pub(crate) fn gone(&self, reason: &str) -> RpcError {
        RpcError::unavailable(format!("the broker at {self}: {reason}"))
    }

    /// The error of a call whose request the broker returned.
    pub(crate) fn missing(&self, queue: impl fmt::Display) -> RpcError {
        RpcError::unavailable(format!("there is no queue `{queue}` at {self}: no server has declared it"))
    }

    /// The error of a server that failed to `act`, or whose user has no right to.
    pub(crate) fn failed(&self, act: impl fmt::Display, error: &Error) -> RpcError {
        let code = if is_forbidden(error) { Code::PermissionDenied } else { Code::Unavailable };
        RpcError::new(code, format!("the broker at {self} does not let the server {act}: {}", reason(error)))
    }
}

/// The broker's message, if there is one.
fn reason(error: &Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(error) => error.get_message().to_string(),
        _ => error.to_string(),
    }
}

/// Why the broker closed a channel or the connection, if it did.
pub(crate) fn rejection(error: &Error) -> Option<&AMQPErrorKind> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Some(error.kind()),
        _ => None,
    }
}

/// Whether a retry fails until the user is given a right, or another connection releases a queue.
fn is_forbidden(error: &Error) -> bool {
    use AMQPSoftError::{ACCESSREFUSED, RESOURCELOCKED};
    matches!(rejection(error), Some(AMQPErrorKind::Soft(ACCESSREFUSED | RESOURCELOCKED)))
}
