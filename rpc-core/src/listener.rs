//! Where the connections of a server come from.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};

/// A source of byte streams: a TCP port, a Unix socket, a listener of your own, or pairs in memory for a test.
///
/// Mounted together with a [`Protocol`](crate::wire::Protocol), as a pair, it makes a [`Transport`](crate::Transport).
pub trait Listener: Send + 'static {
    /// The streams that it accepts.
    type Io: Io;

    /// Waits for the next connection. Must be cancel-safe: dropping the future must not lose a connection.
    ///
    /// After an error the server logs it, pauses for 50 ms and calls this again.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Io, Peer)>> + Send;

    /// Where it can be reached, for people to read: `http://127.0.0.1:4242` for the scheme `http`.
    fn url(&self, scheme: &str) -> String;
}

/// A byte stream in both directions.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Whether closing it with unread bytes discards what was written but not yet read by the peer, as TCP's reset does.
    const RESETS: bool = false;

    /// Ready once the peer has closed or reset the connection, even while bytes that it sent are unread.
    ///
    /// By default it is never ready, and the end is found by reading up to it.
    fn poll_closed(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

/// For tests.
impl Io for DuplexStream {}

/// The other end of a connection.
///
/// A [`Listener`] says only its address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Peer {
    /// Its address; none for a Unix socket or a stream in memory, whose peer is on this machine, and for a peer behind a broker.
    pub address: Option<SocketAddr>,
    /// The wire that it speaks, such as `xmlrpc`; empty until that is known.
    pub wire: &'static str,
    /// Who it has proved to be, which a layer may fill in; none for an unknown peer.
    pub principal: Option<Arc<str>>,
}

impl Peer {
    /// A peer on this machine without an address.
    pub const LOCAL: Self = Self { address: None, wire: "", principal: None };

    /// The same peer on this wire.
    #[must_use]
    pub const fn on(mut self, wire: &'static str) -> Self {
        self.wire = wire;
        self
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self { address: Some(address), ..Self::LOCAL }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => address.fmt(f),
            None => f.write_str("a local peer"),
        }
    }
}
