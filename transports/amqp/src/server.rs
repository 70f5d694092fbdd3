//! The server: a consumer of one queue, connected again and again.

use std::{iter, sync::Arc};

use everywire_core::{
    Budget, Code, Limits, Result, Service, Transport, descriptor::ServiceDescriptor, wire::CancellationToken,
};
use futures_util::future::try_join_all;
use lapin::{Connection, types::ShortString};
use tokio::time::sleep;

use crate::{
    broker::{Broker, queue_name},
    connection::{self, Subscription},
    outage::Outage,
};

/// A server that takes its requests from a queue of a broker.
///
/// It declares the queue if it is missing, connects again after the broker was away, and stops on demand once the calls in
/// flight are done.
///
/// ```no_run
/// # async fn mount(service: impl everywire_core::Service) -> everywire_core::Result<()> {
/// use everywire_amqp as amqp;
///
/// let server = everywire_core::Server::new(service).mount(amqp::Server::connect("amqp://localhost").await?);
/// # Ok(()) }
/// ```
pub struct Server {
    broker: Broker,
    queue: Option<String>,
    state: State,
}

/// How far it is on the way to serve.
enum State {
    Unconnected,
    Connected(Connection),
    Subscribed(Subscription),
}

impl Server {
    /// A server of the broker at `url`, such as `amqp://user:password@host:5672/vhost`. It connects once it serves, and
    /// tries for as long as it takes.
    pub fn new(url: &str) -> Result<Self> {
        Ok(Self { broker: Broker::parse(url)?, queue: None, state: State::Unconnected })
    }

    /// Like [`new`](Self::new), but connects at once: `UNAVAILABLE` if there is no broker. A right that the user lacks is
    /// `PERMISSION_DENIED` when the server [subscribes](Self::subscribe) or begins to serve.
    pub async fn connect(url: &str) -> Result<Self> {
        let server = Self::new(url)?;
        let connection = server.broker.connect(CONNECTION_NAME).await?;
        Ok(Self { state: State::Connected(connection), ..server })
    }

    /// Where the broker is, without the user and the password.
    pub fn url(&self) -> String {
        self.broker.to_string()
    }

    /// Sets the queue of requests, for all services of the server. A name of more than 255 bytes is an error when the server is
    /// mounted. Default: a queue for each service, with its full name, such as `everywire.v1.Toolkit`.
    #[must_use]
    pub fn queue(self, queue: &str) -> Self {
        Self { queue: Some(queue.to_owned()), ..self }
    }

    /// Declares the queue if it is missing, and begins to consume it, within the `limits` that the server will have. A right
    /// that the user lacks is an error here rather than when the server begins to serve. Requests that arrive until then wait.
    pub async fn subscribe(mut self, service: &ServiceDescriptor, limits: &Limits) -> Result<Self> {
        let subscription = self.open(service, limits.calls_in_flight.max(1)).await?;
        Ok(Self { state: State::Subscribed(subscription), ..self })
    }
}

impl Transport for Server {
    fn endpoint(&self) -> String {
        format!("amqp {}", self.url())
    }

    fn check(&self, descriptor: &ServiceDescriptor) -> Result<()> {
        self.queue_of(descriptor)?;
        everywire_json::check("amqp", descriptor)
    }

    async fn serve<S: Service>(self, service: Arc<S>, budget: Arc<Budget>, shutdown: CancellationToken) -> Result<()> {
        let services: Vec<_> = service.services().iter().collect();
        let serving = self.queues(&services).map(|(server, described)| {
            server.serve_queue(described, Arc::clone(&service), Arc::clone(&budget), &shutdown)
        });
        try_join_all(serving).await.map(drop)
    }
}

impl Server {
    /// A server for the queue of each service, each with a connection of its own; or this one alone, if its queue is set.
    fn queues(
        self,
        services: &[&'static ServiceDescriptor],
    ) -> impl Iterator<Item = (Self, &'static ServiceDescriptor)> + use<> {
        let count = if self.queue.is_some() { 1 } else { services.len() };
        let broker = self.broker.clone();
        let others = iter::repeat_with(move || Self { broker: broker.clone(), queue: None, state: State::Unconnected });
        iter::once(self).chain(others).zip(services[..count].to_vec())
    }

    /// Serves the queue of the service that is `described`, or the one that is set.
    async fn serve_queue<S: Service>(
        mut self,
        described: &'static ServiceDescriptor,
        service: Arc<S>,
        budget: Arc<Budget>,
        shutdown: &CancellationToken,
    ) -> Result<()> {
        let was_connected = !matches!(self.state, State::Unconnected);
        let mut outage = Outage::of("the broker");
        let mut has_served = false;
        let prefetch = budget.limits().calls_in_flight;
        loop {
            let opened = shutdown.run_until_cancelled(self.open(described, prefetch)).await;
            let lost = match opened {
                None => return Ok(()),
                Some(Ok(subscription)) => {
                    outage.over();
                    has_served = true;
                    let served = connection::serve(subscription, Arc::clone(&service), Arc::clone(&budget), shutdown);
                    let Err(lost) = served.await else { return Ok(()) };
                    lost
                }
                Some(Err(rejected)) if was_connected && !has_served && rejected.code() == Code::PermissionDenied => {
                    return Err(rejected);
                }
                Some(Err(error)) => error,
            };
            if shutdown.run_until_cancelled(sleep(outage.failed(&lost))).await.is_none() {
                return Ok(());
            }
        }
    }
}

impl Server {
    /// Connects and begins to consume, unless that is done already.
    async fn open(&mut self, service: &ServiceDescriptor, prefetch: usize) -> Result<Subscription> {
        let queue = self.queue_of(service)?;
        let connection = match std::mem::replace(&mut self.state, State::Unconnected) {
            State::Subscribed(subscription) => return Ok(subscription),
            State::Connected(connection) => connection,
            State::Unconnected => self.broker.connect(CONNECTION_NAME).await?,
        };
        Subscription::open(&self.broker, connection, queue, prefetch).await
    }

    fn queue_of(&self, service: &ServiceDescriptor) -> Result<ShortString> {
        queue_name(self.queue.as_deref().unwrap_or_else(|| service.full_name()))
    }
}

/// What the broker's tools call the connection.
const CONNECTION_NAME: &str = "everywire server";
