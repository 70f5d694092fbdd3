//! The connections of a client that no call uses.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::connection::Connection;

/// Connections kept at most.
const LINKS: usize = 64;

/// How long a connection is kept. Less than the 5 s after which this crate's server closes it, so that the two never meet
/// half-way: a request written to a connection that closes under it may not be sent again.
const IDLE_TIME: Duration = Duration::from_secs(3);

/// Open connections, the one used last at the back.
#[derive(Debug, Default)]
pub(crate) struct Pool(Mutex<VecDeque<(Instant, Connection)>>);

impl Pool {
    /// The connection used last, after dropping those that are too old.
    pub(crate) fn take(&self) -> Option<Connection> {
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while links.front().is_some_and(|(since, _)| since.elapsed() > IDLE_TIME) {
            links.pop_front();
        }
        links.pop_back().map(|(_, connection)| connection)
    }

    /// Keeps `connection` for the next call, if it is open and there is room.
    pub(crate) fn put(&self, connection: Connection) {
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if connection.is_open() && links.len() < LINKS {
            links.push_back((Instant::now(), connection));
        }
    }
}
