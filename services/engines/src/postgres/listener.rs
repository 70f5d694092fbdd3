//! The connection that receives the engine's messages.

use std::{fmt, future::poll_fn, sync::Arc, time::Duration};

use tokio::{sync::Notify, task::JoinSet, time::timeout};
use tokio_postgres::{AsyncMessage, Client, Config, Connection, NoTls, Socket, tls::NoTlsStream, types::Type};

use super::statement::{Argument, failure};
use crate::{failure::Failure, reconnect::Health};

/// Called with each message, and with `None` when a connection begins, because earlier messages may be lost.
type OnMessage = dyn Fn(Option<&str>) + Send + Sync;

/// The channels to listen to, and the receiver of their messages.
#[derive(Clone)]
pub struct Subscription {
    /// The channels. The first one must belong to this server alone.
    pub channels: Vec<String>,
    /// Called with each message, and with `None` when a connection begins, because earlier messages may be lost.
    pub message: Arc<OnMessage>,
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("channels", &self.channels).finish_non_exhaustive()
    }
}

/// A message from the engine that takes longer counts as lost.
const MESSAGE_TIME: Duration = Duration::from_secs(2);
/// The first message to a connection that listens.
const LISTENS: &str = "listens";

/// A connection that forwards the engine's messages.
#[derive(Debug)]
pub(super) struct Listener {
    _client: Client,
    _messages: JoinSet<()>,
}

/// Opens a connection that forwards the engine's messages, and waits for a first one sent from `client`.
pub(super) async fn listen(
    config: &Config,
    subscription: &Subscription,
    client: &Client,
    health: &Health,
) -> Result<Listener, Failure> {
    let Subscription { channels, message } = subscription;
    let (listener, connection) = config.connect(NoTls).await.map_err(|error| failure(&error))?;
    let (first, mut messages) = (Arc::new(Notify::new()), JoinSet::new());
    messages.spawn(forward(connection, Arc::clone(message), Arc::clone(&first), health.clone()));
    let listen: Vec<_> = channels.iter().map(|channel| format!("LISTEN {channel}")).collect();
    let listen = listen.join("; ");
    listener.batch_execute(&listen).await.map_err(|error| failure(&error))?;
    // It is sent from another connection: a pooler in transaction mode loses that message, but not one from this connection.
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

async fn forward(
    mut connection: Connection<Socket, NoTlsStream>,
    on_message: Arc<OnMessage>,
    first: Arc<Notify>,
    health: Health,
) {
    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
        match message {
            AsyncMessage::Notification(message) if message.payload() == LISTENS => first.notify_one(),
            AsyncMessage::Notification(message) => on_message(Some(message.payload())),
            _ => {}
        }
    }
    health.ended();
}
