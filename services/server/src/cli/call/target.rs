//! What is called: a method, and a connection to a server that has it.

use everywire::{Client, Context, Result, Streaming};
use everywire_toolkit::ToolkitService;
use prost_reflect::MethodDescriptor;
use serde_json::Value;

use super::toolkit;
use crate::cli::remote::{self, Arguments, Location, Options, Plain, Wire, grpc, method::Method};

/// A method of a server.
pub(super) struct Target {
    method: Method,
    server: Server,
}

enum Server {
    /// Serves the toolkit, whose types this program has.
    Toolkit(Client, Context),
    Plain(Plain),
    Grpc(grpc::Grpc, MethodDescriptor),
}

impl Target {
    /// Connects to the server at `location`, and asks it about its method `name`.
    pub(super) async fn of(location: Location, name: &str, options: &Options) -> Result<Self> {
        if location.wire == Wire::Grpc {
            return Self::grpc(location, name, options).await;
        }
        let wire = location.wire;
        let server = Plain::connect(location, options).await?;
        if wire == Wire::Amqp && options.queue.is_none() {
            // The default queue is the toolkit's.
            return Ok(Self::toolkit(server.into_client(), name));
        }
        let method = remote::method(&server, name).await;
        match toolkit::method(name) {
            Some(known) if toolkit::is_served_as(&method, known, wire) => Ok(Self::toolkit(server.into_client(), name)),
            _ => Ok(Self { method, server: Server::Plain(server) }),
        }
    }

    async fn grpc(location: Location, name: &str, options: &Options) -> Result<Self> {
        let (server, schema) = grpc::open(&location, options).await?;
        let found = schema.find(name);
        let toolkit = ToolkitService::descriptor().full_name();
        let is_toolkit = match &found {
            Ok(method) => method.parent_service().full_name() == toolkit,
            // The toolkit itself says which methods it has.
            Err(_) => schema.has(toolkit),
        };
        if is_toolkit && options.proto.is_none() {
            let client = everywire::connect(&location.url).await?.timeout(options.timeout);
            let client = (client, location.context);
            return Ok(Self::toolkit(client, found.as_ref().map_or(name, MethodDescriptor::name)));
        }
        let method = found?;
        Ok(Self { method: grpc::describe(&method), server: Server::Grpc(server, method) })
    }

    fn toolkit((client, context): (Client, Context), name: &str) -> Self {
        let method = toolkit::method(name).map_or_else(|| Method::named(name), Method::of);
        Self { method, server: Server::Toolkit(client, context) }
    }

    /// What is known of the method.
    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    /// Whether arguments may be named.
    pub(super) fn has_names(&self) -> bool {
        match &self.server {
            Server::Plain(server) => server.wire().has_names(),
            Server::Toolkit(..) | Server::Grpc(..) => true,
        }
    }

    pub(super) async fn call(&self, arguments: Arguments) -> Result<Value> {
        match &self.server {
            Server::Toolkit(client, cx) => toolkit::call(client.clone(), cx, &self.method.name, arguments).await,
            Server::Plain(server) => server.call(&self.method.name, &arguments).await,
            Server::Grpc(server, method) => grpc::call(server, method, arguments).await,
        }
    }

    /// Calls the method, which replies with a stream.
    pub(super) async fn stream(&self, arguments: Arguments) -> Result<Streaming<Value>> {
        match &self.server {
            Server::Toolkit(client, cx) => toolkit::stream(client.clone(), cx, &self.method.name, arguments).await,
            Server::Plain(server) => server.stream(&self.method.name, &arguments).await,
            Server::Grpc(server, method) => grpc::stream(server, method, arguments).await,
        }
    }

    /// Whether a reply may say that the caller did not get what it asked for.
    pub(super) fn may_deny(&self) -> bool {
        matches!(self.server, Server::Toolkit(..))
    }
}
