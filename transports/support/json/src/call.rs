//! From a message to its answer, through the service.

use std::sync::Arc;

use everywire_core::{
    Budget, Limit, Result, RpcError, Service,
    wire::{Call, aside, decode_again},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    answer::Answer,
    cancel::{self, Cancellable},
    envelope::{Message, NoRequest, Request, is_deeper},
    fault,
};

/// Runs the requests in `message` and answers them; `None` if they are notifications only.
pub async fn answer<S: Service>(service: &S, message: &[u8], budget: &Arc<Budget>) -> Option<Answer> {
    answer_among(service, message, budget, None).await
}

/// Does the same for a connection that carries several messages at a time. A later message can cancel a call of this one if
/// both get the same `calls`.
pub async fn answer_among<S: Service>(
    service: &S,
    message: &[u8],
    budget: &Arc<Budget>,
    calls: Option<&Cancellable>,
) -> Option<Answer> {
    let mut answer = Answer::new();
    match aside(message.len(), || Message::read(message, budget.limits().batch_calls)) {
        Message::One(request) => run(service, request, &mut answer, budget, calls).await,
        // Batches are rare, so they are boxed and do not enlarge the future of each call.
        Message::Batch(entries) => Box::pin(run_batch(service, entries, &mut answer, budget, calls)).await,
        Message::LongBatch => {
            let error = budget.over(Limit::BatchCalls, "the batch has too many calls");
            answer.put_error(None, &fault::object(&error));
        }
    }
    (!answer.bytes.is_empty()).then_some(answer)
}

/// Runs one request after the other, so that a batch weighs no more than a call.
async fn run_batch<S: Service>(
    service: &S,
    entries: Vec<&str>,
    answer: &mut Answer,
    budget: &Arc<Budget>,
    calls: Option<&Cancellable>,
) {
    answer.bytes.push(b'[');
    for entry in entries {
        run(service, Request::read(entry), answer, budget, calls).await;
    }
    // Section 6: nothing is returned for notifications only.
    if answer.bytes == b"[" {
        answer.bytes.clear();
    } else {
        answer.bytes.push(b']');
    }
}

async fn run<S: Service>(
    service: &S,
    request: Result<Request<'_>, NoRequest<'_>>,
    answer: &mut Answer,
    budget: &Arc<Budget>,
    calls: Option<&Cancellable>,
) {
    match request {
        Ok(Request { id, method, params }) => {
            let (start, params) = (answer.bytes.len(), params.unwrap_or("[]"));
            let mut call = JsonCall { id, params, answer, start, budget };
            match (calls, id) {
                (Some(calls), Some(id)) => {
                    if calls.run(id, service.dispatch(&method, &mut call)).await.is_none() {
                        call.cancelled(id);
                    }
                }
                (Some(calls), None) if method == cancel::METHOD => calls.cancel(params),
                _ => service.dispatch(&method, &mut call).await,
            }
        }
        Err(NoRequest { id, fault }) => answer.put_error(id, &fault.object()),
    }
}

/// A call or a notification. Its reply is appended to the answer.
struct JsonCall<'a> {
    id: Option<&'a str>,
    /// The text of the arguments.
    params: &'a str,
    answer: &'a mut Answer,
    /// Where its response begins in the answer.
    start: usize,
    budget: &'a Arc<Budget>,
}

impl JsonCall<'_> {
    fn cancelled(&mut self, id: &str) {
        self.answer.bytes.truncate(self.start);
        self.answer.put_error(Some(id), &fault::request_cancelled());
    }
}

impl Call for JsonCall<'_> {
    type Reply = ();

    fn args<A: DeserializeOwned>(&mut self) -> Result<A> {
        if is_deeper(self.params, self.budget.limits().depth) {
            return Err(self.budget.over(Limit::Depth, "the arguments nest too deep"));
        }
        serde_json::from_str(self.params)
            .or_else(|_| decode_again(&mut serde_json::Deserializer::from_str(self.params)))
            .map_err(without_position)
    }

    fn args_bytes(&self) -> usize {
        self.params.len()
    }

    fn reply<R: Serialize>(&mut self, outcome: Result<R>) {
        // A reply that panicked has left its beginning.
        self.answer.bytes.truncate(self.start);
        match (self.id, outcome) {
            (Some(id), Ok(reply)) => self.answer.put_result(id, &reply, self.budget),
            (Some(id), Err(error)) => self.answer.put_error(Some(id), &fault::object(&error)),
            (None, Ok(_)) => {}
            (None, Err(error)) => tracing::debug!(%error, "a notification failed"),
        }
    }
}

/// The error without `serde_json`'s line and column, which count from the start of `params` and not of the request.
fn without_position(error: RpcError) -> RpcError {
    match error.message().rsplit_once(" at line ") {
        Some((message, _)) => RpcError::invalid_argument(message),
        None => error,
    }
}
