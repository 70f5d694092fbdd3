//! A service of one's own on every wire. AMQP too: `cargo run --example custom_service -- amqp://localhost`

use std::{env, future::pending, time::Duration};

use everywire::{Result, RpcError, Server, amqp, grpc, jsonrpc, rpc_core::Caller, service, xmlrpc, zerorpc};
use tokio::time::timeout;

#[service(package = "demo.v1", crate = everywire::rpc_core)]
trait Greeter {
    /// Says hello.
    async fn hello(&self, name: String) -> Result<String>;
}

struct Polite;

impl Greeter for Polite {
    async fn hello(&self, name: String) -> Result<String> {
        Ok(format!("Hello, {name}!"))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let xml = xmlrpc::Server::bind("127.0.0.1:0").await?;
    let json = jsonrpc::Server::bind("127.0.0.1:0").await?;
    let proto = grpc::Server::bind("127.0.0.1:0").await?;
    let zero = zerorpc::Server::bind("127.0.0.1:0").await?;
    let [x, j, p, z] = [xml.address(), json.address(), proto.address(), zero.address()];
    let mut server = Server::new(GreeterService::new(Polite)).mount(xml).mount(json).mount(proto).mount(zero);
    let broker = env::args().nth(1);
    if let Some(url) = &broker {
        server = server.mount(amqp::Server::connect(url).await?);
    }
    tokio::spawn(server.serve_until(pending()));

    greet("XML-RPC", xmlrpc::Client::connect(&format!("http://{x}")).await?).await?;
    greet("JSON-RPC", jsonrpc::Client::connect(&format!("http://{j}")).await?).await?;
    greet("WebSocket", jsonrpc::Client::connect(&format!("ws://{j}")).await?).await?;
    greet("gRPC", grpc::Client::connect(&format!("http://{p}")).await?).await?;
    greet("zerorpc", zerorpc::Client::connect(&format!("tcp://{z}")).await?).await?;
    let Some(url) = broker else { return Ok(()) };
    // The queue is there a moment after the start.
    let greeted = async {
        while greet("AMQP", amqp::Client::connect(&url).await?).await.is_err() {}
        Ok(())
    };
    timeout(Duration::from_secs(10), greeted).await.map_err(RpcError::internal)?
}

async fn greet(wire: &str, caller: impl Caller) -> Result<()> {
    let answer = GreeterClient::new(caller).hello(wire.into()).await?;
    println!("{answer}");
    assert_eq!(answer, format!("Hello, {wire}!"));
    Ok(())
}
