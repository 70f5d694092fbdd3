//! Your own service on every wire. With RabbitMQ: `cargo run --example custom_service -- amqp://localhost`
use everywire::{Caller, Result, Server, Tcp, amqp, grpc, jsonrpc, service, xmlrpc, zerorpc};

#[service(package = "demo.v1")]
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
    let (xml, json) = (Tcp::bind("127.0.0.1:0").await?, Tcp::bind("127.0.0.1:0").await?);
    let (proto, zero) = (Tcp::bind("127.0.0.1:0").await?, Tcp::bind("127.0.0.1:0").await?);
    let [x, j, p, z] = [xml.address(), json.address(), proto.address(), zero.address()];
    let mut server = Server::new(GreeterService::new(Polite))
        .mount((xml, xmlrpc::Server::new()))
        .mount((json, jsonrpc::Server::new()))
        .mount((proto, grpc::Server::new()))
        .mount((zero, zerorpc::Server::new()));
    if let Some(url) = std::env::args().nth(1) {
        server = server.mount(amqp::Server::connect(&url).await?);
    }
    tokio::spawn(server.serve_until(std::future::pending()));
    greet("XML-RPC", xmlrpc::Client::connect(&format!("http://{x}")).await?).await;
    greet("JSON-RPC", jsonrpc::Client::connect(&format!("http://{j}")).await?).await;
    greet("gRPC", grpc::Client::connect(&format!("http://{p}")).await?).await;
    greet("zerorpc", zerorpc::Client::connect(&format!("tcp://{z}")).await?).await;
    Ok(())
}

async fn greet(wire: &str, caller: impl Caller) {
    let answer = GreeterClient::new(caller).hello(wire.into()).await;
    println!("{answer:?}");
    assert_eq!(answer, Ok(format!("Hello, {wire}!")));
}
