//! The databases that provide ids, and the SQL of each step.

use everywire_core::Result;
#[cfg(feature = "postgres")]
use everywire_core::RpcError;
#[cfg(feature = "postgres")]
use tokio_postgres::types::Type;

use crate::segment::ranges::Ranges;
#[cfg(feature = "mariadb")]
use everywire_engines::mariadb;
#[cfg(feature = "postgres")]
use everywire_engines::postgres;

/// The rows of one INSERT, and roughly how many rows `everywire_ids` keeps.
#[cfg(feature = "mariadb")]
const ROWS: u64 = 1_000;

/// A database that provides ids.
#[derive(Debug)]
pub enum Database {
    /// A PostgreSQL.
    #[cfg(feature = "postgres")]
    Postgres(Postgres),
    /// A MariaDB.
    #[cfg(feature = "mariadb")]
    MariaDb(MariaDb),
}

/// A PostgreSQL that provides ids.
#[cfg(feature = "postgres")]
#[derive(Debug)]
pub struct Postgres(Box<postgres::Pool>);

/// A MariaDB that provides ids.
#[cfg(feature = "mariadb")]
#[derive(Debug)]
pub struct MariaDb(mariadb::Database);

impl Database {
    /// Connects to `postgres://USER:PASSWORD@HOST:PORT/DATABASE` and creates the tables there.
    #[cfg(feature = "postgres")]
    pub async fn postgres(url: &str) -> Result<Self> {
        let (role, script) = ("the PostgreSQL that makes the ids", ("ids", include_str!("postgres.sql")));
        let pool = postgres::Pool::connect(url, role, None, script).await?;
        Ok(Self::Postgres(Postgres(pool.into())))
    }

    /// Connects to `mysql://USER:PASSWORD@HOST:PORT/DATABASE` and creates the tables there.
    #[cfg(feature = "mariadb")]
    pub async fn mariadb(url: &str) -> Result<Self> {
        let role = "the MariaDB that makes the ids";
        Ok(Self::MariaDb(MariaDb(mariadb::Database::connect(url, role, include_str!("mariadb.sql")).await?)))
    }

    /// Its address, without a password.
    pub fn name(&self) -> &str {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(database) => &database.0.names().address,
            #[cfg(feature = "mariadb")]
            Self::MariaDb(database) => &database.0.names().address,
        }
    }

    /// The next `count` numbers of its counter, ascending.
    pub(super) async fn count_up(&self, count: u32) -> Result<Vec<u64>> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(database) => database.count_up(count).await,
            #[cfg(feature = "mariadb")]
            Self::MariaDb(database) => database.count_up(count).await,
        }
    }
}

impl Ranges for Database {
    async fn take(&self, count: u64) -> Result<u64> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(database) => database.take(count).await,
            #[cfg(feature = "mariadb")]
            Self::MariaDb(database) => database.take(count).await,
        }
    }
}

#[cfg(feature = "postgres")]
impl Postgres {
    async fn take(&self, count: u64) -> Result<u64> {
        const TAKE: &str = "
            INSERT INTO everywire.segments AS present VALUES ('ids', $1)
            ON CONFLICT (name) DO UPDATE SET last = present.last + $1 RETURNING last";
        let count = i64::try_from(count).map_err(RpcError::internal)?;
        Ok(self.0.run::<i64>(TAKE, &[(&count, Type::INT8)]).await?.unsigned_abs())
    }

    async fn count_up(&self, count: u32) -> Result<Vec<u64>> {
        const COUNT_UP: &str = "SELECT array_agg(nextval('everywire.ids')) FROM generate_series(1, $1)";
        let ids: Vec<i64> = self.0.run(COUNT_UP, &[(&i64::from(count), Type::INT8)]).await?;
        Ok(ids.into_iter().map(i64::unsigned_abs).collect())
    }
}

#[cfg(feature = "mariadb")]
impl MariaDb {
    async fn take(&self, count: u64) -> Result<u64> {
        self.0
            .insert(&format!(
                "INSERT INTO everywire_segments VALUES ('ids', LAST_INSERT_ID({count}))
                 ON DUPLICATE KEY UPDATE last = LAST_INSERT_ID(last + {count})"
            ))
            .await
    }

    /// Draws numbers by inserting rows. The rows of one INSERT of known length have consecutive ids, with the increment that is set
    /// for the servers of a cluster.
    async fn count_up(&self, count: u32) -> Result<Vec<u64>> {
        let increment = match count {
            1 => 1,
            _ => {
                self.0.rows::<u64>("SELECT @@auto_increment_increment", ().into()).await?.first().copied().unwrap_or(1)
            }
        };
        let (mut ids, mut rest) = (Vec::new(), u64::from(count));
        while rest > 0 {
            let rows = rest.min(ROWS);
            let values = vec!["(NULL)"; usize::try_from(rows).unwrap_or(1)].join(",");
            let first = self.0.insert(&format!("INSERT INTO everywire_ids VALUES {values}")).await?;
            ids.extend((0..rows).map(|row| first + row * increment));
            rest -= rows;
            self.forget(first, rows * increment).await;
        }
        Ok(ids)
    }

    /// Deletes old rows, once per [`ROWS`]: only the last one is needed.
    async fn forget(&self, first: u64, length: u64) {
        if first % ROWS < length
            && let Err(error) = self.0.rows::<u64>("DELETE FROM everywire_ids WHERE id < ?", (first,).into()).await
        {
            tracing::debug!("old rows of ids can't be deleted: {error}");
        }
    }
}
