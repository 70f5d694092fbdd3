//! Connections to one MariaDB, and the check that it is writable.

use std::sync::Arc;

use everywire_core::{Result, RpcError};
use mysql_async::{
    Error, Opts, OptsBuilder, Params, Pool, PoolConstraints, PoolOpts,
    prelude::{FromRow, Queryable},
};

use crate::{
    failure::{Failure, Names},
    reconnect::{Connect, Health, Reconnecting},
};

/// The most connections.
const MAX_CONNECTIONS: usize = 8;
/// The most attempts at a step that the engine aborts to break a deadlock.
const TRIES: usize = 5;
/// The engine's error code for a deadlock.
const DEADLOCK: u16 = 1213;

/// One MariaDB.
#[derive(Debug, Clone)]
pub struct Database(Arc<Reconnecting<Connector>>);

#[derive(Debug)]
struct Connector(Opts);

impl Database {
    /// Connects to the MariaDB at `url` and runs the statements of `install` there, separated by lines of `//`. Errors of calls
    /// name the engine by its `role`.
    pub async fn connect(url: &str, role: &str, install: &str) -> Result<Self> {
        let bad = |error| RpcError::invalid_argument(format!("no URL of a MariaDB: {error}"));
        let url = url.replacen("mariadb://", "mysql://", 1);
        let opts = Opts::from_url(&url).map_err(bad)?;
        let names = Names::new(format!("mysql://{}:{}", opts.ip_or_hostname(), opts.tcp_port()), role);
        let constraints = PoolConstraints::new(0, MAX_CONNECTIONS).expect("zero is less");
        // The library would resolve an IPv6 address with its brackets as a name.
        let host = opts.ip_or_hostname().trim_matches(['[', ']']).to_owned();
        let opts = OptsBuilder::from_opts(opts)
            .ip_or_hostname(host)
            .pool_opts(PoolOpts::default().with_constraints(constraints))
            .init(vec![
                "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
                "SET SESSION innodb_lock_wait_timeout = 2",
            ])
            .prefer_socket(false);
        let database = Self(Reconnecting::connect(Connector(opts.into()), names).await?.into());
        for statement in install.split("\n//\n") {
            let install = |pool: Pool| async move {
                let outcome = async { pool.get_conn().await?.query_drop(statement).await }.await;
                outcome.map_err(|error| failure(&error))
            };
            database.0.run_at_start(install).await?;
        }
        Ok(database)
    }

    /// The engine's names in messages.
    pub fn names(&self) -> &Names {
        self.0.names()
    }

    /// Runs a statement and returns its rows.
    pub async fn rows<T: FromRow + Send + 'static>(&self, call: &str, arguments: Params) -> Result<Vec<T>> {
        let arguments = &arguments;
        let attempt = |pool: Pool| async move {
            let mut connection = pool.get_conn().await?;
            connection.exec(call, arguments.clone()).await
        };
        self.retried(attempt).await
    }

    /// Runs an INSERT, and returns the first number that it generated.
    pub async fn insert(&self, insert: &str) -> Result<u64> {
        let attempt = |pool: Pool| async move {
            let mut connection = pool.get_conn().await?;
            connection.query_drop(insert).await.map(|()| connection.last_insert_id())
        };
        self.retried(attempt).await?.ok_or_else(|| RpcError::internal("the database drew no number"))
    }

    async fn retried<T, F>(&self, attempt: impl Fn(Pool) -> F) -> Result<T>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let attempt = &attempt;
        let tries = |pool: Pool| async move {
            for _ in 1..TRIES {
                match attempt(pool.clone()).await {
                    Err(Error::Server(error)) if error.code == DEADLOCK => {}
                    outcome => return outcome.map_err(|error| failure(&error)),
                }
            }
            attempt(pool).await.map_err(|error| failure(&error))
        };
        self.0.run(tries).await
    }
}

impl Connect for Connector {
    type Connection = Pool;

    /// Creates a new pool, so that no step gets a connection from before the loss.
    async fn connect(&self, _: Option<&Pool>, _: &Health) -> Result<Pool, Failure> {
        // Some versions return a word, some a number.
        const LOOK: &str = "SELECT CONCAT(@@global.read_only)";
        let pool = Pool::new(self.0.clone());
        let mut connection = pool.get_conn().await.map_err(|error| failure(&error))?;
        let read_only: Option<String> = connection.query_first(LOOK).await.map_err(|error| failure(&error))?;
        match read_only.as_deref() {
            None | Some("0" | "OFF") => Ok(pool),
            Some(_) => Err(Failure::Unfit("is read-only, as replicas are; give the address of the primary".to_owned())),
        }
    }
}

/// The errors of a server that is read-only, is shutting down, has closed the connection, or has left its cluster.
const CONNECTION_LOST: [u16; 9] = [1036, 1047, 1053, 1290, 1792, 1836, 1927, 3032, 4031];

fn failure(error: &Error) -> Failure {
    let words = error.to_string();
    match error {
        Error::Server(said) if !CONNECTION_LOST.contains(&said.code) => Failure::Rejected(words),
        Error::Server(_) | Error::Io(_) | Error::Driver(_) => Failure::Lost(words),
        Error::Other(_) | Error::Url(_) => Failure::Rejected(words),
    }
}
