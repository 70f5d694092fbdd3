//! Calls over the wires whose values describe themselves: everything but gRPC.

use std::time::Duration;

use everywire::{
    Caller, Client, Code, Context, Result, RpcError, Streaming,
    descriptor::{Method, MethodBuilder, ServiceDescriptor},
};
use serde::{
    Serialize, Serializer,
    ser::{Error as _, SerializeStruct},
};
use serde_json::{Map, Value};
use tokio_stream::StreamExt;

use super::{
    location::{Location, Wire},
    options::Options,
    reply::Reply,
};

/// The longest name of a method in bytes.
const NAME_BYTES: usize = 255;

/// The longest wait for what a server says of itself. A server that ignores the question can still be called.
const INTROSPECTION_TIME: Duration = Duration::from_secs(5);

/// A server of such a wire.
#[derive(Debug)]
pub(in crate::cli) struct Plain {
    client: Client,
    location: Location,
    /// The queue of requests on AMQP.
    queue: String,
}

/// The arguments of a call.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cli) enum Arguments {
    Positional(Vec<Value>),
    Named(Map<String, Value>),
}

impl From<Arguments> for Value {
    fn from(arguments: Arguments) -> Self {
        match arguments {
            Arguments::Positional(values) => Value::Array(values),
            Arguments::Named(values) => Value::Object(values),
        }
    }
}

impl Plain {
    /// Connects to a server.
    pub(in crate::cli) async fn connect(location: Location, options: &Options) -> Result<Self> {
        let client = everywire::connect(&location.url).await?.timeout(options.timeout);
        Ok(Self { client, location, queue: options.queue.clone().unwrap_or_default() })
    }

    pub(in crate::cli) fn wire(&self) -> Wire {
        self.location.wire
    }

    /// The client, for callers that know the service, and what their calls carry.
    pub(in crate::cli) fn into_client(self) -> (Client, Context) {
        (self.client, self.location.context)
    }

    /// Calls the method `name`.
    pub(in crate::cli) async fn call(&self, name: &str, arguments: &Arguments) -> Result<Value> {
        self.run(self.method(name)?, arguments).await
    }

    /// Calls the method `name`, which replies with a stream.
    pub(in crate::cli) async fn stream(&self, name: &str, arguments: &Arguments) -> Result<Streaming<Value>> {
        let method = self.described(name, |method| method.returns::<Result<Streaming<()>>>("()"))?;
        let arguments = OnWire { wire: self.wire(), arguments };
        let items = self.client.stream(method, &self.location.context, &arguments).await?;
        Ok(Streaming::new(items.map(|item| item.map(|Reply(item)| item))))
    }

    /// Calls `method`, which [`Self::method`] returned.
    async fn run(&self, method: &'static Method, arguments: &Arguments) -> Result<Value> {
        let arguments = OnWire { wire: self.wire(), arguments };
        self.client.call(method, &self.location.context, &arguments).await.map(|Reply(reply)| reply)
    }

    /// The method `name`, checked for this wire. It is never freed, so make one per name.
    pub(super) fn method(&self, name: &str) -> Result<&'static Method> {
        self.described(name, |method| method.reply::<()>("()"))
    }

    fn described(&self, name: &str, reply: impl FnOnce(MethodBuilder<'_>)) -> Result<&'static Method> {
        check_name(self.wire(), name)?;
        let leak = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
        let mut service = ServiceDescriptor::builder("", leak(&self.queue), "");
        reply(service.method(leak(name), "Method", ""));
        let service: &'static ServiceDescriptor = Box::leak(Box::new(service.build()));
        service.method(name).ok_or_else(|| RpcError::internal("a method that was just described"))
    }

    /// Calls a method that describes the server. The error says that the server has no introspection.
    pub(super) async fn introspect(&self, name: &str, arguments: &[Value]) -> Result<Value> {
        let (method, arguments) = (self.method(name)?, Arguments::Positional(arguments.to_vec()));
        self.introspected(method, &arguments).await.map_err(|error| match error.code() {
            Code::Unavailable => error,
            _ => self.undescribed(name, &error),
        })
    }

    /// Calls such a method, and does not wait for long.
    pub(super) async fn introspected(&self, method: &'static Method, arguments: &Arguments) -> Result<Value> {
        let asked = tokio::time::timeout(INTROSPECTION_TIME, self.run(method, arguments)).await;
        asked.unwrap_or_else(|_| Err(RpcError::deadline_exceeded("no response")))
    }

    fn undescribed(&self, name: &str, error: &RpcError) -> RpcError {
        let server = self.location.shown();
        RpcError::unimplemented(format!("{server} does not describe itself: {name} failed with {error}"))
    }
}

/// Rejects a name that the wire can't carry.
fn check_name(wire: Wire, name: &str) -> Result<()> {
    if name.is_empty() || name.len() > NAME_BYTES {
        return Err(RpcError::invalid_argument(format!("the name of a method has 1 to {NAME_BYTES} bytes")));
    }
    // The specification's own list.
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:/".contains(&byte);
    if wire == Wire::Xmlrpc && !name.bytes().all(is_allowed) {
        let text = format!("`{}` is not the name of a method of XML-RPC", name.escape_debug());
        return Err(RpcError::invalid_argument(format!("{text}; expected letters, digits, `_`, `.`, `:` and `/`")));
    }
    Ok(())
}

/// Arguments in the form that the wire's codec takes.
struct OnWire<'a> {
    wire: Wire,
    arguments: &'a Arguments,
}

impl Serialize for OnWire<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.arguments {
            Arguments::Positional(values) if self.wire.has_names() => values.serialize(serializer),
            Arguments::Positional(values) => {
                // The codecs of wires without names take the fields of a struct, in order.
                let mut fields = serializer.serialize_struct("", values.len())?;
                values.iter().try_for_each(|value| fields.serialize_field("", value))?;
                fields.end()
            }
            Arguments::Named(values) if self.wire.has_names() => values.serialize(serializer),
            Arguments::Named(_) => Err(S::Error::custom("this wire has no names of arguments")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_methods_are_checked() {
        for name in ["add", "system.listMethods", "a_b:c/D9"] {
            assert!(check_name(Wire::Xmlrpc, name).is_ok(), "{name}");
        }
        for name in ["", "a<b", "a&b", "größer", &"x".repeat(256)] {
            assert_eq!(check_name(Wire::Xmlrpc, name).unwrap_err().code(), Code::InvalidArgument, "{name}");
        }
        assert!(check_name(Wire::Jsonrpc, "größer <1>").is_ok());
        assert!(check_name(Wire::Zerorpc, "").is_err());
    }
}
