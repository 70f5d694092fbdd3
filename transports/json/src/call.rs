//! From a message to its answer, through the service.

use std::sync::Arc;

use rpc_core::{Budget, Call, Limit, Result, RpcError, Service, aside, decode_again};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    answer::Answer,
    envelope::{Message, NoRequest, Request, is_deeper},
    fault,
};

/// Runs the requests in `message` and answers them; `None` if they are notifications only.
pub async fn answer<S: Service>(service: &S, message: &[u8], budget: &Arc<Budget>) -> Option<Answer> {
    let mut answer = Answer::new();
    match aside(message.len(), || Message::read(message, budget.limits().batch_calls)) {
        Message::One(request) => run(service, request, &mut answer, budget).await,
        // Batches are rare, so they are boxed and do not enlarge the future of each call.
        Message::Batch(entries) => Box::pin(run_batch(service, entries, &mut answer, budget)).await,
        Message::LongBatch => {
            let error = budget.over(Limit::BatchCalls, "the batch has too many calls");
            answer.put_error(None, &fault::object(&error));
        }
    }
    (!answer.bytes.is_empty()).then_some(answer)
}

/// Runs one request after the other, so that a batch weighs no more than a call.
async fn run_batch<S: Service>(service: &S, entries: Vec<&str>, answer: &mut Answer, budget: &Arc<Budget>) {
    answer.bytes.push(b'[');
    for entry in entries {
        run(service, Request::read(entry), answer, budget).await;
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
) {
    match request {
        Ok(Request { id, method, params }) => {
            let start = answer.bytes.len();
            let mut call = JsonCall { id, params: params.unwrap_or("[]"), answer, start, budget };
            service.dispatch(&method, &mut call).await;
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
