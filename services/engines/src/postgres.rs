//! Connections to one PostgreSQL, and the check that it can be written to and passes messages on.

use std::{error::Error, fmt, future::poll_fn, sync::Arc, time::Duration};

use everywire_core::{Result, RpcError};
use tokio::{
    sync::{Mutex, Notify},
    task::JoinSet,
    time::timeout,
};
use tokio_postgres::{
    AsyncMessage, Client, Config, Connection, NoTls, Row, Socket,
    config::{Host, TargetSessionAttrs},
    tls::NoTlsStream,
    types::{FromSql, ToSql, Type},
};

use crate::{
    failure::{Failure, Names},
    reconnect::{Connect, Health, Reconnecting, STEP_TIME},
};

/// The most connections for steps; each runs one step at a time. One more connection listens.
const CONNECTIONS: usize = 4;
/// A message from the engine that takes longer is considered lost.
const MESSAGE_TIME: Duration = Duration::from_secs(2);
/// The first message to a connection that listens.
const LISTENS: &str = "listens";

/// An argument of a statement, and its type.
pub type Argument<'a> = (&'a (dyn ToSql + Sync), Type);

/// Is called with each message, and with nothing when a connection begins: messages before it may be lost.
type Told = dyn Fn(Option<&str>) + Send + Sync;

/// Where messages of channels go.
#[derive(Clone)]
pub struct Subscription {
    /// The channels, of which at least the first is of this server alone.
    pub channels: Vec<String>,
    /// Is called with each message, and with nothing when a connection begins, because messages before it may be lost.
    pub message: Arc<Told>,
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("channels", &self.channels).finish_non_exhaustive()
    }
}

/// One PostgreSQL.
#[derive(Debug)]
pub struct Pool(Reconnecting<Connector>);

#[derive(Debug)]
struct Connector {
    config: Config,
    subscription: Option<Subscription>,
}

/// The connections that were made since the engine was last lost.
#[derive(Debug)]
pub struct Connections {
    config: Config,
    clients: Mutex<Vec<Arc<Client>>>,
    _listener: Option<Listener>,
}

/// A connection that passes the engine's messages on.
#[derive(Debug)]
struct Listener {
    _client: Client,
    _messages: JoinSet<()>,
}

