//! A wire inside one process, for tests: arguments and replies pass through JSON text, as they would over a socket.

use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};

use crate::{Call, Caller, Method, Result, RpcError, Service, bad_arguments};

/// Calls `method` with `args`, a JSON array (by position) or object (by name); the reply is JSON too.
pub async fn call<S: Service>(service: &S, method: &str, args: String) -> Result<String> {
    service.dispatch(method, MemoryCall { args }).await
}

/// A client of a service in the same process.
#[derive(Debug)]
pub struct Client<S> {
    service: Arc<S>,
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
        let args = serde_json::to_string(args).map_err(RpcError::internal)?;
        let reply = call(&*self.service, method.name(), args).await;
        let reply = reply.map_err(|error| {
            let remote = RpcError::remote(error.code(), error.message());
            error.data().cloned().into_iter().fold(remote, RpcError::with_data)
        })?;
        serde_json::from_str(&reply).map_err(RpcError::internal)
    }
}

struct MemoryCall {
    args: String,
}

impl Call for MemoryCall {
    type Reply = Result<String>;

    fn args<A: DeserializeOwned>(&mut self) -> Result<A> {
        serde_json::from_str(&self.args)
            .map_err(|_| bad_arguments::<A>(&mut serde_json::Deserializer::from_str(&self.args)))
    }

    fn reply<R: Serialize>(self, outcome: Result<R>) -> Self::Reply {
        serde_json::to_string(&outcome?).map_err(RpcError::internal)
    }
}
