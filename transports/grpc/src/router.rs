//! Answers one request: by a method of the service, or by health or reflection.

use std::sync::Arc;

use everywire_core::{
    Budget, Peer, Result, RpcError, Service,
    descriptor::{Method, ServiceDescriptor},
    wire::CancellationToken,
};
use everywire_net::{arrived, context};
use http::{Request, Response};
use tokio::sync::Semaphore;

use crate::{
    body::{Body, Incoming},
    builtin::Builtins,
    call::{Around, GrpcCall},
    codec::Enums,
    compression::{self, Encoding},
    envelope::Received,
    head, status,
};

/// What the routers of all connections share.
pub struct Shared {
    pub(crate) builtins: Builtins,
}

/// Answers the requests of one connection.
pub(crate) struct Router<S> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) service: S,
    /// Permits for the calls of health and reflection that the connection may have open.
    pub(crate) builtin_calls: Arc<Semaphore>,
    pub(crate) peer: Peer,
    pub(crate) budget: Arc<Budget>,
    pub(crate) stop: CancellationToken,
}

impl<S: Service> Router<S> {
    /// Ends the calls of health and reflection, which may have no other end.
    pub(crate) fn stop_builtins(&self) {
        self.shared.builtins.stop();
    }

    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        if let Some(rejection) = head::rejection(&request) {
            return rejection;
        }
        let path = request.uri().path();
        let answer = match self.service.services().at_path(path) {
            Some(method) => self.call(method, request).await,
            None => self.answer_other(request).await,
        };
        answer.unwrap_or_else(|error| status::response(&error))
    }

    /// Runs `method` until its deadline.
    async fn call(&self, method: &'static Method, request: Request<Incoming>) -> Result<Response<Body>> {
        if self.stop.is_cancelled() {
            return Err(RpcError::unavailable("the server is shutting down"));
        }
        let (deadline, budget) = (context::deadline(request.headers())?, &self.budget);
        let (head, body) = request.into_parts();
        let headers = head.headers;
        let encoding = Encoding::of(&headers);
        let gzip = encoding == Encoding::Gzip && compression::accepts_gzip(&headers);
        let received = arrived(Received::read(body, budget), budget, &self.stop).await?;
        let message = received.into_message(encoding, budget)?;
        let enums = Enums::new(method.enums_with_data());
        let mut call = GrpcCall::new(message, Around { headers, deadline, peer: &self.peer, budget, gzip, enums });
        Ok(self.service.dispatch(method, &mut call).await)
    }

    /// Answers a request whose path is not that of a method of the service.
    async fn answer_other(&self, request: Request<Incoming>) -> Result<Response<Body>> {
        let builtins = &self.shared.builtins;
        let path = request.uri().path().to_owned();
        let name = path.trim_start_matches('/');
        let (service, method) = name.split_once('/').unwrap_or((name, ""));
        if let Some(builtin) = builtins.find(service) {
            let answering = builtins.answer(builtin, request, &self.builtin_calls);
            return arrived(answering, &self.budget, &self.stop).await;
        }
        let services = self.service.services();
        let known: Vec<_> = services.iter().map(ServiceDescriptor::full_name).collect();
        if known.contains(&service) {
            return Err(services.unknown(method));
        }
        let (service, known) = (service.escape_debug(), known.join(", "));
        Err(RpcError::unimplemented(format!("no service `{service}`; this server has {known}")))
    }
}
