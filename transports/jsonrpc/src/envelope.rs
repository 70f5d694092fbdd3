//! One request and its response, between jsonrpsee's envelope and the service.

use jsonrpsee_server::{MethodResponse, ResponsePayload, types::Id};
use rpc_core::{Call, Result, RpcError, bad_arguments};
use serde::{Serialize, Serializer, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::fault;

/// A call or a notification. It borrows, because whatever a future holds is moved with it.
pub(crate) struct JsonrpcCall<'a> {
    /// What the response repeats; a notification has none.
    pub(crate) id: Option<&'a Id<'a>>,
    /// The text of `params`, which may be absent (specification, section 4.2).
    pub(crate) params: Option<&'a RawValue>,
    /// The longest response in bytes.
    pub(crate) max_bytes: usize,
}

impl Call for JsonrpcCall<'_> {
    type Reply = MethodResponse;

    fn args<A: DeserializeOwned>(&mut self) -> Result<A> {
        let text = self.params.map_or("[]", RawValue::get);
        serde_json::from_str(text)
            .map_err(|_| without_position(bad_arguments::<A>(&mut serde_json::Deserializer::from_str(text))))
    }

    fn reply<R: Serialize>(&mut self, outcome: Result<R>) -> MethodResponse {
        match (self.id, outcome) {
            (Some(id), Ok(reply)) => success(id, &reply, self.max_bytes),
            (Some(id), Err(error)) => MethodResponse::error(id.clone(), fault::to_object(&error)),
            (None, outcome) => {
                if let Err(error) = outcome {
                    tracing::debug!(%error, "a notification failed");
                }
                no_response()
            }
        }
    }
}

/// The error without `serde_json`'s line and column, which count from the start of `params` and not of the request.
fn without_position(error: RpcError) -> RpcError {
    match error.message().rsplit_once(" at line ") {
        Some((message, _)) => RpcError::invalid_argument(message),
        None => error,
    }
}

/// The response with this result.
pub(crate) fn success(id: &Id<'_>, result: &impl Serialize, max_bytes: usize) -> MethodResponse {
    let response = MethodResponse::response(id.clone(), ResponsePayload::success(Borrowed(result)), max_bytes);
    match response.as_error_code() {
        None => response,
        Some(fault::OVERSIZED_RESPONSE) => {
            let text = format!("the reply is longer than {max_bytes} bytes");
            MethodResponse::error(id.clone(), fault::to_object(&RpcError::resource_exhausted(text)))
        }
        Some(_) => MethodResponse::error(
            id.clone(),
            fault::to_object(&RpcError::internal("the reply can't be written as JSON")),
        ),
    }
}

/// What stands for the response that a notification does not get.
pub(crate) fn no_response() -> MethodResponse {
    let mut response = MethodResponse::notification();
    response.extensions_mut().insert(NoResponse);
    response
}

/// Marks the HTTP response of a notification, to which jsonrpsee gives the body `null`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoResponse;

/// A result to be written where it lies: jsonrpsee wants results that can be cloned.
struct Borrowed<'a, R>(&'a R);

impl<R> Clone for Borrowed<'_, R> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl<R: Serialize> Serialize for Borrowed<'_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}
