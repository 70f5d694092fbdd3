//! The connections that run steps.
//!
//! They are not in a pool of a library such as `deadpool-postgres`, which gives each connection to one step at a time. When
//! the server allows no more connections (`max_connections`, or a pooler's limit), such a step fails; here it shares a
//! connection with others.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_postgres::{Client, Config, NoTls};

use super::{listener::Listener, statement::failure};
use crate::failure::Failure;

/// The most connections for steps. One more connection listens.
const MAX_CONNECTIONS: usize = 4;

/// The connections that were made since the engine was last lost.
#[derive(Debug)]
pub(super) struct Connections {
    config: Config,
    clients: Mutex<Vec<Arc<Client>>>,
    /// Held while a connection is opened, so that they are opened one at a time.
    opening: tokio::sync::Mutex<()>,
    _listener: Option<Listener>,
}

/// What a step gets if it wants a connection.
enum Choice {
    /// An idle connection, or the one with the fewest steps if there can't be more.
    Use(Arc<Client>),
    /// All are in use and there may be one more. If it can't be had: the connection with the fewest steps, if there is one.
    Open(Option<Arc<Client>>),
}

impl Connections {
    pub(super) fn new(config: Config, first: Client, listener: Option<Listener>) -> Self {
        let (clients, opening) = (Mutex::new(vec![Arc::new(first)]), tokio::sync::Mutex::default());
        Self { config, clients, opening, _listener: listener }
    }

    /// An idle connection, or a new one. While another step opens one, and if there can't be more, the one with the fewest
    /// steps.
    pub(super) async fn client(&self) -> Result<Arc<Client>, Failure> {
        let quietest = match self.choose() {
            Choice::Use(client) => return Ok(client),
            Choice::Open(quietest) => quietest,
        };
        let _opening = match (self.opening.try_lock(), quietest) {
            (Ok(opening), _) => opening,
            (Err(_), Some(client)) => return Ok(client),
            (Err(_), None) => self.opening.lock().await,
        };
        // Another step may have opened one before the lock was free.
        let quietest = match self.choose() {
            Choice::Use(client) => return Ok(client),
            Choice::Open(quietest) => quietest,
        };
        match open(&self.config).await {
            Ok(client) => {
                let client = Arc::new(client);
                self.clients().push(Arc::clone(&client));
                Ok(client)
            }
            Err(failure) => quietest.ok_or(failure),
        }
    }

    fn choose(&self) -> Choice {
        let mut clients = self.clients();
        clients.retain(|client| !client.is_closed());
        // Each step holds a clone of its client; the list holds one more.
        let steps = |client: &Arc<Client>| Arc::strong_count(client) - 1;
        let quietest = clients.iter().map(|client| (steps(client), client)).min_by_key(|(steps, _)| *steps);
        match quietest {
            Some((steps, client)) if steps == 0 || clients.len() >= MAX_CONNECTIONS => Choice::Use(Arc::clone(client)),
            quietest => Choice::Open(quietest.map(|(_, client)| Arc::clone(client))),
        }
    }

    fn clients(&self) -> MutexGuard<'_, Vec<Arc<Client>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a connection for steps to a writable server.
pub(super) async fn open(config: &Config) -> Result<Client, Failure> {
    let (client, connection) = config.connect(NoTls).await.map_err(|error| failure(&error))?;
    // The task ends when the client is dropped.
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
