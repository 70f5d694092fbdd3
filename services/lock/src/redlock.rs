//! Redlock: an owner has a lock if it holds it at a majority of independent Redis servers.
//!
//! It is for efficiency only. The servers share neither a clock nor a counter, so a clock that jumps on one of them can give
//! the lock to two owners, and tokens have no common order: grants have `fenced: false`.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use everywire_core::{Result, RpcError};
use futures_util::future::join_all;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use everywire_engines::failure::Names;

use crate::{
    LockGrant, LockState, MAX_TTL, Request,
    engine::{Engine, Shared, Taken},
    redis::Redis,
    table::{free, not_granted},
    watch::{Observe, POLL},
};

/// Locks in a majority of Redis servers.
pub type RedlockLocks = Shared<Redlock>;

/// The most time for the reply of one server: a tenth of the lease, within these bounds.
const SERVER_TIME: Range<Duration> = Duration::from_millis(50)..Duration::from_secs(1);
/// The most requests to servers that are late. One more is dropped.
const MAX_LATE: usize = 1_024;
/// A waiter asks again after a random number of milliseconds, so that two waiters don't split the servers forever.
const PAUSE: Range<u64> = 50..150;

/// An odd number of independent Redis servers.
#[derive(Debug)]
pub struct Redlock {
    names: Names,
    servers: Vec<Arc<Redis>>,
    /// Requests that servers have not answered in time.
    late: Mutex<JoinSet<()>>,
}

impl Redlock {
    /// Connects to `redlock://HOST:PORT,HOST:PORT,…`. All of them must reply at the start, a majority from
    /// then on.
    pub async fn connect(url: &str) -> Result<Self> {
        let hosts: Vec<&str> = url.trim_start_matches("redlock://").split(',').collect();
        if hosts.len() < 3 || hosts.len().is_multiple_of(2) {
            let count = hosts.len();
            return Err(RpcError::invalid_argument(format!(
                "{count} servers; Redlock has three or more, an odd number"
            )));
        }
        let (mut servers, mut addresses) = (Vec::new(), Vec::new());
        for host in hosts {
            servers.push(Redis::connect_as(&format!("redis://{host}"), "a Redis of the Redlock").await?.into());
            addresses.push(host.rsplit('@').next().unwrap_or(host));
        }
        let address = format!("redlock://{}", addresses.join(","));
        Ok(Self { names: Names::new(address, "the Redlock that keeps the locks"), servers, late: Mutex::default() })
    }

    /// The reply of one server, or `None` after `time`. The request then continues in the background, for a few seconds at
    /// most, because its outcome shows whether the connection is still usable.
    async fn reply_within<T: Send + 'static>(
        &self,
        time: Duration,
        request: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Option<Result<T>> {
        let mut request = Box::pin(request);
        if let Ok(reply) = timeout(time, &mut request).await {
            return Some(reply);
        }
        let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        while late.try_join_next().is_some() {}
        if late.len() < MAX_LATE {
            late.spawn(async { drop(request.await) });
        }
        None
    }

    fn majority(&self) -> usize {
        self.servers.len() / 2 + 1
    }

    /// Asks all servers at once, for a lease of `ttl`. Returns the replies if a majority gave one.
    async fn ask<T, F>(&self, ttl: Duration, ask: impl Fn(Arc<Redis>) -> F) -> Result<Vec<T>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let time = (ttl / 10).clamp(SERVER_TIME.start, SERVER_TIME.end);
        let asked = self.servers.iter().map(|server| self.reply_within(time, ask(Arc::clone(server))));
        let (mut replies, mut reason) = (Vec::new(), None);
        for reply in join_all(asked).await {
            match reply {
                Some(Ok(reply)) => replies.push(reply),
                Some(Err(error)) => reason = Some(error.message().to_owned()),
                None => {}
            }
        }
        if replies.len() >= self.majority() {
            return Ok(replies);
        }
        let reason = reason.unwrap_or_else(|| format!("no answer within {time:?}"));
        Err(self.names.unavailable(&format!("{} of {} servers answer; {reason}", replies.len(), self.servers.len())))
    }

    async fn ask_unlock(&self, name: &str, owner: &str) -> Result<Vec<bool>> {
        let lock: Arc<(String, String)> = Arc::new((name.to_owned(), owner.to_owned()));
        self.ask(MAX_TTL, |server| {
            let lock = Arc::clone(&lock);
            async move { server.unlock(&lock.0, &lock.1).await }
        })
        .await
    }

    /// Releases on all servers what a failed attempt may have left.
    async fn release(&self, request: &Request) {
        let released = self.ask_unlock(&request.name, &request.owner).await;
        released.map_or_else(|error| tracing::debug!("a partly taken lock can't be released: {error}"), drop);
    }

    /// The grant of a majority, if enough of the lease is left.
    fn agreed(&self, request: &Request, grants: &[LockGrant], asked: Instant) -> Option<LockGrant> {
        if grants.len() < self.majority() {
            return None;
        }
        let ttl = request.ttl;
        let validity = ttl.checked_sub(asked.elapsed() + ttl / 100 + Duration::from_millis(2))?;
        let (holds, token) =
            (grants.iter().map(|grant| grant.holds).max()?, grants.iter().map(|grant| grant.token).max()?);
        let (owner, ttl_ms) = (request.owner.clone(), u64::try_from(validity.as_millis()).unwrap_or(u64::MAX));
        (ttl_ms > 0).then_some(LockGrant { granted: true, owner, token, ttl_ms, holds, fenced: false })
    }
}

