//! Locks in PostgreSQL: one function per step, a row per lock, and LISTEN and NOTIFY for the waiters.

use std::{future::poll_fn, sync::Arc};

use rpc_core::{Result, RpcError};
use tokio::{sync::Mutex, task::JoinSet, time::sleep};
use tokio_postgres::{
    AsyncMessage, Client, Config, NoTls, Row,
    config::Host,
    types::{FromSql, ToSql, Type},
};

use super::{
    Request,
    engine::{Engine, FIRST_RETRY, MAX_WAITING, STEP_TIME, Shared, Taken, longer, step, to_millis},
    found::{renewed, taken},
    reconnect::Reconnect,
    wakes::{Place, SESSION_TTL, Strays, Wakes, take_out},
};
use crate::{LockGrant, LockState};

/// Locks in a PostgreSQL.
pub type PostgresLocks = Shared<Postgres>;

/// Connections for steps at most; each runs one at a time. One more listens.
const CONNECTIONS: usize = 4;

/// One PostgreSQL.
#[derive(Debug)]
pub struct Postgres {
    pool: Arc<Pool>,
    wakes: Arc<Wakes>,
    /// End with this.
    _tasks: JoinSet<()>,
}

/// Connections to one PostgreSQL.
#[derive(Debug)]
pub(crate) struct Pool {
    /// The engine in messages: its address without a password.
    pub(crate) name: String,
    config: Config,
    clients: Mutex<Vec<Arc<Client>>>,
    reconnect: Reconnect,
}

pub(crate) type Argument<'a> = (&'a (dyn ToSql + Sync), Type);

impl Postgres {
    /// Connects to `postgres://USER:PASSWORD@HOST:PORT/DATABASE` and makes the schema `everywire` there.
    pub async fn connect(url: &str) -> Result<Self> {
        let pool = Arc::new(Pool::connect(url, "locks", include_str!("lock.sql")).await?);
        let ((wakes, strays), mut tasks) = (Wakes::new(), JoinSet::new());
        tasks.spawn(listen(Arc::clone(&pool), Arc::clone(&wakes)));
        tasks.spawn(beats(Arc::clone(&pool), Arc::clone(&wakes)));
        tasks.spawn(forget(Arc::clone(&pool), wakes.session.clone(), strays));
        Ok(Self { pool, wakes, _tasks: tasks })
    }

    async fn numbers(&self, call: &str, arguments: &[Argument<'_>]) -> Result<Vec<i64>> {
        self.pool.run(call, arguments).await
    }
}

impl Pool {
    /// Connects to the PostgreSQL at a URL and runs `script` there, if it is not what ran last under this name.
    pub(crate) async fn connect(url: &str, script_name: &str, script: &str) -> Result<Self> {
        let mut config: Config =
            url.parse().map_err(|error| RpcError::invalid_argument(format!("no URL of a PostgreSQL: {error}")))?;
        let time = STEP_TIME.as_millis();
        config
            .connect_timeout(STEP_TIME)
            .options(format!("-c statement_timeout={time} -c client_min_messages=warning"));
        let host = config.get_hosts().first().map_or("", |host| match host {
            Host::Tcp(name) => name,
            Host::Unix(path) => path.to_str().unwrap_or(""),
        });
        let name = format!("postgres://{host}:{}", config.get_ports().first().unwrap_or(&5432));
        let (clients, reconnect) = Default::default();
        let pool = Self { name, config, clients, reconnect };
        let installed = async {
            let client = pool.client().await?;
            install(&client, script_name, script).await.map_err(|error| error.to_string())
        };
        step(&pool.name, installed).await?;
        Ok(pool)
    }

