//! One service on many wires: start together, stop together.

use std::{pin::Pin, sync::Arc, time::Duration};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    both::Both,
    budget::Budget,
    descriptor::{ServiceDescriptor, Services},
    error::{Result, RpcError},
    limited::Limited,
    limits::Limits,
    service::Service,
};

/// A server of one wire, bound and not yet serving.
///
/// # Notes for implementers
/// Bind in a constructor, so that a port in use is an error before anything runs. [`serve`](Self::serve) owns every task that it
/// starts: dropping its future ends them.
pub trait Transport: Send + 'static {
    /// Where it can be reached, for people to read: `xmlrpc http://127.0.0.1:4242`.
    fn endpoint(&self) -> String;

    /// Rejects a service whose types or names this wire can't carry. Called before any wire serves.
    fn check(&self, _descriptor: &ServiceDescriptor) -> Result<()> {
        Ok(())
    }

    /// Serves within the limits of `budget` until `shutdown` is cancelled. Then accepts no new call, finishes those in flight and
    /// returns.
    fn serve<S: Service>(
        self,
        service: Arc<S>,
        budget: Arc<Budget>,
        shutdown: CancellationToken,
    ) -> impl Future<Output = Result<()>> + Send;
}

/// How long calls in flight may take to finish during a shutdown, by default.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(10);

/// How long the wires have after the grace period to answer the calls that it cut off.
const FINAL_REPLY_TIME: Duration = Duration::from_secs(1);

type Serve<S> = dyn FnOnce(Arc<Limited<S>>, &Arc<Budget>, CancellationToken) -> Serving + Send;
type Serving = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

struct Mount<S> {
    endpoint: String,
    checked: Result<()>,
    serve: Box<Serve<S>>,
}

/// A service, mounted on any number of wires.
pub struct Server<S> {
    service: Arc<S>,
    mounts: Vec<Mount<S>>,
    budget: Arc<Budget>,
    grace: Duration,
    /// Whether a layer or a service was added after a wire, which is then lost.
    is_late: bool,
}

impl<S: Service> Server<S> {
    /// A server of `service` with the default limits, on no wire yet.
    pub fn new(service: S) -> Self {
        Self::with_limits(service, Limits::default())
    }

    /// A server of `service`, on no wire yet. `limits` bound what peers may use on every wire.
    pub fn with_limits(service: S, limits: Limits) -> Self {
        let budget = Budget::new(limits);
        Self { service: Arc::new(service), mounts: Vec::new(), budget, grace: DEFAULT_GRACE, is_late: false }
    }

    /// Adds another service. Services come before wires, as layers do; the layers so far are around the others only.
    ///
    /// Each wire serves them all: JSON-RPC, XML-RPC and zerorpc by the [names](Services) `Stock.take`, `demo.v1.Stock.take`, and `take`
    /// while no other service has such a method; gRPC by path, where services of one package must not share the name of a method or of
    /// a type; RabbitMQ with a queue each. A client that sends the bare name of a
    /// method that several have gets `INVALID_ARGUMENT`: ours send the whole name once they are `qualified()`.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "nobody takes a server for a number")]
    pub fn add<T: Service>(self, service: T) -> Server<Both<Arc<S>, T>> {
        self.layer(|first| Both::new(first, service))
    }

    /// Puts a layer around the service and the layers that it has. Layers come before wires: see [`mount`](Self::mount).
    ///
    /// [`layer::before`](crate::layer::before) makes a layer of a function. A layer of your own is a service around `Arc<S>`:
    /// `server.layer(|service| Logged { service })`.
    #[must_use]
    pub fn layer<L: Service>(self, layer: impl FnOnce(Arc<S>) -> L) -> Server<L> {
        let Self { service, mounts, budget, grace, .. } = self;
        let is_late = self.is_late || !mounts.is_empty();
        Server { service: Arc::new(layer(service)), mounts: Vec::new(), budget, grace, is_late }
    }

    /// Adds a wire, which serves the service with the layers that it has by now.
    #[must_use]
    pub fn mount(mut self, transport: impl Transport) -> Self {
        self.mounts.push(Mount {
            endpoint: transport.endpoint(),
            checked: check(&transport, self.service.services()),
            serve: Box::new(|service, budget, shutdown| {
                Box::pin(transport.serve(service, Arc::clone(budget), shutdown))
            }),
        });
        self
    }

