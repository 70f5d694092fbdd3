//! A wire inside one process, for tests and for programs: arguments and replies pass through JSON values.

use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    arguments::decode_again,
    client::Caller,
    descriptor::Method,
    error::{Result, RpcError},
    service::{Call, Service},
};

/// Calls `method` with `args`, an array (by position) or an object (by name).
pub async fn call<S: Service>(service: &S, method: &str, args: Value) -> Result<Value> {
    service.dispatch(service.descriptor().find(method)?, &mut MemoryCall { args }).await
}

/// A client of a service in the same process.
#[derive(Debug)]
pub struct Client<S> {
    service: Arc<S>,
}

impl<S> Clone for Client<S> {
    fn clone(&self) -> Self {
        Self { service: Arc::clone(&self.service) }
    }
}

impl<S: Service> Client<S> {
    /// A client of `service`.
    pub fn new(service: Arc<S>) -> Self {
        Self { service }
    }
}

impl<S: Service> Caller for Client<S> {
    async fn call<A: Serialize + Send + Sync, R: DeserializeOwned>(
        &self,
        method: &'static Method,
        args: &A,
    ) -> Result<R> {
        let args = serde_json::to_value(args).map_err(RpcError::internal)?;
        let reply = call(&*self.service, method.name(), args).await.map_err(RpcError::into_remote)?;
        R::deserialize(reply).map_err(RpcError::internal)
    }
}

struct MemoryCall {
    args: Value,
}

impl Call for MemoryCall {
    type Reply = Result<Value>;

    fn args<A: DeserializeOwned>(&mut self) -> Result<A> {
        A::deserialize(&self.args).or_else(|_| decode_again(&self.args))
    }

    fn reply<R: Serialize>(&mut self, outcome: Result<R>) -> Self::Reply {
        serde_json::to_value(outcome?).map_err(RpcError::internal)
    }
}
