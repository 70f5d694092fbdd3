//! gRPC without generated code: messages are encoded from the schema that the server's reflection or a `.proto` file has.

mod client;
mod codec;
mod describe;
mod message;
pub(in crate::cli) mod proto;
mod reflection;
mod schema;

use everywire::{Result, Streaming};
use prost_reflect::MethodDescriptor;
use serde_json::Value;
use tokio_stream::StreamExt;

pub(in crate::cli) use self::{client::Grpc, describe::method as describe, schema::Schema};
use super::{Arguments, Location, Options};

/// Connects to a server and reads its schema.
pub(in crate::cli) async fn open(location: &Location, options: &Options) -> Result<(Grpc, Schema)> {
    let server = Grpc::connect(location, options.timeout).await?;
    let schema = match &options.proto {
        Some(file) => schema::compile(file, &options.proto_path)?,
        None => reflection::reflected(&server).await?,
    };
    Ok((server, schema))
}

/// Calls a method whose request and reply are one message each.
pub(in crate::cli) async fn call(server: &Grpc, method: &MethodDescriptor, arguments: Arguments) -> Result<Value> {
    let request = message::request(method, arguments)?;
    message::reply(method, &server.call(&format!("/{}", schema::path(method)), request).await?)
}

/// Calls a method whose request is one message, and whose reply is many.
pub(in crate::cli) async fn stream(
    server: &Grpc,
    method: &MethodDescriptor,
    arguments: Arguments,
) -> Result<Streaming<Value>> {
    let request = message::request(method, arguments)?;
    let items = server.stream(&format!("/{}", schema::path(method)), request).await?;
    let method = method.clone();
    Ok(Streaming::new(items.map(move |item| message::reply(&method, &item.map_err(|status| client::error(&status))?))))
}

#[cfg(test)]
mod tests;
