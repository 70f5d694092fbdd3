//! What the messages of one connection are addressed to: the service, and the document that describes it.

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use everywire_core::{Budget, Context, Peer, Result, RpcError, Service, wire::Waiting};
use everywire_json::{Cancellable, Endpoint, Subscription, is_of_open_stream};
use everywire_net::{WebOrigins, context, pull::OpenStreams};
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
    /// The streams of calls over HTTP.
    pub(crate) streams: Arc<OpenStreams>,
}

/// What the calls of one connection share.
pub(crate) struct Shared<S> {
    pub(crate) service: S,
    pub(crate) common: Arc<Common>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) waiting: Waiting,
    pub(crate) peer: Peer,
}

/// What the calls of one WebSocket share besides.
pub(crate) struct Session {
    /// Those that later messages can cancel.
    pub(crate) calls: Cancellable,
    pub(crate) streams: Arc<OpenStreams>,
}

/// What one message is addressed to.
pub(crate) struct Gate<'a, S> {
    pub(crate) shared: &'a Shared<S>,
    /// Over a WebSocket.
    pub(crate) session: Option<&'a Session>,
    /// What the message has subscribed to.
    pub(crate) subscription: OnceLock<Box<Subscription>>,
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
        self.session.map(|session| &session.calls)
    }

    fn peer(&self) -> &Peer {
        &self.shared.peer
    }

    fn header_bytes(&self) -> usize {
        // All calls of a WebSocket share the headers of its handshake.
        if self.session.is_some() { 0 } else { context::bytes(self.headers) }
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
        self.session.is_some()
    }

    fn streams(&self) -> Option<&Arc<OpenStreams>> {
        Some(self.session.map_or(&self.shared.common.streams, |session| &session.streams))
    }

    fn subscribe(&self, subscription: Subscription) -> bool {
        self.session.is_some() && self.subscription.set(Box::new(subscription)).is_ok()
    }

    fn answer_itself(&self, method: &str) -> Option<Result<&RawValue>> {
        if self.is_stopping && !is_of_open_stream(method) {
            return Some(Err(RpcError::unavailable("the server is shutting down")));
        }
        (method == DISCOVER).then_some(Ok(&self.shared.common.document))
    }
}
