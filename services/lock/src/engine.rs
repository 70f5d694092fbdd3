//! Locks in an engine that several servers share, and how calls wait for them.
//!
//! The engine decides everything by its own clock, in one atomic step per call. A waiting call has a position in the engine's
//! queue and takes the lock itself when its turn comes. The engine never grants a lock to a call that is not asking at that
//! moment, so a waiter that has disappeared costs the others only a skipped position.

use std::{sync::Arc, time::Duration};

use everywire_core::{Result, RpcError, wire::CancellationToken};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until},
};

use everywire_engines::{backoff::Backoff, check_name, failure::Names};

use crate::{
    LockGrant, LockState, Locks, Request, check_wait,
    table::not_granted,
    watch::{Observe, Watches},
};

/// The most calls that may wait on one server. One more is `RESOURCE_EXHAUSTED`.
const MAX_WAITING_IN_ALL: usize = 1 << 14;
/// The most waiters of one lock, over all servers. One more is `RESOURCE_EXHAUSTED`.
pub(super) const MAX_WAITING: u32 = 1_000;

/// The operations of an engine. Each is one atomic step and ends within
/// [`STEP_TIME`](everywire_engines::reconnect::STEP_TIME).
pub(super) trait Engine: Observe {
    /// A call that may wait. The engine knows it from the first `take` with it.
    type Waiter: Send + Sync + 'static;

    /// The engine's names in messages.
    fn names(&self) -> &Names;

    /// Creates the waiter of a call.
    fn waiter(&self) -> Self::Waiter;

    /// Takes the lock if it is the caller's turn. If not, the waiter is in the queue afterwards.
    fn take(&self, request: &Request, waiter: Option<&mut Self::Waiter>) -> impl Future<Output = Result<Taken>> + Send;

    /// Completes when something may have changed for the waiter.
    fn woken(&self, waiter: &mut Self::Waiter) -> impl Future<Output = ()> + Send;

    /// Removes the waiter from the queue.
    fn leave(&self, request: &Request, waiter: &Self::Waiter) -> impl Future<Output = Result<()>> + Send;

    /// Releases one hold.
    fn unlock(&self, name: &str, owner: &str) -> impl Future<Output = Result<bool>> + Send;

    /// Extends the owner's lease to the request's TTL from now.
    fn renew(&self, request: &Request) -> impl Future<Output = Result<LockGrant>> + Send;

    /// Returns the state of a lock.
    fn state(&self, name: &str) -> impl Future<Output = Result<LockState>> + Send;
}

/// The outcome of a `take`.
#[derive(Debug)]
pub(super) enum Taken {
    Granted(LockGrant),
    Held {
        /// The rest of the holder's lease.
        rest: Duration,
        /// How soon to look again even if nothing wakes the waiter.
        again: Option<Duration>,
    },
}

/// The locks of one engine.
#[derive(Debug)]
pub struct Shared<E> {
    pub(super) engine: Arc<E>,
    waits: Arc<Semaphore>,
    pub(super) watches: Watches,
}

impl<E> From<E> for Shared<E> {
    fn from(engine: E) -> Self {
        Self { engine: engine.into(), waits: Semaphore::new(MAX_WAITING_IN_ALL).into(), watches: Watches::default() }
    }
}

impl<E: Engine> Locks for Shared<E> {
    async fn lock(&self, request: Request, wait: Duration) -> Result<LockGrant> {
        check_wait(wait)?;
        if wait.is_zero() {
            return Ok(match self.engine.take(&request, None).await? {
                Taken::Granted(grant) => grant,
                Taken::Held { rest, .. } => not_granted(request.owner, Some(rest)),
            });
        }
        let deadline = Instant::now() + wait;
        let permit = Arc::clone(&self.waits)
            .try_acquire_owned()
            .map_err(|_| RpcError::resource_exhausted(format!("{MAX_WAITING_IN_ALL} calls wait for locks already")))?;
        let gone = CancellationToken::new();
        let _guard = gone.clone().drop_guard();
        let (engine, waiter) = (Arc::clone(&self.engine), self.engine.waiter());
        let waiting = Waiting { engine, request, waiter, permit };
        // The task completes a step in flight even if the caller goes away: cancelling it would leave its outcome unknown.
        let task = tokio::spawn(waiting.until(deadline, gone));
        let outcome = task.await.map_err(|error| RpcError::internal(format_args!("a wait for a lock: {error}")))?;
        outcome.map(Outcome::accept)
    }

