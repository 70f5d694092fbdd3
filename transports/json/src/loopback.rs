//! A call without a carrier: what it costs in format and envelope.

use std::{borrow::Cow, sync::Arc};

use rpc_core::{Budget, Caller, Method, Result, RpcError, Service};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::{answer, reported};

/// A client and a server of these messages with neither HTTP, WebSocket nor a broker between them.
#[derive(Debug)]
pub struct Loopback<S> {
    service: Arc<S>,
    budget: Arc<Budget>,
}

impl<S: Service> Loopback<S> {
    /// Calls `service` within the limits of `budget`.
    pub fn new(service: Arc<S>, budget: Arc<Budget>) -> Self {
        Self { service, budget }
    }
}

#[derive(Serialize)]
struct Request<'a, A> {
    jsonrpc: &'static str,
    id: u64,
    method: &'a str,
    params: &'a A,
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<ErrorObject<'a>>,
}

#[derive(Deserialize)]
struct ErrorObject<'a> {
    code: i32,
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

impl<S: Service> Caller for Loopback<S> {
    async fn call<A: Serialize + Send + Sync, R: DeserializeOwned>(
        &self,
        method: &'static Method,
        args: &A,
    ) -> Result<R> {
        let request = Request { jsonrpc: "2.0", id: 1, method: method.name(), params: args };
        let request = serde_json::to_vec(&request).map_err(RpcError::internal)?;
        let answer = answer(&*self.service, &request, &self.budget).await;
        let answer = answer.ok_or_else(|| RpcError::internal("a call without an answer"))?;
        let response: Response<'_> = serde_json::from_slice(answer.as_ref()).map_err(RpcError::internal)?;
        if let Some(ErrorObject { code, message, data }) = response.error {
            return Err(reported(code, &message, data.map(RawValue::get)));
        }
        // A result that is null has no text of its own.
        serde_json::from_str(response.result.map_or("null", RawValue::get)).map_err(RpcError::internal)
    }
}
