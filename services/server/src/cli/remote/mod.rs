//! A server of any wire, of which only the URL is known: for `everywire call` and `everywire schema`.
//!
//! XML-RPC, JSON-RPC, zerorpc and AMQP carry values that describe themselves ([`plain`]). gRPC needs a schema ([`grpc`]).
//! [`Method`] is what a server says of a method, in the same form for every wire.

pub(super) mod grpc;
mod location;
mod metadata;
pub(super) mod method;
mod openrpc;
mod options;
mod plain;
mod reply;
mod xmlrpc;
mod zerorpc;

use std::time::Duration;

use everywire::{Result, RpcError};
use everywire_net::without_user_info;
use serde_json::Value;

use self::method::Method;
pub(super) use self::{
    location::{Location, Wire},
    metadata::MetadataFlag,
    options::Options,
    plain::{Arguments, Plain},
};

/// What the server says of all its methods.
pub(super) async fn methods(location: Location, options: &Options) -> Result<Vec<Method>> {
    if location.wire == Wire::Grpc {
        let (_, schema) = grpc::open(&location, options).await?;
        return Ok(schema.methods().map(|method| grpc::describe(&method)).collect());
    }
    described(&Plain::connect(location, options).await?).await
}

async fn described(server: &Plain) -> Result<Vec<Method>> {
    match server.wire() {
        Wire::Xmlrpc => xmlrpc::methods(server).await,
        Wire::Jsonrpc => Ok(openrpc::methods(&document(server).await?)),
        Wire::Zerorpc => zerorpc::methods(server).await,
        wire => {
            let text = format!("{} has no introspection, so methods can't be listed; name the method", wire.name());
            Err(RpcError::unimplemented(text))
        }
    }
}

/// What the server says of one method. If it says nothing, only the name is known.
pub(super) async fn method(server: &Plain, name: &str) -> Method {
    let described = match server.wire() {
        Wire::Xmlrpc => return xmlrpc::method(server, name).await,
        Wire::Zerorpc => zerorpc::inspected(server).await,
        _ => described(server).await,
    };
    let found = described.ok().and_then(|methods| methods.into_iter().find(|method| method.name == name));
    found.unwrap_or_else(|| Method::named(name))
}

/// The `OpenRPC` document of a server of JSON-RPC.
pub(super) async fn document(server: &Plain) -> Result<Value> {
    server.introspect("rpc.discover", &[]).await
}

/// The outcome of what was asked of the server at `url`, if it comes within `time`.
pub(super) async fn within<T>(time: Duration, url: &str, asked: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(time, asked).await.unwrap_or_else(|_| {
        let url = without_user_info(url);
        Err(RpcError::deadline_exceeded(format!("no response from {url} within {time:?}")))
    })
}
