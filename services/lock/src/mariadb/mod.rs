//! Locks in MariaDB: a row per lock and one procedure per step. MariaDB can't push messages, so each server with waiters asks
//! it some 40 times a second whose turn it is, for all of its waiters at once.

use std::{sync::Arc, time::Duration};

use everywire_core::{Result, RpcError};
use everywire_engines::{failure::Names, mariadb::Database};
use mysql_async::{Params, Row};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    LockGrant, LockState, Request,
    engine::{Engine, MAX_WAITING, Shared, Taken, to_millis},
    step_reply::StepReply,
    waiters::{Orphans, SESSION_TTL, Waiter, Waiters, evict},
    watch::{Observe, POLL},
};

/// Locks in a MariaDB.
pub type MariaDbLocks = Shared<MariaDb>;

/// Milliseconds between two polls of a server while calls wait. It is drawn at random per server, so that no two servers stay
/// in step.
const POLL_MS: std::ops::Range<u64> = 20..30;

/// One MariaDB.
#[derive(Debug)]
pub struct MariaDb {
    database: Database,
    waiters: Arc<Waiters>,
    /// Aborted on drop.
    _tasks: JoinSet<()>,
}

impl MariaDb {
    /// Connects to `mysql://USER:PASSWORD@HOST:PORT/DATABASE` and creates its tables and procedures there.
    pub async fn connect(url: &str) -> Result<Self> {
        let database = Database::connect(url, "the MariaDB that keeps the locks", include_str!("lock.sql")).await?;
        let ((waiters, orphans), mut tasks) = (Waiters::new(), JoinSet::new());
        tasks.spawn(poll(database.clone(), Arc::clone(&waiters)));
        tasks.spawn(evict_orphans(database.clone(), waiters.session.clone(), orphans));
        Ok(Self { database, waiters, _tasks: tasks })
    }

    async fn step(&self, call: &str, arguments: impl Into<Params>) -> Result<StepReply> {
        let [numbers] = <[_; 1]>::try_from(self.database.rows::<(i64, i64, i64, i64)>(call, arguments.into()).await?)
            .map_err(|_| RpcError::internal("a procedure of the database returned nothing"))?;
        Ok(StepReply(<[i64; 4]>::from(numbers).into()))
    }
}

/// While calls wait, tells the engine that this server is alive, and wakes the waiters whose turn it is.
async fn poll(database: Database, waiters: Arc<Waiters>) {
    let interval = Duration::from_millis(fastrand::u64(POLL_MS));
    let (database, waiting) = (&database, &waiters);
    let poll = || async move {
        let arguments = (&waiting.session, to_millis(SESSION_TTL));
        let turns: Vec<i64> = database.rows("CALL everywire_beat(?, ?)", arguments.into()).await?;
        waiting.turns(&turns);
        Ok(())
    };
    waiters.heartbeat(interval, poll).await;
}

/// Removes waiters from their queues that no longer exist.
async fn evict_orphans(database: Database, session: String, orphans: Orphans) {
    const FORGET: &str = "DELETE FROM everywire_waits WHERE session = ? AND place = ?";
    let (database, session) = (&database, &session);
    let forget = |number: String| async move { database.rows::<Row>(FORGET, (session, number).into()).await.map(drop) };
    evict(orphans, forget).await;
}

/// A watched lock is polled.
impl Observe for MariaDb {
    type Watch = ();

    fn watch(&self, _: &str) {}

    async fn look(&self, name: &str, (): &mut ()) -> Result<LockState> {
        self.state(name).await
    }

    async fn changed(&self, (): &mut ()) {
        sleep(POLL).await;
    }
}

impl Engine for MariaDb {
    type Waiter = Waiter;

    fn names(&self) -> &Names {
        self.database.names()
    }

    fn waiter(&self) -> Waiter {
        self.waiters.register()
    }

    async fn take(&self, request: &Request, waiter: Option<&mut Waiter>) -> Result<Taken> {
        let Request { name, owner, ttl } = request;
        let (number, ticket) = waiter.as_ref().map_or((0, 0), |waiter| (waiter.number, waiter.ticket));
        let session = &self.waiters.session;
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
        let reply = self.step("CALL everywire_take(?, ?, ?, ?, ?, ?, ?, ?)", arguments).await?;
        reply.taken(request, waiter.map(|waiter| &mut waiter.ticket))
    }

    async fn woken(&self, waiter: &mut Waiter) {
        waiter.woken().await;
    }

    async fn leave(&self, _: &Request, waiter: &Waiter) -> Result<()> {
        self.step("CALL everywire_leave(?)", (waiter.ticket,)).await.map(drop)
    }

    async fn unlock(&self, name: &str, owner: &str) -> Result<bool> {
        Ok(self.step("CALL everywire_unlock(?, ?)", (name.as_bytes(), owner.as_bytes())).await?.unlocked())
    }

    async fn renew(&self, request: &Request) -> Result<LockGrant> {
        let arguments = (request.name.as_bytes(), request.owner.as_bytes(), to_millis(request.ttl));
        Ok(self.step("CALL everywire_renew(?, ?, ?)", arguments).await?.renewed(request))
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
