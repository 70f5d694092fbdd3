//! TCP ports.

use std::{io, net::SocketAddr, time::Duration};

use everywire_core::{
    Result, RpcError,
    wire::{Listener, Peer},
};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};

use crate::{
    address::{Address, reachable},
    stream::OsStream,
};

/// How long a connection may be silent before TCP asks whether the peer is still there.
const KEEPALIVE: Duration = Duration::from_mins(1);

/// A bound TCP port.
#[derive(Debug)]
pub struct Tcp {
    listener: TcpListener,
    address: SocketAddr,
}

impl Tcp {
    /// Binds `address`, such as `127.0.0.1:4242`; port 0 takes a free one. It may also be written as ZeroMQ does: with `tcp://`
    /// in front, and `*` for every IPv4 address or for a free port.
    ///
    /// `INVALID_ARGUMENT` if it is not an address, `ALREADY_EXISTS` if another program has the port, `UNAVAILABLE` if the
    /// operating system can't listen there.
    pub async fn bind(address: &str) -> Result<Self> {
        let wanted = address.parse::<Address>()?;
        let listener = TcpListener::bind(wanted.host_and_port()).await.map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => RpcError::already_exists(format!("{address} is taken by another program")),
            _ => RpcError::unavailable(format!("can't listen on {address}: {error}")),
        })?;
        Self::from_listener(listener)
    }

    /// Takes a listener that is bound already, such as one from a parent process.
    pub fn from_listener(listener: TcpListener) -> Result<Self> {
        let address = listener.local_addr().map_err(RpcError::internal)?;
        Ok(Self { listener, address })
    }

    /// The bound address, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Listener for Tcp {
    type Io = OsStream<TcpStream>;

    async fn accept(&mut self) -> io::Result<(Self::Io, Peer)> {
        let (stream, peer) = self.listener.accept().await?;
        prepare(&stream);
        Ok((OsStream::new(stream), peer.into()))
    }

    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", reachable(self.address))
    }
}

/// Sends small messages at once, and finds dead peers. A socket without these options works all the same.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
}
