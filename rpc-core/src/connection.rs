//! An accepted connection, with its limits.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::{
    budget::Budget,
    listener::{Io, Peer},
    socket::Socket,
    waiting::Waiting,
};

/// An accepted connection.
#[derive(Debug)]
#[non_exhaustive]
pub struct Connection<IO> {
    /// Its stream.
    pub io: Socket<IO>,
    /// Its other end.
    pub peer: Peer,
    /// The limits, and how much of them all connections use.
    pub budget: Arc<Budget>,
    /// The count of its waiting calls, kept by the service that runs them.
    pub waiting: Waiting,
    /// Cancelled when the server shuts down.
    pub stop: CancellationToken,
}

impl<IO: Io> Connection<IO> {
    /// A connection with `peer` over `io`, within the limits of `budget`.
    pub fn new(io: IO, peer: Peer, budget: &Arc<Budget>, stop: CancellationToken) -> Self {
        let io = Socket::new(io, Arc::clone(budget));
        Self { io, peer, budget: Arc::clone(budget), waiting: Waiting::new(budget), stop }
    }
}
