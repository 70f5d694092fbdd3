//! One request from its document to the document of its response.

use std::{borrow::Cow, sync::Arc, time::Instant};

use everywire_core::{
    Budget, Code, Context, Limit, Peer, Result, RpcError, Service, Streaming,
    descriptor::Method,
    wire::{Call, Encoded, LazyContext, MessageBuffer, decode_again, offload},
};
use everywire_net::{
    context,
    pull::{Items, OpenStreams},
};
use http::HeaderMap;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    codec::{BatchParams, Error, Kind, Nil, Params, Parser, RawValue, Value},
    envelope::{self, Frame},
    schema,
};

/// What stands around the document of a request.
#[derive(Clone, Copy)]
pub(crate) struct Around<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) deadline: Option<Instant>,
    pub(crate) peer: &'a Peer,
    /// How nil is written in the reply.
    pub(crate) nil: Nil,
    pub(crate) budget: &'a Arc<Budget>,
    /// Where streams are kept until the caller asks for their items.
    pub(crate) streams: Option<&'a Arc<OpenStreams>>,
}

impl<'a> Around<'a> {
    /// Of a document that arrives without a connection. Its headers are `headers`, which has none.
    pub(crate) fn nothing(headers: &'a HeaderMap, nil: Nil, budget: &'a Arc<Budget>) -> Self {
        Self { headers, deadline: None, peer: &Peer::LOCAL, nil, budget, streams: None }
    }
}

/// Answers the request in `document`. A request that uses nil itself reads it too.
pub(crate) async fn answer<S: Service>(service: &S, document: &str, around: Around<'_>) -> Encoded {
    let around = Around { nil: around.nil.or_used_in(document), ..around };
    let budget = around.budget;
    match envelope::read_method(document, budget.limits().depth) {
        Err(error) => fault(Frame::Response, error, budget),
        Ok((method, parser)) if method == schema::MULTICALL => multicall(service, parser, document.len(), around).await,
        Ok((method, parser)) => {
            let source = Source::Request { document, parser: Some(parser) };
            dispatch(service, &method, &mut XmlrpcCall::new(source, around)).await
        }
    }
}

/// Makes the fault for a document, or a part of one, that can't be read, and notes the limit that it met.
pub(crate) fn fault(frame: Frame, error: Error, budget: &Arc<Budget>) -> Encoded {
    if let Some(limit) = error.kind().limit() {
        budget.record(limit, &error);
    }
    frame.fault(error, budget)
}

/// Runs calls one after another and collects their outcomes in order. A call that fails leaves the others alone.
async fn multicall<S: Service>(service: &S, parser: Parser<'_>, length: usize, around: Around<'_>) -> Encoded {
    let budget = around.budget;
    let limits = budget.limits();
    let (calls,): (Vec<RawValue<'_>>,) = match offload(length, || envelope::read_params(parser)) {
        Ok(calls) => calls,
        Err(error) => return fault(Frame::Response, error, budget),
    };
    if calls.len() > limits.batch_calls {
        let many = format_args!("a multicall of {} calls", calls.len());
        return Frame::Response.fault(budget.exceeded(Limit::BatchCalls, many), budget);
    }
    let mut out = MessageBuffer::new(envelope::multicall_start(), budget);
    for RawValue(call) in calls {
        let result = if out.len() > limits.message_bytes {
            let error = budget.exceeded(Limit::MessageBytes, "the results before this call fill the response");
            Frame::Batch.fault(error, budget)
        } else {
            sub_call(service, call, around).await
        };
        out.extend_from_slice(&result);
    }
    out.extend_from_slice(envelope::MULTICALL_END);
    out.finish().unwrap_or_else(|full| Frame::Response.fault(full, budget))
}

/// Runs one call of a `system.multicall`. A call that can't be read gets a fault of its own.
async fn sub_call<S: Service>(service: &S, call: &str, around: Around<'_>) -> Encoded {
    let budget = around.budget;
    let SubCall { method_name, params } = match SubCall::read(call, budget.limits().depth) {
        Ok(call) => call,
        Err(error) => return fault(Frame::Batch, error, budget),
    };
    if method_name.trim() == schema::MULTICALL {
        return Frame::Batch.fault(RpcError::invalid_argument("a multicall inside a multicall is rejected"), budget);
    }
    let source = Source::Batch { params: params.0 };
    dispatch(service, method_name.trim(), &mut XmlrpcCall::new(source, around)).await
}

/// One call of a `system.multicall`, its parameters left as they stand until it is their turn.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SubCall<'a> {
    #[serde(borrow)]
    method_name: Cow<'a, str>,
    /// Empty if there are none.
    #[serde(borrow, default)]
    params: RawValue<'a>,
}

