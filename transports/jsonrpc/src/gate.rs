//! What the messages of one connection are addressed to: the service, and the document that describes it.

use std::{sync::Arc, time::Instant};

use everywire_core::{Budget, Context, Peer, Result, RpcError, Service, wire::Waiting};
use everywire_json::{Cancellable, Endpoint};
use everywire_net::{WebOrigins, context};
use http::HeaderMap;
use serde_json::value::RawValue;

/// The method that answers with the service's `OpenRPC` document.
const DISCOVER: &str = "rpc.discover";

/// What all connections share.
#[derive(Debug)]
pub struct Common {
    /// The service's `OpenRPC` document.
    pub(crate) document: Box<RawValue>,
    pub(crate) origins: WebOrigins,
}

/// What the calls of one connection share.
pub(crate) struct Shared<S> {
    pub(crate) service: S,
    pub(crate) common: Arc<Common>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) waiting: Waiting,
    pub(crate) peer: Peer,
}

/// What one message is addressed to.
pub(crate) struct Gate<'a, S> {
    pub(crate) shared: &'a Shared<S>,
    /// The calls of a WebSocket, which later messages can cancel.
    pub(crate) calls: Option<&'a Cancellable>,
    /// Those of the request, or of the one that opened the WebSocket.
    pub(crate) headers: &'a HeaderMap,
    pub(crate) deadline: Option<Instant>,
    /// The server takes no new calls.
    pub(crate) is_stopping: bool,
}

impl<S: Service> Endpoint for Gate<'_, S> {
    type Service = S;

    fn service(&self) -> &S {
        &self.shared.service
    }

    fn budget(&self) -> &Arc<Budget> {
        &self.shared.budget
    }

    fn cancellable(&self) -> Option<&Cancellable> {
        self.calls
    }

    fn peer(&self) -> &Peer {
        &self.shared.peer
    }

    fn header_bytes(&self) -> usize {
        // All calls of a WebSocket share the headers of its handshake.
        if self.calls.is_some() { 0 } else { context::bytes(self.headers) }
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn read_context(&self, cx: &mut Context) -> Result<()> {
        context::read(self.headers, cx)?;
        if self.takes_metadata() {
            // The trace of the handshake is not that of each call.
            cx.trace = None;
        }
        Ok(())
    }

    fn takes_metadata(&self) -> bool {
        self.calls.is_some()
    }

    fn answer_itself(&self, method: &str) -> Option<Result<&RawValue>> {
        if self.is_stopping {
            return Some(Err(RpcError::unavailable("the server is shutting down")));
        }
        (method == DISCOVER).then_some(Ok(&self.shared.common.document))
    }
}
