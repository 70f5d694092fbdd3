//! Replies of many items, for which the caller asks with `stream.next`.

use everywire_core::{
    Context, DEFAULT_TIMEOUT, Result,
    wire::{Call, Encoded, Outgoing},
};
use everywire_net::{
    Http1Client,
    pull::{BATCH_BYTES, Items, Part, Pull, no_stream, response_in_time},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    call::XmlrpcCall,
    client::post,
    schema::{ABORT, NEXT},
};

/// The arguments of `stream.next`.
#[derive(Serialize, Deserialize)]
struct Next<T> {
    token: T,
    received: u64,
}

/// The argument of `stream.abort`.
#[derive(Serialize, Deserialize)]
struct Abort<T> {
    token: T,
}

impl XmlrpcCall<'_> {
    /// Replies with the first of `items`, and with a token for the others.
    pub(crate) fn open(&mut self, items: Items) -> Encoded {
        let (frame, around) = (self.frame(), self.around);
        let Some(streams) = around.streams else { return self.reply::<()>(Err(no_stream())) };
        let opened = streams.open(around.peer, items, around.budget);
        opened
            .and_then(|(first, token)| {
                frame.batch(token.as_deref(), &first, around.budget).inspect_err(|_| {
                    token.as_ref().map(|token| streams.end(around.peer, token));
                })
            })
            .unwrap_or_else(|error| self.reply::<()>(Err(error)))
    }

    /// Waits for the next items of a stream.
    pub(crate) async fn next(&mut self) -> Encoded {
        let (frame, around) = (self.frame(), self.around);
        let next = match self.args::<Next<String>>() {
            Ok(next) => next,
            Err(error) => return self.reply::<()>(Err(error)),
        };
        let pulled = match around.streams {
            Some(streams) => streams.pull(around.peer, &next.token, Some(next.received), BATCH_BYTES).await,
            None => None,
        };
        let batch = pulled.unwrap_or_else(|| Err(no_stream()));
        batch
            .and_then(|batch| {
                // Its items would be lost, and an error is the last item.
                frame.batch(None, &batch, around.budget).inspect_err(|_| {
                    around.streams.map(|streams| streams.end(around.peer, &next.token));
                })
            })
            .unwrap_or_else(|error| self.reply::<()>(Err(error)))
    }

    /// Ends a stream, and replies whether there was one.
    pub(crate) fn end(&mut self) -> Encoded {
        let around = self.around;
        let end =
            |Abort { token }: Abort<String>| around.streams.is_some_and(|streams| streams.end(around.peer, &token));
        let ended = self.args().map(end);
        self.reply(ended)
    }
}

/// A stream that a client reads. Each pull is a call.
pub(crate) struct Pulling {
    pub(crate) http: Http1Client,
    pub(crate) cx: Context,
}

impl Pull for Pulling {
    type Token = String;

    async fn pull<R: DeserializeOwned + Send>(&self, token: &String, received: u64) -> Result<Part<R, String>> {
        let outgoing = Outgoing::new(&self.cx, DEFAULT_TIMEOUT);
        let args = Next { token, received };
        let response = post(&self.http, NEXT, &args, outgoing);
        response_in_time(self.http.address(), response).await
    }

    async fn end(&self, token: &String) {
        let outgoing = Outgoing::new(&self.cx, DEFAULT_TIMEOUT);
        let args = Abort { token };
        let response = post::<_, bool>(&self.http, ABORT, &args, outgoing);
        // A server that can't be reached ends the stream by itself.
        let _ = response_in_time(self.http.address(), response).await;
    }
}
