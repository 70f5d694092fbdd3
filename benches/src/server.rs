//! The server that is measured: every wire and the TCP floor in one process.

use std::collections::HashMap;

use everywire::{Limits, Result, RpcError, Server, Tcp};
use everywire_amqp as amqp;
use everywire_grpc as grpc;
use everywire_jsonrpc as jsonrpc;
use everywire_xmlrpc as xmlrpc;
use everywire_zerorpc as zerorpc;
use tokio::net::TcpListener;

use crate::{EchoService, Plain, stdin_closed, tcp};

/// Addresses by the names that [`serve`] prints.
pub type Addresses = HashMap<String, String>;

/// A server that is bound and does not serve yet.
pub struct Bound {
    /// Where each wire can be reached.
    pub addresses: Addresses,
    floor: TcpListener,
    server: Server<EchoService<Plain>>,
}

impl Bound {
    /// Binds free ports of the address `host`; with `broker`, a URL, its queue too.
    pub async fn bind(host: &str, broker: Option<&str>) -> Result<Self> {
        let free = format!("{host}:0");
        let floor = TcpListener::bind(&free)
            .await
            .map_err(|error| RpcError::invalid_argument(format!("tcp: no port at {host}: {error}")))?;
        let xmlrpc = Tcp::bind(&free).await?;
        let jsonrpc = Tcp::bind(&free).await?;
        let grpc = Tcp::bind(&free).await?;
        let zerorpc = Tcp::bind(&free).await?;
        let addresses = [
            ("tcp", floor.local_addr().map_err(RpcError::internal)?),
            ("xmlrpc", xmlrpc.address()),
            ("jsonrpc", jsonrpc.address()),
            ("grpc", grpc.address()),
            ("zerorpc", zerorpc.address()),
        ];
        let mut addresses: Addresses =
            addresses.into_iter().map(|(name, address)| (name.to_owned(), address.to_string())).collect();
        let mut server = Server::with_limits(EchoService::new(Plain::default()), limits());
        server = server
            .mount((xmlrpc, xmlrpc::Server::new()))
            .mount((jsonrpc, jsonrpc::Server::new()))
            .mount((grpc, grpc::Server::new()))
            .mount((zerorpc, zerorpc::Server::new()));
        if let Some(url) = broker {
            server = server.mount(amqp::Server::connect(url).await?);
            addresses.insert("amqp".to_owned(), url.to_owned());
        }
        Ok(Self { addresses, floor, server })
    }

    /// Serves until `stop`.
    pub async fn serve_until(self, stop: impl Future<Output = ()>) -> Result<()> {
        tokio::select! {
            ended = self.server.serve_until(stop) => ended,
            never = tcp::serve(self.floor) => match never {},
        }
    }
}

/// Serves until standard input closes. Prints a line `NAME HOST:PORT` for each wire (AMQP: the broker's URL), and
/// `ready`.
pub async fn serve(host: &str, broker: Option<&str>) -> Result<()> {
    let bound = Bound::bind(host, broker).await?;
    for (name, address) in &bound.addresses {
        println!("{name} {address}");
    }
    println!("ready");
    bound.serve_until(stdin_closed()).await
}

/// The usual limits, but for the one that all clients share by coming from one address.
fn limits() -> Limits {
    let limits = Limits::default();
    Limits { connections_per_address: limits.connections, ..limits }
}
