//! The counter of a database: PostgreSQL's sequence, MariaDB's `AUTO_INCREMENT`. Each id is a call to the database, and all
//! of them are in one order.

use everywire_core::Result;

use super::{Database, Promises};
use crate::IdParts;

/// Ids of a database's counter.
#[derive(Debug)]
pub struct Increment(Database);

impl Increment {
    /// What its ids promise among the servers on one database, as long as the database is one server that keeps what it wrote.
    pub const PROMISES: Promises = Promises { unique: true, k_sorted: true, monotonic: true };

    /// Ids from `database`.
    pub fn new(database: Database) -> Self {
        Self(database)
    }

    /// The database.
    pub fn database(&self) -> &Database {
        &self.0
    }

    /// The next `count` ids, growing. `UNAVAILABLE` if the database is away.
    pub async fn next_many(&self, count: u32) -> Result<Vec<u64>> {
        self.0.count_up(count).await
    }

    /// What an id says: which number it is.
    pub fn decode(&self, id: u64) -> IdParts {
        IdParts { time_ms: None, worker: None, sequence: id }
    }
}
