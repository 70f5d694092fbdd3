//! `serve WIRE ADDRESS`: `add` on one of everywire's wires, on one thread, until standard input closes.

use everywire::{Result, RpcError, Server, Tcp};
use everywire_benches::{EchoService, Plain, argument, stdin_closed};
use everywire_grpc as grpc;
use everywire_jsonrpc as jsonrpc;
use everywire_xmlrpc as xmlrpc;
use everywire_zerorpc as zerorpc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let (wire, address) = (argument(1, "a wire")?, argument(2, "an address")?);
    let server = Server::new(EchoService::new(Plain::default()));
    let tcp = Tcp::bind(&address).await?;
    let server = match &*wire {
        "xmlrpc" => server.mount((tcp, xmlrpc::Server::new())),
        "jsonrpc" => server.mount((tcp, jsonrpc::Server::new())),
        "grpc" => server.mount((tcp, grpc::Server::new())),
        "zerorpc" => server.mount((tcp, zerorpc::Server::new())),
        _ => return Err(RpcError::invalid_argument(format!("unknown wire `{wire}`"))),
    };
    server.serve_until(stdin_closed()).await
}
