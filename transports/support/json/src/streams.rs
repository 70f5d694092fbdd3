//! Replies of many items: `$/enumerator/next` and `abort` of `StreamJsonRpc`, and the subscriptions of jsonrpsee.

use std::{pin::pin, sync::Arc};

use everywire_core::{
    Budget, Result, RpcError, Service,
    wire::{Call, Encoded, MessageBuffer},
};
use everywire_net::pull::{BATCH_BYTES, Batch, Items, OpenStreams, no_stream};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    answer::{put_head, put_items},
    call::{Endpoint, JsonCall},
    fault,
};

/// The method that returns the next items of a stream. Its parameters are [`Next`].
pub const NEXT: &str = "$/enumerator/next";

/// The method that ends a stream. Its parameters are [`End`].
pub const ABORT: &str = "$/enumerator/abort";

/// What methods of subscriptions begin with, before the name of the method that streams.
const SUBSCRIBE: &str = "subscribe_";
const UNSUBSCRIBE: &str = "unsubscribe_";

/// Whether the method belongs to a stream that is open, so that it may be called while the server takes no new calls.
pub fn is_of_open_stream(method: &str) -> bool {
    matches!(method, NEXT | ABORT) || without_prefix(method, UNSUBSCRIBE).is_some()
}

/// The parameters of [`NEXT`].
#[derive(Debug, Serialize, Deserialize)]
pub struct Next<T = String> {
    /// The token that the result of the call has.
    pub token: T,
    /// How many items have been received, over HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<u64>,
}

/// The parameters of [`ABORT`].
#[derive(Debug, Serialize, Deserialize)]
pub struct End<T = String> {
    /// The token that the result of the call has.
    pub token: T,
}

/// A stream whose items the peer wants to be sent.
#[derive(Debug)]
pub struct Subscription {
    /// Its id, which is also the token of the stream.
    pub token: String,
    /// The name of the notifications: that of the method.
    pub method: String,
}

impl Subscription {
    /// The notification with an item.
    pub fn put_item(&self, item: &[u8], out: &mut Vec<u8>) {
        self.put("result", item, out);
    }

    /// The notification of the end.
    pub fn put_end(&self, error: Option<&RpcError>, out: &mut Vec<u8>) {
        let object = error.map_or_else(|| b"null".to_vec(), fault::object_text);
        self.put("error", &object, out);
    }

    fn put(&self, member: &str, json: &[u8], out: &mut Vec<u8>) {
        let parts: [&[u8]; 9] = [
            br#"{"jsonrpc":"2.0","method":""#,
            self.method.as_bytes(),
            br#"","params":{"subscription":""#,
            self.token.as_bytes(),
            br#"",""#,
            member.as_bytes(),
            br#"":"#,
            json,
            b"}}",
        ];
        for part in parts {
            out.extend_from_slice(part);
        }
    }
}

impl<E: Endpoint> JsonCall<'_, '_, E> {
    /// Runs a method that is `unknown` to the service: one of its streams, or none.
    pub(crate) async fn run_without_service(&mut self, method: &str, unknown: RpcError) {
        let Some(streams) = self.endpoint.streams() else { return self.reply::<()>(Err(unknown)) };
        if method == NEXT {
            return self.next(streams).await;
        }
        if method == ABORT {
            let ended = self.end(streams);
            return self.reply(ended.map(drop));
        }
        if without_prefix(method, UNSUBSCRIBE).is_some() {
            let ended = self.end(streams);
            return self.reply(ended);
        }
        match without_prefix(method, SUBSCRIBE) {
            Some(name) => self.subscribe_to(&name).await,
            None => self.reply::<()>(Err(unknown)),
        }
    }

    /// Waits for the next items of a stream.
    async fn next(&mut self, streams: &OpenStreams) {
        let Next { token, received } = match self.args_of::<Next>("[token, received]") {
            Ok(next) => next,
            Err(error) => return self.reply::<()>(Err(error)),
        };
        let pull = pin!(streams.pull(self.endpoint.peer(), &token, received, BATCH_BYTES));
        let pulled = match (self.endpoint.cancellable(), self.id) {
            (Some(calls), Some(id)) => calls.run(id, pull).await,
            _ => Some(pull.await),
        };
        match (pulled, self.id) {
            (None, _) => self.cancelled(),
            (Some(Some(Ok(batch))), Some(id)) => {
                if let Err(error) = self.answer.put_batch(id, None, &batch) {
                    // Its items are lost, and an error is the last item.
                    streams.end(self.endpoint.peer(), &token);
                    self.reply::<()>(Err(error));
                }
            }
            // A notification has pulled them, which nobody can read.
            (Some(Some(Ok(_))), None) => {}
            (Some(Some(Err(error))), _) => self.reply::<()>(Err(error)),
            (Some(None), _) => self.reply::<()>(Err(no_stream())),
        }
    }

