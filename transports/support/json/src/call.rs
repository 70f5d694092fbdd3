//! From a message to its answer, through the service.

use std::{pin::pin, sync::Arc, time::Instant};

use everywire_core::{
    Budget, Context, Limit, Peer, Result, RpcError, Service, Streaming,
    descriptor::Method,
    wire::{Call, Encoded, LazyContext, decode_again, offload},
};
use everywire_net::pull::{Items, OpenStreams};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::{
    answer::{Answer, put_item},
    cancel::{CANCEL, Cancellable},
    context,
    envelope::{InvalidRequest, Request, Requests, is_deeper},
    fault,
    streams::Subscription,
};

/// The destination of the requests on one connection.
pub trait Endpoint: Sync {
    /// The type of the service.
    type Service: Service;

    /// The service.
    fn service(&self) -> &Self::Service;

    /// The limits, and the current usage.
    fn budget(&self) -> &Arc<Budget>;

    /// The calls that later messages can cancel, on a connection that carries several messages at a time.
    fn cancellable(&self) -> Option<&Cancellable> {
        None
    }

    /// The caller.
    fn peer(&self) -> &Peer;

    /// How many bytes the carrier keeps for each call and counts nowhere else, such as headers.
    fn header_bytes(&self) -> usize {
        0
    }

    /// When the carrier says that the caller no longer wants the reply.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Whether the carrier may have delivered the message to a server before.
    fn is_redelivered(&self) -> bool {
        false
    }

    /// Reads what the carrier says of a call's trace and metadata.
    fn read_context(&self, _cx: &mut Context) -> Result<()> {
        Ok(())
    }

    /// Whether requests have metadata of their own. Not where the carrier has a place for it: what stands between client and server
    /// may look there, and nowhere else.
    fn takes_metadata(&self) -> bool {
        false
    }

    /// Where streams are kept until the caller asks for their items; none if the carrier has no streams.
    fn streams(&self) -> Option<&Arc<OpenStreams>> {
        None
    }

    /// Begins to send the items of a subscription after the response that names it. Returns false if the carrier can't.
    fn subscribe(&self, _subscription: Subscription) -> bool {
        false
    }

    /// Begins to send the items that are the reply to the call with the text `id`, where [`streams`](Self::streams) are not kept.
    /// Returns false if the carrier can't.
    fn send_items(&self, _id: &str, _items: Items) -> bool {
        false
    }

    /// The outcome of a call that does not reach the service: that of a method of the server itself, or an error while no method
    /// may be called.
    fn answer_itself(&self, _method: &str) -> Option<Result<&RawValue>> {
        None
    }
}

/// A service and its budget only.
struct Plain<'a, S> {
    service: &'a S,
    budget: &'a Arc<Budget>,
}

impl<S: Service> Endpoint for Plain<'_, S> {
    type Service = S;

    fn service(&self) -> &S {
        self.service
    }

    fn budget(&self) -> &Arc<Budget> {
        self.budget
    }

    fn peer(&self) -> &Peer {
        &Peer::LOCAL
    }
}

/// Runs the requests in `message` and answers them; `None` if they are notifications only.
pub async fn answer<S: Service>(service: &S, message: &[u8], budget: &Arc<Budget>) -> Option<Encoded> {
    answer_at(&Plain { service, budget }, message).await
}

/// Does the same for requests to an endpoint.
pub async fn answer_at<E: Endpoint>(endpoint: &E, message: &[u8]) -> Option<Encoded> {
    let budget = endpoint.budget();
    let mut answer = Answer::new(budget);
    match offload(message.len(), || Requests::read(message, budget.limits().batch_calls)) {
        Requests::One(request) => run(endpoint, request, &mut answer).await,
        // Batches are rare, so they are boxed and do not enlarge the future of each call.
        Requests::Batch(entries) => Box::pin(run_batch(endpoint, entries, &mut answer)).await,
        Requests::LongBatch => {
            let error = budget.exceeded(Limit::BatchCalls, "the batch has too many calls");
            answer.put_error(None, &fault::object(&error));
        }
    }
    answer.finish()
}

/// Runs one request after the other, so that a batch weighs no more than a call.
async fn run_batch<E: Endpoint>(endpoint: &E, entries: Vec<&str>, answer: &mut Answer<'_>) {
    answer.open_batch();
    for entry in entries {
        run(endpoint, Request::read(entry), answer).await;
    }
    answer.close_batch();
}

