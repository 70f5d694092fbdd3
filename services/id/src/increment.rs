//! Ids from the counter of a database: PostgreSQL's sequence, MariaDB's `AUTO_INCREMENT`. Each call is a step of the database, and
//! all ids are in one order.

use everywire_core::Result;

use super::{Database, Guarantees};
use crate::IdParts;

/// Ids from a database's counter.
#[derive(Debug)]
pub struct Increment(Database);

impl Increment {
    /// Guarantees among the servers on one database, as long as the database is one server that keeps its data.
    pub const GUARANTEES: Guarantees = Guarantees { unique: true, k_sorted: true, monotonic: true };

    /// Ids from `database`.
    pub fn new(database: Database) -> Self {
        Self(database)
    }

    /// The database.
    pub fn database(&self) -> &Database {
        &self.0
    }

    /// The next `count` ids, ascending. `UNAVAILABLE` if the database is.
    pub async fn next_many(&self, count: u32) -> Result<Vec<u64>> {
        self.0.count_up(count).await
    }

    /// Decodes an id: its number.
    pub fn decode(&self, id: u64) -> IdParts {
        IdParts { time_ms: None, worker: None, sequence: id }
    }
}
