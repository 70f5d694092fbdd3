//! A to-do list: state, errors with data, a layer that logs, one that rejects, and a test without a socket.
//! `cargo run --example todo`

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use everywire::descriptor::{Method, Services};
use everywire::wire::Call;
use everywire::{Context, Result, RpcError, Server, Service, Tcp, grpc, jsonrpc, layer, schemars, serde, service};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "everywire::serde")]
#[schemars(crate = "everywire::schemars")]
struct Item {
    text: String,
    done: bool,
}

/// A list of things to do.
#[service(package = "todo.v1")]
trait Todo {
    /// Adds an item and returns its number.
    async fn add(&self, cx: &Context, text: String) -> Result<u64>;
    /// Marks an item as done. One that does not exist is `NOT_FOUND`, with a `NoItem` as data.
    async fn finish(&self, number: u64) -> Result<Item>;
}

/// The state: many calls use it at the same time.
#[derive(Default)]
struct List(Mutex<BTreeMap<u64, Item>>);

/// An error for programs: what the caller needs to go on.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(crate = "everywire::serde")]
struct NoItem {
    number: u64,
    last: Option<u64>,
}

impl From<NoItem> for RpcError {
    fn from(error: NoItem) -> Self {
        RpcError::not_found(format!("there is no item {}", error.number)).with_details(&error)
    }
}

impl Todo for List {
    async fn add(&self, cx: &Context, text: String) -> Result<u64> {
        let mut items = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = items.last_key_value().map_or(1, |(last, _)| last + 1);
        let user = cx.extensions.get::<User>().map_or("somebody", |User(name)| name);
        items.insert(number, Item { text: format!("{text} (from {user})"), done: false });
        Ok(number)
    }

    async fn finish(&self, number: u64) -> Result<Item> {
        let mut items = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = items.last_key_value().map(|(last, _)| *last);
        let item = items.get_mut(&number).ok_or(NoItem { number, last })?;
        item.done = true;
        Ok(item.clone())
    }
}

/// Who calls, for the method to see.
struct User(&'static str);

/// Rejects calls without a token, and leaves the user for the method.
async fn authenticate(mut cx: Context, method: &'static Method) -> Result<Context> {
    let user = match cx.metadata.get("authorization") {
        Some("Bearer ann's token") => User("Ann"),
        _ => return Err(RpcError::unauthenticated(format!("{} needs a token", method.name()))),
    };
    cx.extensions.insert(user);
    Ok(cx)
}

/// Logs every call that reaches its end, how long it took, and who made it.
struct Logged<S>(S);

impl<S: Service> Service for Logged<S> {
    fn services(&self) -> &Services {
        self.0.services()
    }

    async fn dispatch<C: Call>(&self, method: &'static Method, call: &mut C) -> C::Reply {
        let wire = call.context().ok().and_then(|cx| cx.peer.as_ref()).map_or("", |peer| peer.wire);
        let start = Instant::now();
        let reply = self.0.dispatch(method, call).await;
        println!("{wire} {} took {:.1?}", method.path(), start.elapsed());
        reply
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let (proto, json) = (Tcp::bind("127.0.0.1:0").await?, Tcp::bind("127.0.0.1:0").await?);
    let urls = [format!("grpc://{}", proto.address()), format!("jsonrpc://{}", json.address())];
    let server = Server::new(TodoService::new(List::default()))
        .layer(layer::before(authenticate))
        .layer(Logged) // the last one is the outermost
        .mount((proto, grpc::Server::new()))
        .mount((json, jsonrpc::Server::new()));
    tokio::spawn(server.serve_until(std::future::pending()));

    let ann = Context::new().metadata("authorization", "Bearer ann's token")?;
    for url in urls {
        let todo = TodoClient::new(everywire::connect(&url).await?);
        println!("{}", todo.finish(1).await.expect_err("no token"));
        let number = todo.add(&ann, "write a service".into()).await?;
        println!("{:?}", todo.with(&ann).finish(number).await?);
        // A context with a deadline too: the server drops the call if it takes longer.
        let hurried = todo.with(&ann.clone().timeout(Duration::from_secs(1)));
        let error = hurried.finish(7).await.expect_err("no such item");
        println!("{error}");
        assert_eq!(error.details(), Some(NoItem { number: 7, last: Some(number) }));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use everywire::{Code, memory};

    use super::*;

    /// The service and its layer in memory: no socket, no port.
    #[tokio::test]
    async fn items_are_added_and_finished() -> Result<()> {
        let service = layer::before(authenticate)(TodoService::new(List::default()));
        let todo = TodoClient::new(memory::Client::new(Arc::new(service)));
        assert_eq!(todo.finish(1).await.expect_err("no token").code(), Code::Unauthenticated);
        let ann = Context::new().metadata("authorization", "Bearer ann's token")?;
        assert_eq!(todo.add(&ann, "test it".into()).await, Ok(1));
        let finished = todo.with(&ann).finish(1).await?;
        assert_eq!(finished, Item { text: "test it (from Ann)".into(), done: true });
        let error = todo.with(&ann).finish(2).await.expect_err("no such item");
        assert_eq!(error.details(), Some(NoItem { number: 2, last: Some(1) }));
        Ok(())
    }
}