impl<'a> SubCall<'a> {
    fn read(call: &'a str, depth: usize) -> Result<Self, Error> {
        Self::deserialize(Value::new(&mut Parser::new(call, depth))).map_err(|error| match error.kind() {
            Kind::Type => {
                Error::new(Kind::Structure, format!("a call in a batch is a struct of methodName and params: {error}"))
            }
            _ => error,
        })
    }
}

async fn dispatch<S: Service>(service: &S, method: &str, call: &mut XmlrpcCall<'_>) -> Encoded {
    let services = service.services();
    if method.starts_with("system.") {
        return schema::answer(services, method, call);
    }
    match services.find(method) {
        Ok(method) => service.dispatch(method, call).await,
        // Rare, so they do not enlarge the future of each call.
        Err(_) if method == schema::NEXT => Box::pin(call.next()).await,
        Err(_) if method == schema::ABORT => call.end(),
        Err(unknown) => call.reply::<()>(Err(unknown)),
    }
}

/// One call, read as far as the name of its method.
pub(crate) struct XmlrpcCall<'a> {
    source: Source<'a>,
    pub(crate) around: Around<'a>,
    context: LazyContext,
    /// What is wrong with the document, if that is why the arguments can't be read.
    broken: Option<Error>,
}

enum Source<'a> {
    /// A request of its own; `parser` stands before the parameters.
    Request { document: &'a str, parser: Option<Parser<'a>> },
    /// A call inside `system.multicall`; `params` is a `<value>`, or nothing.
    Batch { params: &'a str },
}

impl<'a> XmlrpcCall<'a> {
    fn new(source: Source<'a>, around: Around<'a>) -> Self {
        Self { source, around, context: LazyContext::default(), broken: None }
    }

    fn decode<A: Deserialize<'a>>(&mut self) -> Result<A, Error> {
        match &mut self.source {
            Source::Request { document, parser } => match parser.take() {
                Some(parser) => envelope::read_params(parser),
                None => envelope::read_params(envelope::read_method(document, self.depth())?.1),
            },
            Source::Batch { params } => A::deserialize(BatchParams::new(params, self.around.budget.limits().depth)),
        }
    }

    /// Decodes the arguments a second time, leniently, unless the document is broken further on.
    fn decode_again<A: DeserializeOwned>(&self) -> Result<Result<A>, Error> {
        match self.source {
            Source::Request { document, .. } => {
                envelope::read_method(document, self.depth())?.1.skip_to_end()?;
                let (_, mut parser) = envelope::read_method(document, self.depth())?;
                Ok(decode_again(Params(&mut parser)))
            }
            Source::Batch { params } => Ok(decode_again(BatchParams::new(params, self.depth()))),
        }
    }

    fn depth(&self) -> usize {
        self.around.budget.limits().depth
    }

    pub(crate) fn frame(&self) -> Frame {
        match self.source {
            Source::Request { .. } => Frame::Response,
            Source::Batch { .. } => Frame::Batch,
        }
    }
}

impl Call for XmlrpcCall<'_> {
    type Reply = Encoded;

    fn args<A: DeserializeOwned>(&mut self) -> Result<A> {
        let error = match self.decode() {
            Ok(args) => return Ok(args),
            Err(error) => error,
        };
        let again = if error.kind() == Kind::Type { self.decode_again() } else { Err(error) };
        again.unwrap_or_else(|broken| {
            let message = broken.to_string();
            if let Some(limit) = broken.kind().limit() {
                self.around.budget.record(limit, &broken);
            }
            self.broken = Some(broken);
            Err(RpcError::new(Code::Internal, message))
        })
    }

    fn args_bytes(&self) -> usize {
        match self.source {
            Source::Request { document: text, .. } | Source::Batch { params: text } => text.len(),
        }
    }

    fn header_bytes(&self) -> usize {
        context::bytes(self.around.headers)
    }

    fn deadline(&self) -> Option<Instant> {
        self.around.deadline
    }

    fn context(&mut self) -> Result<&mut Context> {
        let Around { headers, deadline, peer, .. } = self.around;
        self.context.get(peer, |cx| {
            cx.deadline = deadline;
            context::read(headers, cx)
        })
    }

    fn reply<R: Serialize>(&mut self, outcome: Result<R>) -> Encoded {
        let (frame, budget) = (self.frame(), self.around.budget);
        if let Some(broken) = self.broken.take() {
            return frame.fault(broken, budget);
        }
        outcome
            .and_then(|reply| frame.reply(&reply, self.around.nil, budget))
            .unwrap_or_else(|error| frame.fault(error, budget))
    }

    fn stream<R: Serialize + Send + 'static>(&mut self, method: &'static Method, items: Streaming<R>) -> Encoded {
        let nil = self.around.nil;
        self.open(Items::new(method, items, move |item, out| envelope::put_value(item, nil, out)))
    }
}
