//! From jsonrpsee's parsed requests to the service, past jsonrpsee's own table of methods.
//!
//! jsonrpsee offers [`RpcServiceT`] to middleware. Implementing it whole, with nothing underneath, spares each call the
//! look-up, the copy of its parameters and the box of its future; and notifications run, which jsonrpsee acknowledges
//! only.

use std::sync::Arc;

use jsonrpsee_core::middleware::{Batch, BatchEntry, Notification, Request, RpcServiceT};
use jsonrpsee_server::{BatchResponseBuilder, MethodResponse, middleware::rpc::RpcService};
use rpc_core::Service;
use serde_json::value::RawValue;

use crate::{
    envelope::{self, JsonrpcCall},
    gate::Gate,
};

/// The method that answers with the [`Dispatch::document`].
const DISCOVER: &str = "rpc.discover";

/// Runs requests.
#[derive(Debug)]
pub(crate) struct Dispatch<S> {
    pub(crate) service: Arc<S>,
    /// The service's `OpenRPC` document.
    pub(crate) document: Arc<RawValue>,
    /// The longest response in bytes.
    pub(crate) max_bytes: usize,
}

impl<S> Clone for Dispatch<S> {
    fn clone(&self) -> Self {
        Self { service: Arc::clone(&self.service), document: Arc::clone(&self.document), max_bytes: self.max_bytes }
    }
}

impl<S: Service> Dispatch<S> {
    async fn call(&self, request: &Request<'_>) -> MethodResponse {
        if request.method == DISCOVER {
            return envelope::success(&request.id, &&*self.document, self.max_bytes);
        }
        let mut call =
            JsonrpcCall { id: Some(&request.id), params: request.params.as_deref(), max_bytes: self.max_bytes };
        self.service.dispatch(&request.method, &mut call).await
    }

    async fn notification(&self, notification: &Notification<'_>) -> MethodResponse {
        let mut call = JsonrpcCall { id: None, params: notification.params.as_deref(), max_bytes: self.max_bytes };
        self.service.dispatch(&notification.method, &mut call).await
    }

    /// Runs one request after the other, so that a batch weighs no more than a call.
    async fn batch(&self, batch: Batch<'_>) -> MethodResponse {
        let mut responses = BatchResponseBuilder::new_with_limit(self.max_bytes);
        let mut notified = false;
        for entry in batch {
            let response = match entry {
                Ok(BatchEntry::Call(request)) => self.call(&request).await,
                Ok(BatchEntry::Notification(notification)) => {
                    self.notification(&notification).await;
                    notified = true;
                    continue;
                }
                Err(invalid) => {
                    let (error, id) = invalid.into_parts();
                    MethodResponse::error(id, error)
                }
            };
            if let Err(too_long) = responses.append(response) {
                return too_long;
            }
        }
        // Section 6: nothing is returned for notifications only; an empty batch is an invalid request.
        if responses.is_empty() && notified {
            return envelope::no_response();
        }
        MethodResponse::from_batch(responses.finish())
    }
}

impl<S: Service> RpcServiceT for Dispatch<S> {
    type MethodResponse = MethodResponse;
    type NotificationResponse = MethodResponse;
    type BatchResponse = MethodResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let this = self.clone();
        async move { Dispatch::call(&this, &request).await }
    }

    // These are rare, so they are boxed and do not enlarge the future that each call moves.
    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let this = self.clone();
        Box::pin(async move { Dispatch::batch(&this, batch).await })
    }

    fn notification<'a>(&self, notification: Notification<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let this = self.clone();
        Box::pin(async move { Dispatch::notification(&this, &notification).await })
    }
}

/// Runs the requests of one WebSocket session and counts them at its [`Gate`].
#[derive(Debug)]
pub(crate) struct Session<S> {
    pub(crate) dispatch: Dispatch<S>,
    pub(crate) gate: Arc<Gate>,
    /// Never called. jsonrpsee ends a session on the stop once all copies of it are gone: each running call holds one.
    pub(crate) _running: RpcService,
}

impl<S: Service> RpcServiceT for Session<S> {
    type MethodResponse = MethodResponse;
    type NotificationResponse = MethodResponse;
    type BatchResponse = MethodResponse;

    // Boxed and made in their place, because jsonrpsee moves them into a task of its own.
    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let (dispatch, place) = (self.dispatch.clone(), self.gate.enter());
        Box::pin(async move {
            let _place = place;
            Dispatch::call(&dispatch, &request).await
        })
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let (dispatch, place) = (self.dispatch.clone(), self.gate.enter());
        Box::pin(async move {
            let _place = place;
            Dispatch::batch(&dispatch, batch).await
        })
    }

    fn notification<'a>(&self, notification: Notification<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let (dispatch, place) = (self.dispatch.clone(), self.gate.enter());
        Box::pin(async move {
            let _place = place;
            Dispatch::notification(&dispatch, &notification).await
        })
    }
}