async fn run<E: Endpoint>(endpoint: &E, request: Result<Request<'_>, InvalidRequest<'_>>, answer: &mut Answer<'_>) {
    let Request { id, method, params, members } = match request {
        Ok(request) => request,
        Err(InvalidRequest { id, fault }) => return answer.put_error(id, &fault.object()),
    };
    let params = params.unwrap_or("[]");
    if let (Some(calls), None, CANCEL) = (endpoint.cancellable(), id, &*method) {
        return calls.cancel(params);
    }
    let start = answer.len();
    let mut call =
        JsonCall { endpoint, id, params, members, context: LazyContext::default(), start, answer, subscribes: None };
    if let Some(outcome) = endpoint.answer_itself(&method) {
        return call.reply(outcome);
    }
    match endpoint.service().services().find(&method) {
        Ok(method) => call.dispatch(method).await,
        Err(unknown) => Box::pin(call.run_without_service(&method, unknown)).await,
    }
}

/// A call or a notification. Its reply is appended to the answer.
pub(crate) struct JsonCall<'a, 'b, E> {
    pub(crate) endpoint: &'a E,
    pub(crate) id: Option<&'a str>,
    /// The text of the arguments.
    pub(crate) params: &'a str,
    members: Option<Box<context::Members<'a>>>,
    context: LazyContext,
    pub(crate) answer: &'a mut Answer<'b>,
    /// Where its response begins in the answer.
    start: usize,
    /// The method whose items the caller subscribes to.
    pub(crate) subscribes: Option<String>,
}

impl<E: Endpoint> JsonCall<'_, '_, E> {
    /// Has the service run `method`, unless the caller cancels the call.
    #[inline]
    pub(crate) async fn dispatch(&mut self, method: &'static Method) {
        let (endpoint, id) = (self.endpoint, self.id);
        let is_cancelled = {
            let running = pin!(endpoint.service().dispatch(method, &mut *self));
            if let (Some(calls), Some(id)) = (endpoint.cancellable(), id) {
                calls.run(id, running).await.is_none()
            } else {
                running.await;
                false
            }
        };
        if is_cancelled {
            self.cancelled();
        }
    }

    /// Whether other responses stand before its own.
    pub(crate) fn is_in_batch(&self) -> bool {
        self.start > 0
    }

    pub(crate) fn cancelled(&mut self) {
        self.answer.truncate(self.start);
        self.answer.put_error(self.id, &fault::request_cancelled());
    }
}

impl<E: Endpoint> Call for JsonCall<'_, '_, E> {
    type Reply = ();

    fn args<A: DeserializeOwned>(&mut self) -> Result<A> {
        let budget = self.endpoint.budget();
        if is_deeper(self.params, budget.limits().depth) {
            return Err(budget.exceeded(Limit::Depth, "the arguments nest too deep"));
        }
        serde_json::from_str(self.params)
            .or_else(|_| decode_again(&mut serde_json::Deserializer::from_str(self.params)))
            .map_err(without_position)
    }

    fn args_bytes(&self) -> usize {
        self.params.len()
    }

    fn header_bytes(&self) -> usize {
        self.endpoint.header_bytes()
    }

    fn deadline(&self) -> Option<Instant> {
        let own = self.members.as_ref().and_then(|members| members.deadline);
        [own, self.endpoint.deadline()].into_iter().flatten().min()
    }

    fn is_redelivered(&self) -> bool {
        self.endpoint.is_redelivered()
    }

    fn context(&mut self) -> Result<&mut Context> {
        let deadline = self.deadline();
        let Self { endpoint, members, context, .. } = self;
        context.get(endpoint.peer(), |cx| {
            cx.deadline = deadline;
            endpoint.read_context(cx)?;
            members.as_ref().map_or(Ok(()), |members| members.read(cx, endpoint.takes_metadata()))
        })
    }

    fn reply<R: Serialize>(&mut self, outcome: Result<R>) {
        // Encoding a reply may have panicked and left its beginning.
        self.answer.truncate(self.start);
        match (self.id, outcome) {
            (Some(id), Ok(reply)) => self.answer.put_result(id, &reply),
            (Some(id), Err(error)) => self.answer.put_error(Some(id), &fault::object(&error)),
            (None, Ok(_)) => {}
            (None, Err(error)) => tracing::debug!(%error, "a notification failed"),
        }
    }

    fn stream<R: Serialize + Send + 'static>(&mut self, method: &'static Method, items: Streaming<R>) {
        self.answer.truncate(self.start);
        let budget = Arc::clone(self.endpoint.budget());
        self.open(Items::new(method, items, move |item, out| put_item(item, out, &budget)));
    }
}

/// The error without `serde_json`'s line and column, which count from the start of `params` and not of the request.
fn without_position(error: RpcError) -> RpcError {
    match error.message().rsplit_once(" at line ") {
        Some((message, _)) => RpcError::invalid_argument(message),
        None => error,
    }
}