    /// Sets how long calls in flight may take to finish during a shutdown. Default 10 s.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The services with the layers so far: for a test without a wire, or for a server of one's own.
    pub fn service(&self) -> Arc<S> {
        Arc::clone(&self.service)
    }

    /// The limits, the calls and bytes in use, and how often each limit was exceeded. Can be read while the server runs.
    pub fn budget(&self) -> Arc<Budget> {
        Arc::clone(&self.budget)
    }

    /// Where each wire can be reached.
    pub fn endpoints(&self) -> impl Iterator<Item = &str> {
        self.mounts.iter().map(|mount| mount.endpoint.as_str())
    }

    /// Serves on every wire until `shutdown` completes, then lets calls in flight finish within the grace period.
    ///
    /// If a wire rejects the service, no wire serves, and the error lists the reasons of every wire. If a wire fails later, all
    /// stop and its error is returned. Calls still running at the end of the grace period get `UNAVAILABLE`, and this method
    /// returns `DEADLINE_EXCEEDED`.
    pub async fn serve_until(self, shutdown: impl Future<Output = ()>) -> Result<()> {
        self.check()?;
        let stop = CancellationToken::new();
        let end = CancellationToken::new();
        let service = Arc::new(Limited::new(self.service, Arc::clone(&self.budget), end.clone()));
        let mut serving = JoinSet::new();
        for Mount { endpoint, serve, .. } in self.mounts {
            let wire = serve(Arc::clone(&service), &self.budget, stop.clone());
            serving.spawn(named(endpoint, wire));
        }
        let outcome = tokio::select! {
            () = shutdown => Ok(()),
            ended = next_failure(&mut serving) => ended,
        };
        stop.cancel();
        let Ok(drained) = tokio::time::timeout(self.grace, all_ended(&mut serving)).await else {
            // A connection may also be open without a call, such as one that its peer is slow to close.
            let cuts_off = self.budget.calls() > 0;
            end.cancel();
            let _ = tokio::time::timeout(FINAL_REPLY_TIME, all_ended(&mut serving)).await;
            let late = format!("calls in flight outlasted the grace period of {:?} and were cut off", self.grace);
            return if cuts_off { outcome.and(Err(RpcError::deadline_exceeded(late))) } else { outcome };
        };
        outcome.and(drained)
    }

    /// Checks that there is a wire and that every wire carries the service.
    fn check(&self) -> Result<()> {
        if self.is_late {
            return Err(RpcError::failed_precondition("a layer or a service was added after a wire; add them first"));
        }
        if self.mounts.is_empty() {
            return Err(RpcError::failed_precondition("the server has no wire to serve on"));
        }
        self.service.services().check()?;
        joined(self.mounts.iter().map(|mount| mount.checked.clone()))
    }
}

/// Checks that the wire carries every service. The error has the reasons of all.
fn check(transport: &impl Transport, services: &Services) -> Result<()> {
    joined(services.iter().map(|service| transport.check(service)))
}

/// The errors among `outcomes` as one, with the code of the first.
fn joined(outcomes: impl Iterator<Item = Result<()>>) -> Result<()> {
    let problems: Vec<_> = outcomes.filter_map(Result::err).collect();
    let Some(first) = problems.first() else { return Ok(()) };
    let all: Vec<_> = problems.iter().map(RpcError::message).collect();
    Err(RpcError::new(first.code(), all.join("; ")))
}

async fn named(endpoint: String, serving: Serving) -> Result<()> {
    serving.await.map_err(|error| RpcError::new(error.code(), format!("{endpoint}: {}", error.message())))
}

/// Waits until all wires have ended, and returns the first failure.
async fn all_ended(serving: &mut JoinSet<Result<()>>) -> Result<()> {
    let mut first = Ok(());
    while !serving.is_empty() {
        first = first.and(next_failure(serving).await);
    }
    first
}

/// Waits until a wire fails, or until all have ended.
async fn next_failure(serving: &mut JoinSet<Result<()>>) -> Result<()> {
    while let Some(ended) = serving.join_next().await {
        ended.map_err(RpcError::internal)??;
    }
    Ok(())
}