    /// A connection that is idle, or else a new one; if the engine gives no more, the one that has the least to do.
    async fn client(&self) -> Result<Arc<Client>, String> {
        let mut clients = self.clients.lock().await;
        clients.retain(|client| !client.is_closed());
        // Beside this list, each step has the connection that it runs on.
        let steps = |client: &Arc<Client>| Arc::strong_count(client) - 1;
        let quietest = clients.iter().min_by_key(|client| steps(client));
        if let Some(client) = quietest.filter(|client| steps(client) == 0 || clients.len() == CONNECTIONS) {
            return Ok(Arc::clone(client));
        }
        match self.reconnect.attempt(self.config.connect(NoTls)).await {
            Ok((client, connection)) => {
                // It ends when the client is dropped.
                tokio::spawn(connection);
                let client = Arc::new(client);
                clients.push(Arc::clone(&client));
                Ok(client)
            }
            Err(error) => quietest.cloned().ok_or(error),
        }
    }

    async fn row(&self, call: &str, arguments: &[Argument<'_>]) -> Result<Row> {
        let query =
            async { self.client().await?.query_typed(call, arguments).await.map_err(|error| error.to_string()) };
        let mut rows = step(&self.name, query).await?;
        rows.pop().ok_or_else(|| RpcError::internal("a function of the database returned nothing"))
    }

    /// The one value that a call returns.
    pub(crate) async fn run<T: for<'a> FromSql<'a>>(&self, call: &str, arguments: &[Argument<'_>]) -> Result<T> {
        column(&self.row(call, arguments).await?, 0)
    }
}

/// One server after the other; all but the first find it done, so that many can start at the same time.
async fn install(client: &Client, name: &str, script: &str) -> Result<(), tokio_postgres::Error> {
    const BEGIN: &str = "
        BEGIN;
        SELECT pg_advisory_xact_lock(4242);
        CREATE SCHEMA IF NOT EXISTS everywire;
        CREATE TABLE IF NOT EXISTS everywire.scripts (name text PRIMARY KEY, script text NOT NULL)";
    const NOTE: &str = "
        INSERT INTO everywire.scripts AS present VALUES ($1, $2)
        ON CONFLICT (name) DO UPDATE SET script = $2 WHERE present.script <> $2 RETURNING true";
    client.batch_execute(BEGIN).await?;
    if !client.query_typed(NOTE, &[(&name, Type::TEXT), (&script, Type::TEXT)]).await?.is_empty() {
        client.batch_execute(script).await?;
    }
    client.batch_execute("COMMIT").await
}

fn column<T: for<'a> FromSql<'a>>(row: &Row, index: usize) -> Result<T> {
    row.try_get(index).map_err(|error| RpcError::internal(format_args!("a function of the database: {error}")))
}

/// Keeps a connection that passes the engine's messages on.
async fn listen(pool: Arc<Pool>, wakes: Arc<Wakes>) {
    let mut pause = FIRST_RETRY;
    loop {
        match step(&pool.name, pool.config.connect(NoTls)).await {
            Ok((client, mut connection)) => {
                pause = FIRST_RETRY;
                let listen = format!("LISTEN everywire_{}; LISTEN everywire_all", wakes.session);
                let messages = async {
                    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                        if let AsyncMessage::Notification(message) = message {
                            wakes.message(message.payload());
                        }
                    }
                };
                let begin = async {
                    if client.batch_execute(&listen).await.is_ok() {
                        wakes.wake_all();
                    }
                };
                tokio::join!(messages, begin);
            }
            Err(error) => tracing::debug!("nobody listens to the engine of the locks: {error}"),
        }
        sleep(pause).await;
        pause = longer(pause);
    }
}

/// Tells the engine that this server is alive, as long as somebody waits.
async fn beats(pool: Arc<Pool>, wakes: Arc<Wakes>) {
    let (pool, ttl) = (&pool, &to_millis(SESSION_TTL));
    let session = &wakes.session;
    let beat = || async move {
        let arguments: [Argument; 2] = [(session, Type::TEXT), (ttl, Type::INT8)];
        pool.row("SELECT everywire.beat($1, $2)", &arguments).await.map(drop)
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

    fn name(&self) -> &str {
        &self.pool.name
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
