//! The server that is measured: every wire and the TCP floor in one process.

use everywire_amqp as amqp;
use everywire_grpc as grpc;
use everywire_jsonrpc as jsonrpc;
use everywire_xmlrpc as xmlrpc;
use everywire_zerorpc as zerorpc;
use rpc_core::{Limits, Result, RpcError, Server};
use tokio::net::TcpListener;

use crate::{EchoService, Plain, stdin_closed, tcp};

/// Serves on free ports of the address `host` until standard input closes. Prints a line `NAME HOST:PORT` for each wire
/// (AMQP: the broker's URL), and `ready`.
pub async fn serve(host: &str, broker: Option<&str>) -> Result<()> {
    let free = format!("{host}:0");
    let floor = TcpListener::bind(&free)
        .await
        .map_err(|error| RpcError::invalid_argument(format!("tcp: no port at {host}: {error}")))?;
    let xmlrpc = xmlrpc::Server::bind(&free).await?;
    let jsonrpc = jsonrpc::Server::bind(&free).await?;
    let grpc = grpc::Server::bind(&free).await?;
    let zerorpc = zerorpc::Server::bind(&free).await?;
    println!("tcp {}", floor.local_addr().map_err(RpcError::internal)?);
    for (name, address) in [
        ("xmlrpc", xmlrpc.address()),
        ("jsonrpc", jsonrpc.address()),
        ("grpc", grpc.address()),
        ("zerorpc", zerorpc.address()),
    ] {
        println!("{name} {address}");
    }
    let mut server = Server::new(EchoService::new(Plain)).limits(limits());
    server = server.mount(xmlrpc).mount(jsonrpc).mount(grpc).mount(zerorpc);
    if let Some(url) = broker {
        server = server.mount(amqp::Server::connect(url).await?);
        println!("amqp {url}");
    }
    println!("ready");
    let stop = stdin_closed();
    tokio::select! {
        ended = server.serve_until(stop) => ended,
        () = tcp::serve(floor) => Ok(()),
    }
}

/// The usual limits, but for the one that all clients share by coming from one address.
fn limits() -> Limits {
    let limits = Limits::default();
    Limits { connections_per_address: limits.connections, ..limits }
}
