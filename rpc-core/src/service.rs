//! The server side of one service, and one request to it.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use futures_util::FutureExt;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    arguments::Arguments,
    context::Context,
    descriptor::{Method, Services},
    error::{Code, Result, RpcError},
    offload::offload,
    outcome::Outcome,
    streaming::Streaming,
};

/// Methods that can be called by name. `#[service]` writes it for a trait.
pub trait Service: Send + Sync + 'static {
    /// The names, types and documentation of the service, or of several.
    fn services(&self) -> &Services;

    /// Runs `method`, which is one of theirs, with the arguments of `call`, and has `call` encode the outcome.
    ///
    /// A wire looks the method up once, with [`Services::find`], and rejects an unknown one itself.
    /// Never panics: a panic in the method becomes an `INTERNAL` error.
    fn dispatch<C: Call>(&self, method: &'static Method, call: &mut C) -> impl Future<Output = C::Reply> + Send;
}

impl<S: Service> Service for Arc<S> {
    fn services(&self) -> &Services {
        (**self).services()
    }

    fn dispatch<C: Call>(&self, method: &'static Method, call: &mut C) -> impl Future<Output = C::Reply> + Send {
        (**self).dispatch(method, call)
    }
}

/// One request as its wire received it: a codec of two functions.
///
/// # Notes for implementers
/// Dispatch is static: [`args`](Self::args) decodes the wire's bytes straight into the arguments' struct, and
/// [`reply`](Self::reply) encodes the reply without a tree of values in between.
pub trait Call: Send {
    /// What the wire sends back.
    type Reply: Send + 'static;

    /// Decodes the arguments; called at most once.
    ///
    /// `A` is a struct whose fields are the arguments, to be read by position or by name. If that fails,
    /// [`decode_again`](crate::wire::decode_again) reads them leniently or makes the error.
    fn args<A: DeserializeOwned>(&mut self) -> Result<A>;

    /// How many bytes [`args`](Self::args) decodes. Decoding many is [offloaded](crate::wire::offload), as is encoding a long
    /// reply. By default decoding is not.
    fn args_bytes(&self) -> usize {
        0
    }

    /// How many bytes the call keeps until it ends that nothing else counts, such as its headers. Asked for calls that
    /// [wait](Method::waits), of which there may be many; they count as [`buffered_bytes`](crate::Limits::buffered_bytes).
    fn header_bytes(&self) -> usize {
        0
    }

    /// When the caller no longer wants the reply; none if it did not say. Asked once for each call, so it costs little. Then
    /// the call is ended.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Whether the request may have been at a server before. [`AtMostOnce`](crate::layer::AtMostOnce) asks this. On most wires it
    /// can't have been.
    fn is_redelivered(&self) -> bool {
        false
    }

    /// What travels with the call besides its arguments. Read when somebody asks for the first time, mostly by a
    /// [`LazyContext`](crate::wire::LazyContext); an error if it is over a limit.
    fn context(&mut self) -> Result<&mut Context>;

    /// Encodes the outcome, reply or error. Called once, or again with an error if the first call panicked.
    fn reply<R: Serialize>(&mut self, outcome: Result<R>) -> Self::Reply;

    /// Encodes the reply to a call of `method` of many items, each by [`encode_item`](crate::wire::encode_item). Called only on a wire that
    /// [has streams](crate::wire::Protocol::STREAMS). The items end by themselves at the call's deadline and at the end of the server;
    /// drop them when the peer wants no more.
    fn stream<R: Serialize + Send + 'static>(&mut self, _method: &'static Method, _items: Streaming<R>) -> Self::Reply {
        self.reply::<()>(Err(RpcError::unimplemented("this wire has no streams")))
    }
}

/// Runs one method: decodes its arguments, calls it and encodes the outcome. Called by generated code.
pub async fn invoke<C, A, O, F>(method: &'static Method, call: &mut C, run: impl FnOnce(A) -> F + Send) -> C::Reply
where
    C: Call,
    A: DeserializeOwned + Send,
    O: Outcome,
    F: Future<Output = O> + Send,
{
    let outcome = caught(method, async { Ok(run(args(method, call)?).await) }).await;
    send(outcome, method, call)
}

/// Runs one method that takes the context of its call. Called by generated code.
pub async fn invoke_with_context<C, A, O, F>(
    method: &'static Method,
    call: &mut C,
    run: impl FnOnce(A, Context) -> F + Send,
) -> C::Reply
where
    C: Call,
    A: DeserializeOwned + Send,
    O: Outcome,
    F: Future<Output = O> + Send,
{
    let running = async {
        let args = args(method, call)?;
        Ok(run(args, call.context()?.clone()).await)
    };
    let outcome = caught(method, running).await;
    send(outcome, method, call)
}

/// Has `call` encode what a method returned, or why it did not run to its end.
#[inline]
fn send<C: Call>(outcome: Result<impl Outcome>, method: &'static Method, call: &mut C) -> C::Reply {
    match outcome {
        Ok(outcome) => outcome.send(method, call),
        Err(error) => call.reply::<()>(Err(error)),
    }
}

fn args<C: Call, A: DeserializeOwned>(method: &Method, call: &mut C) -> Result<A> {
    let args = offload(call.args_bytes(), || call.args());
    args.map(|Arguments(args)| args).map_err(|error| explain(method, error))
}

/// The outcome of `running`; a panic in it is an `INTERNAL` error.
pub(crate) async fn caught<T>(method: &Method, running: impl Future<Output = Result<T>>) -> Result<T> {
    let outcome = AssertUnwindSafe(running).catch_unwind().await;
    outcome.unwrap_or_else(|panic| Err(panicked(method, panic.as_ref())))
}

/// Replies to a call of another service's method, which no wire makes. Called by generated code.
pub fn foreign_method<C: Call>(services: &Services, method: &Method, call: &mut C) -> C::Reply {
    call.reply::<()>(Err(services.unknown(method.name())))
}

/// Adds the method's signature to the error of arguments that do not fit.
fn explain(method: &Method, error: RpcError) -> RpcError {
    if error.code() != Code::InvalidArgument {
        return error;
    }
    RpcError::invalid_argument(format!("{}; usage: {}", error.message(), method.signature()))
}

/// Runs `f`; a panic in it is an `INTERNAL` error.
#[inline]
pub(crate) fn catch_panic<T>(method: &Method, f: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|panic| panicked(method, panic.as_ref()))
}

fn panicked(method: &Method, panic: &(dyn Any + Send)) -> RpcError {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    RpcError::internal(format_args!("{} panicked: {text}", method.path()))
}
