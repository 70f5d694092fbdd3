//! Locks in MariaDB: one procedure per step and a row per lock. The engine can't push, so each server asks it a
//! few dozen times a second, for all of its waiters at once, whose turn it is.

use std::{sync::Arc, time::Duration};

use everywire_core::{Result, RpcError};
use everywire_engines::{failure::Names, mariadb::Database};
use mysql_async::{Params, Row};
use tokio::task::JoinSet;

use crate::{
    LockGrant, LockState, Request,
    engine::{Engine, MAX_WAITING, Shared, Taken, to_millis},
    found::{renewed, taken},
    wakes::{Place, SESSION_TTL, Strays, Wakes, take_out},
};

/// Locks in a MariaDB.
pub type MariaDbLocks = Shared<MariaDb>;

/// How often a server asks whose turn it is, as long as somebody waits at it. No two servers ask in step for long.
const ASK: std::ops::Range<u64> = 20..30;

/// One MariaDB.
#[derive(Debug)]
pub struct MariaDb {
    database: Database,
    wakes: Arc<Wakes>,
    /// End with this.
    _tasks: JoinSet<()>,
}

impl MariaDb {
    /// Connects to `mysql://USER:PASSWORD@HOST:PORT/DATABASE` and makes its tables and procedures there.
    pub async fn connect(url: &str) -> Result<Self> {
        let database = Database::connect(url, "the MariaDB that keeps the locks", include_str!("lock.sql")).await?;
        let ((wakes, strays), mut tasks) = (Wakes::new(), JoinSet::new());
        tasks.spawn(ask(database.clone(), Arc::clone(&wakes)));
        tasks.spawn(forget(database.clone(), wakes.session.clone(), strays));
        Ok(Self { database, wakes, _tasks: tasks })
    }

    async fn numbers(&self, call: &str, arguments: impl Into<Params>) -> Result<Vec<i64>> {
        let [numbers] = <[_; 1]>::try_from(self.database.rows::<(i64, i64, i64, i64)>(call, arguments.into()).await?)
            .map_err(|_| RpcError::internal("a procedure of the database returned nothing"))?;
        Ok(<[i64; 4]>::from(numbers).into())
    }
}

/// Says that this server is alive, and wakes those whose turn it is, as long as somebody waits.
async fn ask(database: Database, wakes: Arc<Wakes>) {
    let every = ASK.start + u64::from_str_radix(&wakes.session[..8], 16).unwrap_or(0) % (ASK.end - ASK.start);
    let (database, waiting) = (&database, &wakes);
    let ask = || async move {
        let arguments = (&waiting.session, to_millis(SESSION_TTL));
        let turns: Vec<i64> = database.rows("CALL everywire_beat(?, ?)", arguments.into()).await?;
        waiting.turns(&turns);
        Ok(())
    };
    wakes.beat(Duration::from_millis(every), ask).await;
}

/// Takes places out that are nobody's.
async fn forget(database: Database, session: String, strays: Strays) {
    const FORGET: &str = "DELETE FROM everywire_waits WHERE session = ? AND place = ?";
    let (database, session) = (&database, &session);
    let forget = |number: String| async move { database.rows::<Row>(FORGET, (session, number).into()).await.map(drop) };
    take_out(strays, forget).await;
}

impl Engine for MariaDb {
    type Place = Place;

    fn names(&self) -> &Names {
        self.database.names()
    }

    fn place(&self) -> Place {
        self.wakes.place()
    }

    async fn take(&self, request: &Request, place: Option<&mut Place>) -> Result<Taken> {
        let Request { name, owner, ttl } = request;
        let (number, ticket) = place.as_ref().map_or((0, 0), |place| (place.number, place.ticket));
        let session = &self.wakes.session;
        let arguments = (
            name.as_bytes(),
            owner.as_bytes(),
            to_millis(*ttl),
            session,
            number,
            ticket,
            to_millis(SESSION_TTL),
            MAX_WAITING,
        );
        let found = self.numbers("CALL everywire_take(?, ?, ?, ?, ?, ?, ?, ?)", arguments).await?;
        taken(request, place.map(|place| &mut place.ticket), &found)
    }

    async fn woken(&self, place: &mut Place) {
        place.woken().await;
    }

    async fn leave(&self, _: &Request, place: &Place) -> Result<()> {
        self.numbers("CALL everywire_leave(?)", (place.ticket,)).await.map(drop)
    }

    async fn unlock(&self, name: &str, owner: &str) -> Result<bool> {
        let found = self.numbers("CALL everywire_unlock(?, ?)", (name.as_bytes(), owner.as_bytes())).await?;
        Ok(found[0] == 1)
    }

    async fn renew(&self, request: &Request) -> Result<LockGrant> {
        let arguments = (request.name.as_bytes(), request.owner.as_bytes(), to_millis(request.ttl));
        Ok(renewed(request, &self.numbers("CALL everywire_renew(?, ?, ?)", arguments).await?))
    }

    async fn state(&self, name: &str) -> Result<LockState> {
        const STATE: &str = "
            SELECT owner, COALESCE(token, 0), COALESCE(now.ms - since, 0), COALESCE(until - now.ms, 0),
                (SELECT COUNT(*) FROM everywire_waits WHERE name = ?)
            FROM (SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) DIV 1000 AS ms) now
            LEFT JOIN everywire_locks ON name = ? AND until > now.ms";
        let name = name.as_bytes();
        let mut rows: Vec<Row> = self.database.rows(STATE, (name, name).into()).await?;
        let row = rows.pop().ok_or_else(|| RpcError::internal("the database returned nothing"))?;
        let (owner, token, held_ms, ttl_ms, waiting): (Option<Vec<u8>>, u64, i64, i64, u32) =
            mysql_async::from_row(row);
        let owner = owner.map(|owner| String::from_utf8_lossy(&owner).into_owned());
        let [held_ms, ttl_ms] = [held_ms, ttl_ms].map(|ms| ms.max(0).unsigned_abs());
        Ok(LockState { held: owner.is_some(), owner, token, held_ms, ttl_ms, waiting })
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn an_ipv6_host_is_connected_to() {
        let listener = TcpListener::bind("[::1]:0").await.unwrap();
        let url = format!("mysql://root@{}/test", listener.local_addr().unwrap());
        tokio::select! {
            accepted = listener.accept() => drop(accepted.unwrap()),
            connected = MariaDb::connect(&url) => panic!("{url}: {:?}", connected.map(drop)),
        }
    }
}