    /// The arguments of a method of streams.
    fn args_of<A: DeserializeOwned>(&mut self, usage: &str) -> Result<A> {
        self.args().map_err(|error| RpcError::new(error.code(), format!("{}; usage: {usage}", error.message())))
    }

    /// Ends a stream, and returns whether there was one.
    fn end(&mut self, streams: &OpenStreams) -> Result<bool> {
        self.args_of::<End>("[token]").map(|End { token }| streams.end(self.endpoint.peer(), &token))
    }

    /// Calls the method `name`, which streams, and has its items sent.
    async fn subscribe_to(&mut self, name: &str) {
        match self.endpoint.service().services().find(name) {
            Ok(method) if method.streams() && self.is_in_batch() => {
                // Its items could not come behind its own response.
                self.reply::<()>(Err(RpcError::failed_precondition("a subscription can't be in a batch")));
            }
            Ok(method) if method.streams() => {
                self.subscribes = Some(name.to_owned());
                self.dispatch(method).await;
            }
            Ok(_) => {
                let text = format!("{name} replies once, and not with a stream: call it");
                self.reply::<()>(Err(RpcError::invalid_argument(text)));
            }
            Err(unknown) => self.reply::<()>(Err(unknown)),
        }
    }

    /// Replies with `items`: with a part and a token, or with a subscription.
    pub(crate) fn open(&mut self, items: Items) {
        // Nobody can ask for the items of a notification.
        let Some(id) = self.id else { return };
        let Some(streams) = self.endpoint.streams() else { return self.send_items(id, items) };
        let (peer, budget) = (self.endpoint.peer(), self.endpoint.budget());
        let Some(method) = self.subscribes.take() else {
            let opened = streams.open(peer, items, budget).and_then(|(first, token)| {
                self.answer.put_batch(id, token.as_deref(), &first).inspect_err(|_| {
                    token.as_ref().map(|token| streams.end(peer, token));
                })
            });
            return opened.unwrap_or_else(|error| self.reply::<()>(Err(error)));
        };
        let subscribed = streams.keep(peer, items, 0, budget).and_then(|token| {
            let subscription = Subscription { token: token.clone(), method };
            if self.endpoint.subscribe(subscription) {
                return Ok(token);
            }
            streams.end(peer, &token);
            Err(RpcError::failed_precondition(
                "items are sent only over a WebSocket; over HTTP, call the method itself",
            ))
        });
        self.reply(subscribed);
    }

    /// Has the carrier send `items`.
    fn send_items(&mut self, id: &str, items: Items) {
        if self.is_in_batch() || !self.endpoint.send_items(id, items) {
            let text = "the items of a stream can't be sent here, or not in a batch";
            self.reply::<()>(Err(RpcError::failed_precondition(text)));
        }
    }
}

/// The response to the call with the text `id` that has a part of its items, as an array. The carrier says whether more follow.
pub fn items_response(id: &str, batch: &Batch, budget: &Arc<Budget>) -> Result<Encoded> {
    let mut out = MessageBuffer::new(Vec::new(), budget);
    put_head(id, &mut out);
    put_items(batch, &mut out);
    out.push(b'}');
    out.finish()
}

/// The response to the call with the text `id` that has an error.
pub fn error_response(id: &str, error: &RpcError) -> Vec<u8> {
    fault::response(Some(id), &fault::object(error))
}

/// The name of the method that `name` has the `prefix` for.
fn without_prefix(name: &str, prefix: &str) -> Option<String> {
    match name.rsplit_once('.') {
        Some((service, method)) => method.strip_prefix(prefix).map(|method| format!("{service}.{method}")),
        None => name.strip_prefix(prefix).map(str::to_owned),
    }
}
