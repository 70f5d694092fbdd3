//! The server: a consumer of one queue, connected again and again.

use std::{sync::Arc, time::Duration};

use lapin::{Connection, Consumer, types::ShortString};
use rpc_core::{Budget, CancellationToken, Result, Service, ServiceDescriptor, Transport};
use tokio::time::sleep;

use crate::{
    broker::{Broker, queue_of},
    session::Session,
};

/// The pause before the first new try to connect, and the longest one.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// A server that takes its requests from a queue of a broker.
///
/// It declares the queue, connects again when the broker was away, and stops on demand after the calls in flight.
///
/// ```no_run
/// # async fn mount(service: impl rpc_core::Service) -> rpc_core::Result<()> {
/// use everywire_amqp as amqp;
///
/// let server = rpc_core::Server::new(service).mount(amqp::Server::connect("amqp://localhost").await?);
/// # Ok(()) }
/// ```
pub struct Server {
    broker: Broker,
    queue: Option<ShortString>,
    /// The first connection, if it is there already.
    connection: Option<Connection>,
}

impl Server {
    /// A server of the broker at `url`, such as `amqp://user:password@host:5672/vhost`. It connects once it serves, and
    /// tries for as long as it takes.
    pub fn new(url: &str) -> Result<Self> {
        Ok(Self { broker: Broker::parse(url)?, queue: None, connection: None })
    }

    /// The same, connected: a broker that is not there is `UNAVAILABLE` now.
    pub async fn connect(url: &str) -> Result<Self> {
        let server = Self::new(url)?;
        let connection = server.broker.connect(CONNECTION_NAME).await?;
        Ok(Self { connection: Some(connection), ..server })
    }

    /// Where the broker is, without the user and the password.
    pub fn url(&self) -> String {
        self.broker.to_string()
    }

    /// Sets the queue of requests. Panics if its name has more than 255 bytes. Default: the service's full name, such as `everywire.v1.Toolkit`.
    #[must_use]
    pub fn queue(self, queue: &str) -> Self {
        Self { queue: Some(queue.into()), ..self }
    }
}

impl Transport for Server {
    fn endpoint(&self) -> String {
        format!("amqp {}", self.url())
    }

    fn check(&self, descriptor: &ServiceDescriptor) -> Result<()> {
        queue_of(descriptor.full_name())?;
        everywire_json::check("amqp", descriptor)
    }

    async fn serve<S: Service>(
        mut self,
        service: Arc<S>,
        budget: Arc<Budget>,
        shutdown: CancellationToken,
    ) -> Result<()> {
        let (first, longest) = PAUSES;
        let mut pause = first;
        while let Some(opened) = shutdown.run_until_cancelled(self.open(&service, &budget)).await {
            let lost = match opened {
                Ok((session, consumer)) => {
                    pause = first;
                    let Err(error) = session.run(consumer, &shutdown).await else { break };
                    self.broker.lost(error)
                }
                Err(error) => error,
            };
            if pause == first {
                tracing::warn!(error = lost.message(), "amqp tries again until the broker is back");
            }
            if shutdown.run_until_cancelled(sleep(pause)).await.is_none() {
                break;
            }
            pause = longest.min(pause * 2);
        }
        Ok(())
    }
}

impl Server {
    /// Connects, unless it is connected, and begins to consume.
    async fn open<S: Service>(&mut self, service: &Arc<S>, budget: &Arc<Budget>) -> Result<(Session<S>, Consumer)> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.broker.connect(CONNECTION_NAME).await?,
        };
        let queue = match &self.queue {
            Some(queue) => queue.clone(),
            None => queue_of(service.descriptor().full_name())?,
        };
        let opened = Session::open(Arc::clone(service), Arc::clone(budget), connection, queue).await;
        opened.map_err(|error| self.broker.lost(error))
    }
}

/// What the broker's tools call the connection.
const CONNECTION_NAME: &str = "everywire server";
