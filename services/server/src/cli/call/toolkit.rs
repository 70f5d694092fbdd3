//! Calls of the service that this program knows.
//!
//! A client is a [`Toolkit`](everywire_toolkit::Toolkit), so it can be served like one, in memory. The service's own decoding
//! checks the arguments, and a reply looks the same over every wire.

use everywire::{Caller, Context, Result, Streaming, descriptor::Method, memory};
use everywire_toolkit::{ToolkitClient, ToolkitService};
use serde_json::Value;

use crate::cli::remote::{self, Arguments, Wire};

/// The method of the toolkit that is called `name`, here or in paths.
pub(super) fn method(name: &str) -> Option<&'static Method> {
    let service = ToolkitService::descriptor();
    service.methods().iter().find(|method| [method.name(), method.camel_name()].contains(&name))
}

/// Whether the server serves the toolkit, as far as it describes `method`.
pub(super) fn is_served_as(described: &remote::method::Method, method: &Method, wire: Wire) -> bool {
    match wire {
        // The only wire whose names of arguments are in a text.
        Wire::Xmlrpc => described.docs.lines().next() == Some(method.signature()),
        _ => described.has_names_of(method) && described.docs == method.docs(),
    }
}

/// Calls a method of the toolkit, or says which it has.
pub(super) async fn call(caller: impl Caller + Clone, cx: &Context, name: &str, arguments: Arguments) -> Result<Value> {
    memory::call(&ToolkitService::new(ToolkitClient::new(caller).with(cx)), name, arguments.into()).await
}

/// Calls a method of the toolkit that replies with a stream.
pub(super) async fn stream(
    caller: impl Caller + Clone,
    cx: &Context,
    name: &str,
    arguments: Arguments,
) -> Result<Streaming<Value>> {
    memory::stream(&ToolkitService::new(ToolkitClient::new(caller).with(cx)), name, arguments.into()).await
}

/// Whether a reply says that the caller did not get what it asked for: a lock, or permits.
pub(super) fn is_denial(reply: &Value) -> bool {
    reply["granted"] == false || reply["go"] == false
}
