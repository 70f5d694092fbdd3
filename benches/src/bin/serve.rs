//! `serve WIRE ADDRESS`: `add` on one of everywire's wires, on one thread, until standard input closes.

use everywire::{Result, RpcError, Server};
use everywire_benches::{EchoService, Plain, argument, stdin_closed};
use everywire_grpc as grpc;
use everywire_jsonrpc as jsonrpc;
use everywire_xmlrpc as xmlrpc;
use everywire_zerorpc as zerorpc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let (wire, address) = (argument(1, "a wire")?, argument(2, "an address")?);
    let server = Server::new(EchoService::new(Plain::default()));
    let server = match &*wire {
        "xmlrpc" => server.mount(xmlrpc::Server::bind(&address).await?),
        "jsonrpc" => server.mount(jsonrpc::Server::bind(&address).await?),
        "grpc" => server.mount(grpc::Server::bind(&address).await?),
        "zerorpc" => server.mount(zerorpc::Server::bind(&address).await?),
        _ => return Err(RpcError::invalid_argument(format!("`{wire}` is no wire"))),
    };
    server.serve_until(stdin_closed()).await
}
