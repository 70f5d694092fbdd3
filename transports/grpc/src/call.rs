//! One call: from the bytes of its arguments to its response.

use std::sync::Arc;

use everywire_core::{
    Budget, Limit, Result,
    wire::{Call, decode_again},
};
use http::Response;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    body::Body,
    codec,
    envelope::{self, Message},
    status,
};

/// One call.
pub(crate) struct GrpcCall<'a> {
    /// Taken when the arguments are read, so that a call that waits holds no bytes.
    message: Option<Message>,
    budget: &'a Arc<Budget>,
    /// Whether the client asks for a compressed reply.
    gzip: bool,
}

impl<'a> GrpcCall<'a> {
    /// The call whose arguments are `message`. Its reply is compressed if `gzip` is set and the reply is long.
    pub(crate) fn new(message: Message, budget: &'a Arc<Budget>, gzip: bool) -> Self {
        Self { message: Some(message), budget, gzip }
    }
}

impl Call for GrpcCall<'_> {
    type Reply = Response<Body>;

    fn args<A: DeserializeOwned>(&mut self) -> Result<A> {
        let message = self.message.take().expect("arguments are read once");
        let (bytes, depth) = (&*message.bytes, self.budget.limits().depth);
        codec::from_slice_within(bytes, depth).or_else(|error| {
            if error.is_depth() {
                self.budget.record(Limit::Depth, &error);
            }
            decode_again(codec::Message { bytes, depth })
        })
    }

    fn args_bytes(&self) -> usize {
        self.message.as_ref().map_or(0, |message| message.bytes.len())
    }

    fn reply<R: Serialize>(&mut self, outcome: Result<R>) -> Self::Reply {
        match outcome.and_then(|reply| envelope::frame_within(&reply, self.budget)) {
            Ok(message) if self.gzip => envelope::gzip_response(message, self.budget),
            Ok(message) => envelope::response(message),
            Err(error) => status::response(&error),
        }
    }
}
