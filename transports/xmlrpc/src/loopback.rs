//! A call without the sockets: what it costs in format and envelope.

use std::sync::Arc;

use everywire_core::{Budget, Caller, Code, Context, Result, Service, descriptor::Method};
use http::HeaderMap;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    call::{Around, answer},
    codec::{Nil, document},
    envelope::{Frame, method_call, read_response},
    fault::unsendable,
};

/// A client and a server of this wire with neither HTTP nor a socket between them.
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

impl<S: Service> Caller for Loopback<S> {
    async fn call<A: Serialize + Send + Sync, R: DeserializeOwned + Send>(
        &self,
        method: &'static Method,
        _cx: &Context,
        args: &A,
    ) -> Result<R> {
        let request =
            method_call(method.name(), args).map_err(|error| unsendable(Code::InvalidArgument, "arguments", &error))?;
        let headers = HeaderMap::new();
        let around = Around::nothing(&headers, Nil::Written, &self.budget);
        let response = match document(&request) {
            Ok(request) => answer(&*self.service, request, around).await,
            Err(error) => Frame::Response.fault(error, &self.budget),
        };
        read_response(&response, None, self.budget.limits())
    }
}
