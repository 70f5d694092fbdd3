//! Services around services: what happens before, around and after every call.
//!
//! A layer is a service that has another one inside: it implements [`Service`] by calling the inner one's `dispatch`. It may look
//! at the call's [context](crate::wire::Call::context) and change it, answer by itself with
//! [`call.reply`](crate::wire::Call::reply), or wait. Most layers only look at a call before it begins: [`before`] makes one of a
//! function.
//!
//! ```
//! # use everywire_core::{Context, Result, RpcError, Server, descriptor::Method, layer};
//! # fn server(service: impl everywire_core::Service) {
//! let server = Server::new(service).layer(layer::before(|cx: Context, method: &'static Method| async move {
//!     match cx.metadata.get("authorization") {
//!         Some("Bearer secret") => Ok(cx),
//!         _ => Err(RpcError::unauthenticated(format!("{} needs a token", method.name()))),
//!     }
//! }));
//! # }
//! ```
//!
//! # The order
//! A call passes, from the outside to the inside:
//! 1. [`AtMostOnce`], on a wire that may deliver a request again;
//! 2. the count of the calls of its connection that [wait](crate::wire::Waiting);
//! 3. [`Limited`]: the number of calls, the time that a call may take, its caller's deadline, the end of a shutdown;
//! 4. the layers that were added with [`Server::layer`](crate::Server::layer), the last one first;
//! 5. the decoding of the arguments, and the method.
//!
//! A layer does not see the end of a call that is cancelled or whose time is over: its future is dropped then. It sees no call of
//! a method that does not exist, nor what wires answer themselves, such as introspection, health and reflection.
//!
//! Each layer makes the type of the server longer. If the compiler says `queries overflow the depth limit`, put
//! `#![recursion_limit = "256"]` at the top of your crate.
//!
//! # Clients
//! A layer around a client is a [`Caller`](crate::Caller) that has another one inside.

use std::fmt;

use crate::{
    context::Context,
    descriptor::{Method, Services},
    error::Result,
    service::{Call, Service, caught},
};

pub use crate::{at_most_once::AtMostOnce, limited::Limited};

/// A layer that runs `check` before each call. The call continues with the context that it returns, or is answered with its error.
///
/// A deadline that `check` changes holds for the calls that the method makes; how long the method itself may run was decided before.
pub fn before<S, F>(check: F) -> impl FnOnce(S) -> Before<S, F> {
    |service| Before { service, check }
}

/// A service with a check before each call, made by [`before`].
pub struct Before<S, F> {
    service: S,
    check: F,
}

impl<S, F, C> Service for Before<S, F>
where
    S: Service,
    F: Fn(Context, &'static Method) -> C + Send + Sync + 'static,
    C: Future<Output = Result<Context>> + Send,
{
    fn services(&self) -> &Services {
        self.service.services()
    }

    async fn dispatch<T: Call>(&self, method: &'static Method, call: &mut T) -> T::Reply {
        let checked = async {
            let received = call.context()?.clone();
            let checked = (self.check)(received, method).await?;
            let context = call.context()?;
            *context = checked.received_as(context);
            Ok(())
        };
        match caught(method, checked).await {
            Ok(()) => self.service.dispatch(method, call).await,
            Err(rejected) => call.reply::<()>(Err(rejected)),
        }
    }
}

impl<S: fmt::Debug, F> fmt::Debug for Before<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Before").field("service", &self.service).finish_non_exhaustive()
    }
}
