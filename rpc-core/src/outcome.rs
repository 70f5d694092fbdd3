//! The types in the methods of a service's trait: what they take and what they return.

use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    client::Caller,
    context::Context,
    descriptor::Method,
    error::Result,
    offload::{LONG_BYTES, offload_if},
    service::{Call, catch_panic},
    streaming::Streaming,
    weight::is_heavier,
};

/// An argument of a method, or what it replies: a type of serde that has a schema.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be an argument or a reply: it needs `Serialize`, `Deserialize` and `JsonSchema`",
    label = "not serializable",
    note = "a type of your own has them with #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]",
    note = "those of other crates often have features called `serde` and `schemars1`",
    note = "the context of a call is taken as the first parameter, `cx: &Context`"
)]
pub trait Value: Serialize + DeserializeOwned + JsonSchema {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + JsonSchema> Value for T {}

/// Compiles if `T` can be an argument.
#[derive(Debug)]
pub struct Argument<T: Value>(PhantomData<T>);

impl<T: Value> Argument<T> {
    /// The check.
    pub const CHECKED: Self = Self(PhantomData);
}

/// Compiles if `T` can be what a method returns.
#[derive(Debug)]
pub struct Returned<T: Outcome>(PhantomData<T>);

impl<T: Outcome> Returned<T> {
    /// The check.
    pub const CHECKED: Self = Self(PhantomData);
}

/// What a method returns: [`Result<T>`](crate::Result) or `Result<Streaming<T>>`, under any alias. It knows how a server sends it, and
/// how a client gets it.
#[diagnostic::on_unimplemented(
    message = "a method returns `everywire::Result<T>`, where `T` is `Send`, `Serialize`, `Deserialize` and `JsonSchema`; this is `{Self}`",
    label = "not an outcome",
    note = "a type of your own is serializable with #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]",
    note = "a reply of many items is `everywire::Result<Streaming<T>>`",
    note = "every remote call can fail, so the error is a part of the signature, and always `everywire::RpcError`"
)]
pub trait Outcome: Sized {
    /// The `T`.
    type Reply: Value;

    /// Whether it is many of them.
    const STREAMS: bool = false;

    /// Has `call`, a call of `method`, encode this.
    fn send<C: Call>(self, method: &'static Method, call: &mut C) -> C::Reply;

    /// Calls `method` through `caller`.
    fn ask<C: Caller, A: Serialize + Send + Sync>(
        caller: &C,
        method: &'static Method,
        cx: &Context,
        args: &A,
    ) -> impl Future<Output = Self> + Send;
}

#[diagnostic::do_not_recommend]
impl<T: Value + Send> Outcome for Result<T> {
    type Reply = T;

    #[inline]
    fn send<C: Call>(self, method: &'static Method, call: &mut C) -> C::Reply {
        // The reply's own `Serialize` may panic.
        let encode = || {
            let long = self.as_ref().is_ok_and(|reply| is_heavier(reply, LONG_BYTES));
            offload_if(long, || call.reply(self))
        };
        catch_panic(method, encode).unwrap_or_else(|panic| call.reply::<()>(Err(panic)))
    }

    fn ask<C: Caller, A: Serialize + Send + Sync>(
        caller: &C,
        method: &'static Method,
        cx: &Context,
        args: &A,
    ) -> impl Future<Output = Self> + Send {
        caller.call(method, cx, args)
    }
}

#[diagnostic::do_not_recommend]
impl<T: Value + Send + 'static> Outcome for Result<Streaming<T>> {
    type Reply = T;

    const STREAMS: bool = true;

    fn send<C: Call>(self, method: &'static Method, call: &mut C) -> C::Reply {
        let deadline = call.deadline();
        match self.and_then(|items| Ok(items.served(method, deadline, call.context()?))) {
            Ok(items) => call.stream(method, items),
            Err(error) => call.reply::<()>(Err(error)),
        }
    }

    fn ask<C: Caller, A: Serialize + Send + Sync>(
        caller: &C,
        method: &'static Method,
        cx: &Context,
        args: &A,
    ) -> impl Future<Output = Self> + Send {
        caller.stream(method, cx, args)
    }
}
