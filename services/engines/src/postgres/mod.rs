//! Connections to one PostgreSQL, and the check that it is writable and delivers messages.

mod connections;
mod listener;
mod statement;

use std::sync::Arc;

use everywire_core::{Result, RpcError};
use tokio_postgres::{
    Client, Config, Row,
    config::{Host, TargetSessionAttrs},
    types::{FromSql, Type},
};

use self::{
    connections::Connections,
    listener::listen,
    statement::{failure, words},
};
pub use self::{listener::Subscription, statement::Argument};
use crate::{
    failure::{Failure, Names},
    reconnect::{Connect, Health, Reconnecting, STEP_TIME},
};

/// One PostgreSQL.
#[derive(Debug)]
pub struct Pool(Reconnecting<Connector>);

#[derive(Debug)]
struct Connector {
    config: Config,
    subscription: Option<Subscription>,
}

impl Pool {
    /// Connects to the PostgreSQL at `url`, and runs `script` there unless it is the last one that ran under its name. Errors of
    /// calls name the engine by its `role`. Messages go to `subscription`.
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

    /// The engine's names in messages.
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

impl Connect for Connector {
    type Connection = Arc<Connections>;

    async fn connect(&self, _: Option<&Arc<Connections>>, health: &Health) -> Result<Arc<Connections>, Failure> {
        let client = connections::open(&self.config).await?;
        let listener = match &self.subscription {
            Some(subscription) => Some(listen(&self.config, subscription, &client, health).await?),
            None => None,
        };
        Ok(Connections::new(self.config.clone(), client, listener).into())
    }
}

/// The value of a column.
pub fn column<T: for<'a> FromSql<'a>>(row: &Row, index: usize) -> Result<T> {
    row.try_get(index)
        .map_err(|error| RpcError::internal(format_args!("a function of the database: {}", words(&error))))
}

/// The URL without user, password and database.
fn address(config: &Config) -> String {
    let port = |index| config.get_ports().get(index).or(config.get_ports().first()).unwrap_or(&5432);
    let hosts = config.get_hosts().iter().enumerate().map(|(index, host)| match host {
        Host::Tcp(name) if name.contains(':') => format!("[{name}]:{}", port(index)),
        Host::Tcp(name) => format!("{name}:{}", port(index)),
        Host::Unix(path) => path.display().to_string(),
    });
    format!("postgres://{}", hosts.collect::<Vec<_>>().join(","))
}

/// Runs `script` under an advisory lock, so that several servers can start at once: all but the first find it done.
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