/// The servers report no change of their majority, so a watched lock is polled.
impl Observe for Redlock {
    type Watch = ();

    fn watch(&self, _: &str) {}

    /// Without a token: each server has one of its own.
    async fn look(&self, name: &str, (): &mut ()) -> Result<LockState> {
        self.state(name).await.map(|state| LockState { token: 0, ..state })
    }

    async fn changed(&self, (): &mut ()) {
        sleep(POLL).await;
    }
}

impl Engine for Redlock {
    type Waiter = ();

    fn names(&self) -> &Names {
        &self.names
    }

    fn waiter(&self) {}

    async fn take(&self, request: &Request, _: Option<&mut ()>) -> Result<Taken> {
        let asked = Instant::now();
        let shared = Arc::new(request.clone());
        let take = |server: Arc<Redis>| {
            let request = Arc::clone(&shared);
            async move { server.take(&request, None).await }
        };
        let replies = match self.ask(request.ttl, take).await {
            Ok(replies) => replies,
            Err(error) => {
                self.release(request).await;
                return Err(error);
            }
        };
        let (mut grants, mut longest) = (Vec::new(), Duration::ZERO);
        for reply in replies {
            match reply {
                Taken::Granted(grant) => grants.push(grant),
                Taken::Held { rest, .. } => longest = longest.max(rest),
            }
        }
        let some = !grants.is_empty();
        if let Some(grant) = self.agreed(request, &grants, asked) {
            return Ok(Taken::Granted(grant));
        }
        if some {
            self.release(request).await;
        }
        Ok(Taken::Held { rest: longest, again: Some(Duration::from_millis(fastrand::u64(PAUSE))) })
    }

    /// No server notifies a waiter, so it asks again.
    async fn woken(&self, (): &mut ()) {
        sleep(crate::MAX_WAIT).await;
    }

    async fn leave(&self, _: &Request, (): &()) -> Result<()> {
        Ok(())
    }

    async fn unlock(&self, name: &str, owner: &str) -> Result<bool> {
        let replies = self.ask_unlock(name, owner).await?;
        Ok(replies.into_iter().filter(|had| *had).count() >= self.majority())
    }

    async fn renew(&self, request: &Request) -> Result<LockGrant> {
        let asked = Instant::now();
        let shared = Arc::new(request.clone());
        let renew = |server: Arc<Redis>| {
            let request = Arc::clone(&shared);
            async move { server.renew(&request).await }
        };
        let (granted, others): (Vec<_>, Vec<_>) =
            self.ask(request.ttl, renew).await?.into_iter().partition(|grant| grant.granted);
        Ok(self.agreed(request, &granted, asked).unwrap_or_else(|| {
            let rest = others.iter().map(|other| other.ttl_ms).max();
            not_granted(request.owner.clone(), rest.map(Duration::from_millis))
        }))
    }

    /// The state on which a majority agrees about the owner.
    async fn state(&self, name: &str) -> Result<LockState> {
        let name: Arc<str> = name.into();
        let state = |server: Arc<Redis>| {
            let name = Arc::clone(&name);
            async move { server.state(&name).await }
        };
        let states = self.ask(MAX_TTL, state).await?;
        let agrees =
            |one: &&LockState| states.iter().filter(|other| other.owner == one.owner).count() >= self.majority();
        Ok(states.iter().find(agrees).cloned().unwrap_or(free(0)))
    }
}
