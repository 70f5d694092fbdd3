//! One call: from the bytes of its arguments to its response.

use std::{sync::Arc, time::Instant};

use everywire_core::{
    Budget, Context, Limit, Peer, Result, Streaming,
    descriptor::Method,
    wire::{Call, LazyContext, decode_again},
};
use everywire_net::context;
use http::{HeaderMap, Response};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    body::Body,
    codec::{self, Enums, Scope},
    envelope::{self, Message},
    items::Items,
    status,
};

/// One call.
pub(crate) struct GrpcCall<'a> {
    /// Taken when the arguments are read, so that a call that waits holds no bytes.
    message: Option<Message>,
    around: Around<'a>,
    context: LazyContext,
}

/// What stands around the message of a request.
pub(crate) struct Around<'a> {
    pub(crate) headers: HeaderMap,
    pub(crate) deadline: Option<Instant>,
    pub(crate) peer: &'a Peer,
    pub(crate) budget: &'a Arc<Budget>,
    /// Whether the client asks for a compressed reply. A short one is not compressed.
    pub(crate) gzip: bool,
    /// The enums with data in the types of the method.
    pub(crate) enums: Enums<'a>,
}

impl<'a> Around<'a> {
    /// Of a request that arrives without a connection.
    pub(crate) fn nothing(budget: &'a Arc<Budget>, method: &'a Method) -> Self {
        let enums = Enums::new(method.enums_with_data());
        Self { headers: HeaderMap::new(), deadline: None, peer: &Peer::LOCAL, budget, gzip: false, enums }
    }
}

impl<'a> GrpcCall<'a> {
    /// The call whose arguments are `message`.
    pub(crate) fn new(message: Message, around: Around<'a>) -> Self {
        Self { message: Some(message), context: LazyContext::default(), around }
    }
}

impl Call for GrpcCall<'_> {
    type Reply = Response<Body>;

    fn args<A: DeserializeOwned>(&mut self) -> Result<A> {
        let message = self.message.take().expect("arguments are read once");
        let scope = Scope { depth: self.around.budget.limits().depth, enums: self.around.enums };
        let message = codec::Message::arguments(&message.bytes, scope);
        codec::read(message).or_else(|error| {
            if error.is_depth() {
                self.around.budget.record(Limit::Depth, &error);
            }
            decode_again(message)
        })
    }

    fn args_bytes(&self) -> usize {
        self.message.as_ref().map_or(0, |message| message.bytes.len())
    }

    fn header_bytes(&self) -> usize {
        context::bytes(&self.around.headers)
    }

    fn deadline(&self) -> Option<Instant> {
        self.around.deadline
    }

    fn context(&mut self) -> Result<&mut Context> {
        let Around { headers, deadline, peer, .. } = &self.around;
        self.context.get(peer, |cx| {
            cx.deadline = *deadline;
            context::read(headers, cx)
        })
    }

    fn reply<R: Serialize>(&mut self, outcome: Result<R>) -> Self::Reply {
        match outcome.and_then(|reply| envelope::frame_within(&reply, self.around.enums, self.around.budget)) {
            Ok(message) if self.around.gzip => envelope::gzip_response(message, self.around.budget),
            Ok(message) => envelope::response(message),
            Err(error) => status::response(&error),
        }
    }

    fn stream<R: Serialize + Send + 'static>(&mut self, method: &'static Method, items: Streaming<R>) -> Self::Reply {
        let items = Items::new(method, items, self.around.budget);
        envelope::with_body(Body::Many(Box::pin(items)))
    }
}