impl Pool {
    /// Connects to the PostgreSQL at a URL, and runs `script` there unless it is the last one that ran under this name. Errors of
    /// calls name it by its `role`. Its messages go to `subscription`.
    pub async fn connect(
        url: &str,
        role: &str,
        subscription: Option<Subscription>,
        (script_name, script): (&str, &str),
    ) -> Result<Self> {
        let bad = |error| RpcError::invalid_argument(format!("no URL of a PostgreSQL: {}", words(&error)));
        let mut config: Config = url.parse().map_err(bad)?;
        let time = STEP_TIME.as_millis();
        config
            .connect_timeout(STEP_TIME)
            .tcp_user_timeout(STEP_TIME)
            .options(format!("-c statement_timeout={time} -c client_min_messages=warning"));
        if config.get_hosts().len() > 1 {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        let names = Names::new(address(&config), role);
        let pool = Self(Reconnecting::connect(Connector { config, subscription }, names).await?);
        let install = |connections: Arc<Connections>| async move {
            install(&*connections.client().await?, script_name, script).await.map_err(|error| failure(&error))
        };
        pool.0.run_at_start(install).await?;
        Ok(pool)
    }

    /// What the engine is called in messages.
    pub fn names(&self) -> &Names {
        self.0.names()
    }

    /// The one row that a call returns.
    pub async fn row(&self, call: &str, arguments: &[Argument<'_>]) -> Result<Row> {
        let query = |connections: Arc<Connections>| async move {
            connections.client().await?.query_typed(call, arguments).await.map_err(|error| failure(&error))
        };
        let mut rows = self.0.run(query).await?;
        rows.pop().ok_or_else(|| RpcError::internal("a function of the database returned nothing"))
    }

    /// The one value that a call returns.
    pub async fn run<T: for<'a> FromSql<'a>>(&self, call: &str, arguments: &[Argument<'_>]) -> Result<T> {
        column(&self.row(call, arguments).await?, 0)
    }
}

/// The value of a column.
pub fn column<T: for<'a> FromSql<'a>>(row: &Row, index: usize) -> Result<T> {
    row.try_get(index)
        .map_err(|error| RpcError::internal(format_args!("a function of the database: {}", words(&error))))
}

fn address(config: &Config) -> String {
    let port = |place| config.get_ports().get(place).or(config.get_ports().first()).unwrap_or(&5432);
    let hosts = config.get_hosts().iter().enumerate().map(|(place, host)| match host {
        Host::Tcp(name) if name.contains(':') => format!("[{name}]:{}", port(place)),
        Host::Tcp(name) => format!("{name}:{}", port(place)),
        Host::Unix(path) => path.display().to_string(),
    });
    format!("postgres://{}", hosts.collect::<Vec<_>>().join(","))
}

/// Runs `script` under an advisory lock, so that several servers can start at a time: all but the first find it done.
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

impl Connect for Connector {
    type Connection = Arc<Connections>;

    async fn connect(&self, _: Option<&Arc<Connections>>, health: &Health) -> Result<Arc<Connections>, Failure> {
        let client = open(&self.config).await?;
        let listener = match &self.subscription {
            Some(subscription) => Some(listen(&self.config, subscription, &client, health).await?),
            None => None,
        };
        let clients = Mutex::new(vec![Arc::new(client)]);
        Ok(Connections { config: self.config.clone(), clients, _listener: listener }.into())
    }
}

impl Connections {
    /// An idle connection, or a new one. If there can't be more, the one with the fewest steps.
    async fn client(&self) -> Result<Arc<Client>, Failure> {
        let mut clients = self.clients.lock().await;
        clients.retain(|client| !client.is_closed());
        // Beside this list, each step has the connection that it runs on.
        let steps = |client: &Arc<Client>| Arc::strong_count(client) - 1;
        let quietest = clients.iter().min_by_key(|client| steps(client)).cloned();
        // The clone counts.
        let is_idle = |client: &Arc<Client>| steps(client) == 1;
        if let Some(client) = quietest.as_ref().filter(|client| is_idle(client) || clients.len() == CONNECTIONS) {
            return Ok(Arc::clone(client));
        }
        match open(&self.config).await {
            Ok(client) => {
                let client = Arc::new(client);
                clients.push(Arc::clone(&client));
                Ok(client)
            }
            Err(failure) => quietest.ok_or(failure),
        }
    }
}

/// A connection for steps, to a server that can be written to.
async fn open(config: &Config) -> Result<Client, Failure> {
    let (client, connection) = config.connect(NoTls).await.map_err(|error| failure(&error))?;
    // It ends when the client is dropped.
    tokio::spawn(connection);
    let [standby, read_only] = is_read_only(&client).await.map_err(|error| failure(&error))?;
    match (standby, read_only) {
        (true, _) => Err(Failure::Unfit("is a standby in recovery; give the address of the primary".to_owned())),
        (_, true) => Err(Failure::Unfit("is read-only: default_transaction_read_only is on".to_owned())),
        _ => Ok(client),
    }
}

async fn is_read_only(client: &Client) -> Result<[bool; 2], tokio_postgres::Error> {
    const LOOK: &str = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'";
    let rows = client.query_typed(LOOK, &[]).await?;
    let Some(row) = rows.first() else { return Ok([false, false]) };
    Ok([row.try_get(0)?, row.try_get(1)?])
}

/// Makes a connection that passes the engine's messages on, and sends the first one from `client`.
async fn listen(
    config: &Config,
    subscription: &Subscription,
    client: &Client,
    health: &Health,
) -> Result<Listener, Failure> {
    let Subscription { channels, message } = subscription;
    let (listener, connection) = config.connect(NoTls).await.map_err(|error| failure(&error))?;
    let (first, mut messages) = (Arc::new(Notify::new()), JoinSet::new());
    messages.spawn(pass_on(connection, Arc::clone(message), Arc::clone(&first), health.clone()));
    let listen: Vec<_> = channels.iter().map(|channel| format!("LISTEN {channel}")).collect();
    let listen = listen.join("; ");
    listener.batch_execute(&listen).await.map_err(|error| failure(&error))?;
    // Sent from another connection: a pooler in transaction mode loses such a message, and not one from the same connection.
    let arguments: [Argument; 2] = [(&channels.first(), Type::TEXT), (&LISTENS, Type::TEXT)];
    client.query_typed("SELECT pg_notify($1, $2)", &arguments).await.map_err(|error| failure(&error))?;
    timeout(MESSAGE_TIME, first.notified()).await.map_err(|_| {
        let why = "no NOTIFY reaches a LISTEN: a pooler in transaction mode, such as PgBouncer, has no sessions; give the \
            address of PostgreSQL itself, or of a pool with pool_mode=session";
        Failure::Unfit(why.to_owned())
    })?;
    message(None);
    Ok(Listener { _client: listener, _messages: messages })
}

async fn pass_on(mut connection: Connection<Socket, NoTlsStream>, told: Arc<Told>, first: Arc<Notify>, health: Health) {
    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
        match message {
            AsyncMessage::Notification(message) if message.payload() == LISTENS => first.notify_one(),
            AsyncMessage::Notification(message) => told(Some(message.payload())),
            _ => {}
        }
    }
    health.ended();
}

/// SQLSTATEs, or their prefixes, of a server that can't be written to, is shutting down, or has closed the connection.
const USELESS: [&str; 4] = ["25006", "08", "57P", "25P0"];

fn failure(error: &tokio_postgres::Error) -> Failure {
    let is_useless = |code: &str| USELESS.iter().any(|useless| code.starts_with(useless));
    match error.code() {
        Some(code) if !is_useless(code.code()) => Failure::Rejected(words(error)),
        _ => Failure::Lost(words(error)),
    }
}

/// The server's message; without one, the library's with its causes.
fn words(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        let hint = said.hint().map_or_else(String::new, |hint| format!("; {hint}"));
        return format!("{}: {} (SQLSTATE {}){hint}", said.severity(), said.message(), said.code().code());
    }
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}
