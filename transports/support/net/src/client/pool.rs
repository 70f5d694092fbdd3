//! The idle connections of a client.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::connection::Connection;

/// The most connections that are kept.
const CONNECTIONS: usize = 64;

/// How long a connection is kept. Less than the 5 s after which Node's servers close it: a request that is written to a
/// connection that closes under it may not be sent again.
const IDLE_TIME: Duration = Duration::from_secs(3);

/// Idle connections, the one used last at the back.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<VecDeque<(Instant, Connection)>>);

impl Pool {
    /// Takes the connection used last, and drops those that are too old.
    pub(super) fn take(&self) -> Option<Connection> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while idle.front().is_some_and(|(since, _)| since.elapsed() > IDLE_TIME) {
            idle.pop_front();
        }
        idle.pop_back().map(|(_, connection)| connection)
    }

    /// Keeps `connection` for the next call, if it is open and there is room.
    pub(super) fn put(&self, connection: Connection) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if connection.is_open() && idle.len() < CONNECTIONS {
            idle.push_back((Instant::now(), connection));
        }
    }
}
