//! What the wires over TCP share: a server's bind, accept, limit and drain; a client's connection that is opened again.
//!
//! It knows no wire. A wire hands [`Listener::serve`] a function that runs one connection.

mod shared;

use std::{io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use hyper_util::server::graceful::GracefulConnection;
use rpc_core::{CancellationToken, Result, RpcError};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::{JoinError, JoinSet},
};

pub use shared::Shared;

/// A bound TCP port of one wire.
#[derive(Debug)]
pub struct Listener {
    wire: &'static str,
    inner: TcpListener,
    address: SocketAddr,
}

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
        let places = Arc::new(Semaphore::new(connections));
        let mut open = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.inner.accept() => accepted,
                () = shutdown.cancelled() => break,
            };
            while let Some(ended) = open.try_join_next() {
                report(self.wire, ended);
            }
            match accepted {
                Ok((stream, peer)) => {
                    let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                        tracing::warn!(wire = self.wire, %peer, connections, "connection limit reached; closed");
                        continue;
                    };
                    let _ = stream.set_nodelay(true);
                    let running = connection(stream, peer, shutdown.clone());
                    open.spawn(async move {
                        running.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(wire = self.wire, %error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.inner);
        while let Some(ended) = open.join_next().await {
            report(self.wire, ended);
        }
    }
}

fn report(wire: &str, ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(wire, %error, "a connection's task failed");
    }
}

/// Drives one HTTP connection of hyper's to its end; on `shutdown` it answers the requests it has and closes.
pub async fn drive<C>(connection: C, shutdown: CancellationToken) -> Result<(), C::Error>
where
    C: GracefulConnection,
{
    let mut connection = Box::pin(connection);
    tokio::select! {
        ended = &mut connection => return ended,
        () = shutdown.cancelled() => {}
    }
    Pin::as_mut(&mut connection).graceful_shutdown();
    connection.await
}
