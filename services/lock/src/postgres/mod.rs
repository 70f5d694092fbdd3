//! Locks in PostgreSQL: one function per step, a row per lock, and LISTEN and NOTIFY for the waiters.

use std::sync::Arc;

use everywire_core::{Result, RpcError};
use everywire_engines::{
    failure::Names,
    postgres::{Argument, Pool, Subscription, column},
};
use tokio::task::JoinSet;
use tokio_postgres::types::Type;

use crate::{
    LockGrant, LockState, Request,
    engine::{Engine, MAX_WAITING, Shared, Taken, to_millis},
    found::{renewed, taken},
    wakes::{Place, SESSION_TTL, Strays, Wakes, take_out},
};

/// Locks in a PostgreSQL.
pub type PostgresLocks = Shared<Postgres>;

/// One PostgreSQL.
#[derive(Debug)]
pub struct Postgres {
    pool: Arc<Pool>,
    wakes: Arc<Wakes>,
    /// End with this.
    _tasks: JoinSet<()>,
}

impl Postgres {
    /// Connects to `postgres://USER:PASSWORD@HOST:PORT/DATABASE` and makes the schema `everywire` there.
    pub async fn connect(url: &str) -> Result<Self> {
        let ((wakes, strays), mut tasks) = (Wakes::new(), JoinSet::new());
        let (role, script) = ("the PostgreSQL that keeps the locks", ("locks", include_str!("lock.sql")));
        let channels = vec![format!("everywire_{}", wakes.session), "everywire_all".to_owned()];
        let subscription = Subscription { channels, message: Arc::new(told(Arc::clone(&wakes))) };
        let pool = Arc::new(Pool::connect(url, role, Some(subscription), script).await?);
        tasks.spawn(beats(Arc::clone(&pool), Arc::clone(&wakes)));
        tasks.spawn(forget(Arc::clone(&pool), wakes.session.clone(), strays));
        Ok(Self { pool, wakes, _tasks: tasks })
    }

    async fn numbers(&self, call: &str, arguments: &[Argument<'_>]) -> Result<Vec<i64>> {
        self.pool.run(call, arguments).await
    }
}

/// Wakes whom a message is for, and all when a connection begins.
fn told(wakes: Arc<Wakes>) -> impl Fn(Option<&str>) + Send + Sync {
    move |message| message.map_or_else(|| wakes.wake_all(), |message| wakes.message(message))
}

/// While calls wait, tells the engine that this server is alive, and asks whose turn it is, since a message may be lost.
async fn beats(pool: Arc<Pool>, wakes: Arc<Wakes>) {
    let (pool, ttl) = (&pool, &to_millis(SESSION_TTL));
    let waiting = &wakes;
    let beat = || async move {
        let arguments: [Argument; 2] = [(&waiting.session, Type::TEXT), (ttl, Type::INT8)];
        let turns: Vec<i64> = pool.run("SELECT everywire.beat($1, $2)", &arguments).await?;
        waiting.turns(&turns);
        Ok(())
    };
    wakes.beat(SESSION_TTL / 3, beat).await;
}

/// Takes places out that are nobody's.
async fn forget(pool: Arc<Pool>, session: String, strays: Strays) {
    let (pool, session) = (&pool, &session);
    let forget = |number: String| async move {
        let number = number.parse::<i64>().unwrap_or(0);
        let arguments: [Argument; 2] = [(session, Type::TEXT), (&number, Type::INT8)];
        pool.row("SELECT everywire.forget($1, $2)", &arguments).await.map(drop)
    };
    take_out(strays, forget).await;
}

impl Engine for Postgres {
    type Place = Place;

    fn names(&self) -> &Names {
        self.pool.names()
    }

    fn place(&self) -> Place {
        self.wakes.place()
    }

    async fn take(&self, request: &Request, place: Option<&mut Place>) -> Result<Taken> {
        let number = place.as_ref().map_or(0, |place| i64::try_from(place.number).unwrap_or(i64::MAX));
        let ticket = place.as_ref().map_or(0, |place| place.ticket);
        let arguments: [Argument; 8] = [
            (&request.name.as_bytes(), Type::BYTEA),
            (&request.owner.as_bytes(), Type::BYTEA),
            (&to_millis(request.ttl), Type::INT8),
            (&self.wakes.session, Type::TEXT),
            (&number, Type::INT8),
            (&ticket, Type::INT8),
            (&to_millis(SESSION_TTL), Type::INT8),
            (&i64::from(MAX_WAITING), Type::INT8),
        ];
        let found = self.numbers("SELECT everywire.take($1, $2, $3, $4, $5, $6, $7, $8)", &arguments).await?;
        taken(request, place.map(|place| &mut place.ticket), &found)
    }

    async fn woken(&self, place: &mut Place) {
        place.woken().await;
    }

    async fn leave(&self, request: &Request, place: &Place) -> Result<()> {
        let arguments: [Argument; 2] = [(&request.name.as_bytes(), Type::BYTEA), (&place.ticket, Type::INT8)];
        self.numbers("SELECT everywire.leave($1, $2)", &arguments).await.map(drop)
    }

    async fn unlock(&self, name: &str, owner: &str) -> Result<bool> {
        let arguments: [Argument; 2] = [(&name.as_bytes(), Type::BYTEA), (&owner.as_bytes(), Type::BYTEA)];
        Ok(self.numbers("SELECT everywire.unlock($1, $2)", &arguments).await? == [1])
    }

    async fn renew(&self, request: &Request) -> Result<LockGrant> {
        let arguments: [Argument; 3] = [
            (&request.name.as_bytes(), Type::BYTEA),
            (&request.owner.as_bytes(), Type::BYTEA),
            (&to_millis(request.ttl), Type::INT8),
        ];
        Ok(renewed(request, &self.numbers("SELECT everywire.renew($1, $2, $3)", &arguments).await?))
    }

    async fn state(&self, name: &str) -> Result<LockState> {
        const STATE: &str = "
            SELECT owner, token, now - since, until - now, waiting
            FROM everywire.now_ms() now, (SELECT count(*) FROM everywire.waits WHERE name = $1) waits (waiting)
            LEFT JOIN everywire.locks ON name = $1 AND until > everywire.now_ms()";
        let row = self.pool.row(STATE, &[(&name.as_bytes(), Type::BYTEA)]).await?;
        let number = |index| Ok::<_, RpcError>(column::<Option<i64>>(&row, index)?.unwrap_or(0).max(0).unsigned_abs());
        let owner = column::<Option<Vec<u8>>>(&row, 0)?.map(|owner| String::from_utf8_lossy(&owner).into_owned());
        let (token, held_ms, ttl_ms) = (number(1)?, number(2)?, number(3)?);
        let waiting = number(4)?.try_into().unwrap_or(u32::MAX);
        Ok(LockState { held: owner.is_some(), owner, token, held_ms, ttl_ms, waiting })
    }
}
