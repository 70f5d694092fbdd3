//! A TCP port and the connections on it.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rpc_core::{CancellationToken, Result, RpcError};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};

/// A bound TCP port of one wire.
#[derive(Debug)]
pub struct Listener {
    wire: &'static str,
    inner: TcpListener,
    address: SocketAddr,
}

/// How long a connection may be silent before TCP asks whether the peer is still there.
const KEEPALIVE: Duration = Duration::from_mins(1);

/// The pause after a failed accept: long enough not to spin while the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

impl Listener {
    /// Binds `address`, such as `127.0.0.1:4242`; port 0 takes a free one. The error names the wire and the address.
    pub async fn bind(wire: &'static str, address: &str) -> Result<Self> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => {
                RpcError::already_exists(format!("{wire}: {address} is taken by another program"))
            }
            io::ErrorKind::InvalidInput => {
                RpcError::invalid_argument(format!("{wire}: `{address}` is no address; expected HOST:PORT"))
            }
            _ => RpcError::unavailable(format!("{wire}: can't listen on {address}: {error}")),
        };
        let inner = TcpListener::bind(address).await.map_err(failed)?;
        let address = inner.local_addr().map_err(failed)?;
        Ok(Self { wire, inner, address })
    }

    /// The bound address, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts until `shutdown` and runs `connection` on each stream, at most `connections` at the same time; then waits
    /// for those that are open. A connection beyond the limit is closed at once.
    ///
    /// `connection` is told of the stop by its own token and should end once its calls are answered. Dropping this
    /// future ends all connections.
    pub async fn serve<F>(
        self,
        connections: usize,
        shutdown: CancellationToken,
        connection: impl Fn(TcpStream, SocketAddr, CancellationToken) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut open = Connections::new(self.wire, connections);
        while let Some(accepted) = shutdown.run_until_cancelled(self.inner.accept()).await {
            match accepted {
                Ok((stream, peer)) => {
                    prepare(&stream);
                    // Every step of a connection asks its token, under the token's lock: one each keeps them out of each other's way.
                    open.start(peer, || connection(stream, peer, shutdown.child_token()));
                }
                Err(error) => {
                    tracing::warn!(wire = self.wire, %error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        // From here on, clients that connect are refused and don't wait in vain.
        drop(self.inner);
        open.all_ended().await;
    }
}

/// Sends small messages at once, and finds dead peers. A socket that refuses works all the same.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
}

/// The tasks of open connections.
struct Connections {
    wire: &'static str,
    limit: usize,
    places: Arc<Semaphore>,
    tasks: JoinSet<()>,
}

impl Connections {
    fn new(wire: &'static str, limit: usize) -> Self {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        Self { wire, limit, places: Arc::new(Semaphore::new(limit)), tasks: JoinSet::new() }
    }

    fn start<F: Future<Output = ()> + Send + 'static>(&mut self, peer: SocketAddr, connection: impl FnOnce() -> F) {
        while let Some(ended) = self.tasks.try_join_next() {
            self.report(ended);
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            tracing::warn!(wire = self.wire, %peer, limit = self.limit, "connection limit reached; closed");
            return;
        };
        let connection = connection();
        self.tasks.spawn(async move {
            connection.await;
            drop(place);
        });
    }

    async fn all_ended(mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            self.report(ended);
        }
    }

    fn report(&self, ended: Result<(), tokio::task::JoinError>) {
        if let Err(error) = ended {
            tracing::error!(wire = self.wire, %error, "a connection's task failed");
        }
    }
}
