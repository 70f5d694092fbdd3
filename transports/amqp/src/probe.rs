//! Requests at which the broker may close the connection, or never answer.

use std::time::Duration;

use lapin::{
    Channel, Connection, Error,
    protocol::{AMQPErrorKind, AMQPHardError},
};
use tokio::sync::Mutex;

use crate::{
    broker::{Broker, ConnectionSocket},
    fault::rejection,
};

/// How long one request may take. The broker answers within milliseconds, unless it waits for a process that never will.
const REQUEST_TIME: Duration = Duration::from_secs(2);

/// A connection that nothing else depends on, for requests with a name that a stranger chose. It is opened when it is needed, and
/// replaced when a request has broken it.
pub(crate) struct Probe {
    broker: Broker,
    /// What the broker's tools call it.
    name: &'static str,
    /// Held during a request, so that it is known which one has broken the connection.
    connection: Mutex<Option<(Connection, ConnectionSocket)>>,
}

/// Why a request has no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The broker closed the connection because of it.
    Closed,
    /// There was no answer in time, or no connection. It says nothing about the request.
    Unavailable,
}

impl Probe {
    pub(crate) fn new(broker: Broker, name: &'static str) -> Self {
        Self { broker, name, connection: Mutex::default() }
    }

    /// Runs a request on a channel of its own, after those before it.
    pub(crate) async fn run<T, F: Future<Output = lapin::Result<T>>>(
        &self,
        request: impl FnOnce(Channel) -> F,
    ) -> Result<T, Failure> {
        let mut kept = self.connection.lock().await;
        // A connection on which a request fails is dropped. If the broker does not answer, it does not close the connection either.
        let (connection, socket) = self.connect(kept.take()).await?;
        let answer = socket.within(REQUEST_TIME, async { request(connection.create_channel().await?).await }).await;
        let answer = answer.ok_or(Failure::Unavailable)?.map_err(|error| Failure::of(&error))?;
        *kept = Some((connection, socket));
        Ok(answer)
    }

    async fn connect(
        &self,
        kept: Option<(Connection, ConnectionSocket)>,
    ) -> Result<(Connection, ConnectionSocket), Failure> {
        match kept {
            Some((connection, socket)) if connection.status().connected() => Ok((connection, socket)),
            _ => self.broker.connect_with_socket(self.name).await.map_err(|error| {
                tracing::debug!(error = error.message(), "no connection for requests about callers");
                Failure::Unavailable
            }),
        }
    }
}

impl Failure {
    fn of(error: &Error) -> Self {
        match rejection(error) {
            Some(AMQPErrorKind::Hard(AMQPHardError::INTERNALERROR)) => Self::Closed,
            _ => Self::Unavailable,
        }
    }
}
