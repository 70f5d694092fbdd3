//! tarpc over TCP with bincode: the service and both its sides.

use std::error::Error;

use everywire::{Result, RpcError};
use futures_util::StreamExt;
use tarpc::{
    client, context,
    serde_transport::tcp,
    server::{BaseChannel, Channel},
    tokio_serde::formats::Bincode,
};
use tokio::net::TcpListener;

#[tarpc::service]
trait Adder {
    async fn add(a: i64, b: i64) -> Option<i64>;
}

#[derive(Clone)]
struct Plain;

impl Adder for Plain {
    async fn add(self, _: context::Context, a: i64, b: i64) -> Option<i64> {
        a.checked_add(b)
    }
}

/// Serves on an address of its own and tells it to `listening`.
pub async fn serve(listener: TcpListener) -> Result<(), Box<dyn Error>> {
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let transport = tarpc::serde_transport::Transport::from((socket, Bincode::default()));
        let requests = BaseChannel::with_defaults(transport).execute(Plain.serve());
        tokio::spawn(requests.for_each(|answering| async {
            tokio::spawn(answering);
        }));
    }
}

/// A client of one server.
pub struct Client(AdderClient);

/// Connects to `address`.
pub async fn connect(address: &str) -> Result<Client> {
    let failed = |error: std::io::Error| RpcError::unavailable(format!("tarpc {address}: {error}"));
    let transport = tcp::connect(address, Bincode::default).await.map_err(failed)?;
    transport.get_ref().set_nodelay(true).map_err(failed)?;
    Ok(Client(AdderClient::new(client::Config::default(), transport).spawn()))
}

impl Client {
    /// `add(3, 4)`.
    pub async fn add(&self) -> Result<()> {
        let sum = self.0.add(context::current(), 3, 4).await;
        match sum.map_err(|error| RpcError::unavailable(format!("tarpc: {error}")))? {
            Some(7) => Ok(()),
            _ => Err(RpcError::data_loss("a wrong sum")),
        }
    }
}
