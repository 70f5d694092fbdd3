//! Locks in PostgreSQL: a row per lock, one function per step, LISTEN and NOTIFY to wake waiters and watchers.

use std::{fmt::Write, sync::Arc};

use everywire_core::{Result, RpcError};
use everywire_engines::{
    failure::Names,
    postgres::{Argument, Pool, Subscription, column},
};
use tokio::{task::JoinSet, time::Instant};
use tokio_postgres::types::Type;

use crate::{
    LockGrant, LockState, Request,
    changes::{Change, Changes},
    engine::{Engine, MAX_WAITING, Shared, Taken, to_millis},
    step_reply::StepReply,
    waiters::{Orphans, SESSION_TTL, Waiter, Waiters, evict},
    watch::{Observe, WATCH_TTL},
};

/// Locks in a PostgreSQL.
pub type PostgresLocks = Shared<Postgres>;

/// One PostgreSQL.
#[derive(Debug)]
pub struct Postgres {
    pool: Arc<Pool>,
    waiters: Arc<Waiters>,
    changes: Arc<Changes>,
    /// Aborted on drop.
    _tasks: JoinSet<()>,
}

impl Postgres {
    /// Connects to `postgres://USER:PASSWORD@HOST:PORT/DATABASE` and creates the schema `everywire` there.
    pub async fn connect(url: &str) -> Result<Self> {
        let ((waiters, orphans), changes, mut tasks) = (Waiters::new(), Arc::<Changes>::default(), JoinSet::new());
        let (role, script) = ("the PostgreSQL that keeps the locks", ("locks", include_str!("lock.sql")));
        let own = format!("everywire_{}", waiters.session);
        let channels = vec![own, "everywire_all".to_owned(), "everywire_changes".to_owned()];
        let message = Arc::new(on_message(Arc::clone(&waiters), Arc::clone(&changes)));
        let subscription = Subscription { channels, message };
        let pool = Arc::new(Pool::connect(url, role, Some(subscription), script).await?);
        tasks.spawn(heartbeat(Arc::clone(&pool), Arc::clone(&waiters)));
        tasks.spawn(evict_orphans(Arc::clone(&pool), waiters.session.clone(), orphans));
        Ok(Self { pool, waiters, changes, _tasks: tasks })
    }

    async fn step(&self, call: &str, arguments: &[Argument<'_>]) -> Result<StepReply> {
        self.pool.run(call, arguments).await.map(StepReply)
    }
}

/// Wakes the waiter or the watch that a message is for, and all of them when a connection begins.
fn on_message(waiters: Arc<Waiters>, changes: Arc<Changes>) -> impl Fn(Option<&str>) + Send + Sync {
    move |message| match message.map(|message| (message, message.strip_prefix("lock "))) {
        Some((_, Some(name))) => changes.report(name),
        Some((message, None)) => waiters.message(message),
        None => {
            waiters.wake_all();
            changes.report_all();
        }
    }
}

/// A name in messages: its bytes in hexadecimal digits.
fn encoded(name: &str) -> String {
    name.bytes().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// While calls wait, tells the engine that this server is alive, and asks whose turn it is, because a message may be lost.
async fn heartbeat(pool: Arc<Pool>, waiters: Arc<Waiters>) {
    let (pool, ttl) = (&pool, &to_millis(SESSION_TTL));
    let waiting = &waiters;
    let beat = || async move {
        let arguments: [Argument; 2] = [(&waiting.session, Type::TEXT), (ttl, Type::INT8)];
        let turns: Vec<i64> = pool.run("SELECT everywire.beat($1, $2)", &arguments).await?;
        waiting.turns(&turns);
        Ok(())
    };
    waiters.heartbeat(SESSION_TTL / 3, beat).await;
}

/// Removes waiters from their queues that no longer exist.
async fn evict_orphans(pool: Arc<Pool>, session: String, orphans: Orphans) {
    let (pool, session) = (&pool, &session);
    let forget = |number: String| async move {
        let number = number.parse::<i64>().unwrap_or(0);
        let arguments: [Argument; 2] = [(session, Type::TEXT), (&number, Type::INT8)];
        pool.row("SELECT everywire.forget($1, $2)", &arguments).await.map(drop)
    };
    evict(orphans, forget).await;
}

/// A watched lock.
#[derive(Debug)]
pub(super) struct Watched {
    change: Change,
    /// When the engine was last told that the lock is watched.
    marked: Option<Instant>,
}

impl Observe for Postgres {
    type Watch = Watched;

    fn watch(&self, name: &str) -> Watched {
        Watched { change: self.changes.watch(encoded(name)), marked: None }
    }

    async fn look(&self, name: &str, watch: &mut Watched) -> Result<LockState> {
        if watch.marked.is_none_or(|marked| marked.elapsed() >= WATCH_TTL / 4) {
            let now = Instant::now();
            let arguments: [Argument; 2] = [(&name.as_bytes(), Type::BYTEA), (&to_millis(WATCH_TTL), Type::INT8)];
            self.step("SELECT everywire.watch($1, $2)", &arguments).await?;
            watch.marked = Some(now);
        }
        self.state(name).await
    }

    async fn changed(&self, watch: &mut Watched) {
        watch.change.reported().await;
    }
}

impl Engine for Postgres {
    type Waiter = Waiter;

    fn names(&self) -> &Names {
        self.pool.names()
    }

    fn waiter(&self) -> Waiter {
        self.waiters.register()
    }

    async fn take(&self, request: &Request, waiter: Option<&mut Waiter>) -> Result<Taken> {
        let number = waiter.as_ref().map_or(0, |waiter| i64::try_from(waiter.number).unwrap_or(i64::MAX));
        let ticket = waiter.as_ref().map_or(0, |waiter| waiter.ticket);
        let arguments: [Argument; 8] = [
            (&request.name.as_bytes(), Type::BYTEA),
            (&request.owner.as_bytes(), Type::BYTEA),
            (&to_millis(request.ttl), Type::INT8),
            (&self.waiters.session, Type::TEXT),
            (&number, Type::INT8),
            (&ticket, Type::INT8),
            (&to_millis(SESSION_TTL), Type::INT8),
            (&i64::from(MAX_WAITING), Type::INT8),
        ];
        let reply = self.step("SELECT everywire.take($1, $2, $3, $4, $5, $6, $7, $8)", &arguments).await?;
        reply.taken(request, waiter.map(|waiter| &mut waiter.ticket))
    }

    async fn woken(&self, waiter: &mut Waiter) {
        waiter.woken().await;
    }

    async fn leave(&self, request: &Request, waiter: &Waiter) -> Result<()> {
        let arguments: [Argument; 2] = [(&request.name.as_bytes(), Type::BYTEA), (&waiter.ticket, Type::INT8)];
        self.step("SELECT everywire.leave($1, $2)", &arguments).await.map(drop)
    }

    async fn unlock(&self, name: &str, owner: &str) -> Result<bool> {
        let arguments: [Argument; 2] = [(&name.as_bytes(), Type::BYTEA), (&owner.as_bytes(), Type::BYTEA)];
        Ok(self.step("SELECT everywire.unlock($1, $2)", &arguments).await?.unlocked())
    }

    async fn renew(&self, request: &Request) -> Result<LockGrant> {
        let arguments: [Argument; 3] = [
            (&request.name.as_bytes(), Type::BYTEA),
            (&request.owner.as_bytes(), Type::BYTEA),
            (&to_millis(request.ttl), Type::INT8),
        ];
        Ok(self.step("SELECT everywire.renew($1, $2, $3)", &arguments).await?.renewed(request))
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
