//! Connections in memory.

use std::io;

use everywire_core::{
    Result, RpcError,
    wire::{Listener, Peer},
};
use tokio::{
    io::{DuplexStream, duplex as pair},
    sync::mpsc,
};

/// Connections that wait to be accepted; further attempts to connect wait.
const BACKLOG: usize = 16;

/// What a stream holds in each direction until it is read.
const STREAM_BYTES: usize = 64 << 10;

/// A listener without a socket, for tests, and what connects to it.
///
/// ```
/// # use everywire_net::duplex;
/// let (listener, connector) = duplex();
/// ```
pub fn duplex() -> (Duplex, DuplexConnector) {
    let (sender, receiver) = mpsc::channel(BACKLOG);
    (Duplex(receiver), DuplexConnector(sender))
}

/// A listener in memory, made by [`duplex`].
#[derive(Debug)]
pub struct Duplex(mpsc::Receiver<DuplexStream>);

impl Listener for Duplex {
    type Io = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, Peer)> {
        match self.0.recv().await {
            Some(stream) => Ok((stream, Peer::LOCAL)),
            // No client can connect any more, but a listener doesn't end by itself.
            None => std::future::pending().await,
        }
    }

    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://in-memory")
    }
}

/// Connects to a [`Duplex`].
#[derive(Debug, Clone)]
pub struct DuplexConnector(mpsc::Sender<DuplexStream>);

impl DuplexConnector {
    /// Opens a connection. `UNAVAILABLE` once the server has shut down.
    pub async fn connect(&self) -> Result<DuplexStream> {
        let (near, far) = pair(STREAM_BYTES);
        let sent = self.0.send(far).await;
        sent.map(|()| near).map_err(|_| RpcError::unavailable("the server has shut down"))
    }
}