    async fn unlock(&self, name: &str, owner: &str) -> Result<bool> {
        check_name("name", name)?;
        check_name("owner", owner)?;
        self.engine.unlock(name, owner).await
    }

    async fn renew(&self, request: Request) -> Result<LockGrant> {
        self.engine.renew(&request).await
    }

    async fn state(&self, name: &str) -> Result<LockState> {
        check_name("name", name)?;
        self.engine.state(name).await
    }
}

/// A call that waits.
struct Waiting<E: Engine> {
    engine: Arc<E>,
    request: Request,
    waiter: E::Waiter,
    permit: OwnedSemaphorePermit,
}

impl<E: Engine> Waiting<E> {
    /// Waits until the lock is granted, `deadline` passes, or the caller is `gone`.
    async fn until(mut self, deadline: Instant, gone: CancellationToken) -> Result<Outcome<E>> {
        loop {
            let (rest, again) = match self.engine.take(&self.request, Some(&mut self.waiter)).await {
                Ok(Taken::Granted(grant)) => {
                    return Ok(Outcome { grant: Some(grant), granted_by: Some(self.engine), name: self.request.name });
                }
                Ok(Taken::Held { rest, again }) => (rest, again),
                Err(error) => {
                    self.leave().await;
                    return Err(error);
                }
            };
            let now = Instant::now();
            if now >= deadline || gone.is_cancelled() {
                let (owner, name) = (self.request.owner.clone(), self.request.name.clone());
                self.leave().await;
                return Ok(Outcome { grant: Some(not_granted(owner, Some(rest))), granted_by: None, name });
            }
            let alarm = again.map_or(deadline, |again| deadline.min(now + again));
            tokio::select! {
                () = self.engine.woken(&mut self.waiter) => {}
                () = sleep_until(alarm) => {}
                () = gone.cancelled() => {}
            }
        }
    }

    /// Leaves the queue: now, or if the engine is unavailable, once it is back.
    async fn leave(self) {
        let Self { engine, request, waiter, permit } = self;
        if engine.leave(&request, &waiter).await.is_ok() {
            return;
        }
        let (engine, mut backoff) = (Arc::downgrade(&engine), Backoff::default());
        tokio::spawn(async move {
            let _permit = permit;
            loop {
                backoff.pause().await;
                match engine.upgrade() {
                    Some(engine) if engine.leave(&request, &waiter).await.is_err() => {}
                    _ => return,
                }
            }
        });
    }
}

/// The outcome of a wait. A grant that the caller does not accept is released.
struct Outcome<E: Engine> {
    grant: Option<LockGrant>,
    granted_by: Option<Arc<E>>,
    name: String,
}

impl<E: Engine> Outcome<E> {
    fn accept(mut self) -> LockGrant {
        self.granted_by = None;
        self.grant.take().expect("an outcome is accepted once")
    }
}

impl<E: Engine> Drop for Outcome<E> {
    fn drop(&mut self) {
        let (Some(engine), Some(grant)) = (self.granted_by.take(), self.grant.take()) else { return };
        let (name, Ok(runtime)) = (std::mem::take(&mut self.name), Handle::try_current()) else { return };
        runtime.spawn(async move { engine.unlock(&name, &grant.owner).await });
    }
}

/// The error of a call that finds the queue of a lock full.
pub(super) fn queue_is_full() -> RpcError {
    RpcError::resource_exhausted(format!("{MAX_WAITING} calls wait for this lock already"))
}

/// A grant from an engine's numbers.
pub(super) fn grant(request: &Request, token: i64, holds: i64, rest: i64) -> LockGrant {
    LockGrant {
        granted: true,
        owner: request.owner.clone(),
        token: token.unsigned_abs(),
        ttl_ms: rest.unsigned_abs(),
        holds: holds.try_into().unwrap_or(u32::MAX),
        fenced: true,
    }
}

/// Whole milliseconds, as engines count them.
pub(super) fn to_millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// An engine's milliseconds; a negative number is zero.
pub(super) fn from_millis(millis: i64) -> Duration {
    Duration::from_millis(millis.try_into().unwrap_or(0))
}
