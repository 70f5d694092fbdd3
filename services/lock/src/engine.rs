//! Locks in an engine that several servers share, and how a call waits for one.
//!
//! The engine decides everything, with its own clock, in one atomic step per call. A waiter holds a place in the engine's
//! queue and takes the lock itself when it is its turn: nobody is granted a lock without asking for it at that moment, so a
//! waiter that is gone costs the others nothing but its place.

use std::{sync::Arc, time::Duration};

use everywire_core::{Result, RpcError, wire::CancellationToken};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until},
};

use everywire_engines::{backoff::Backoff, check_name, failure::Names};

use crate::{LockGrant, LockState, Locks, Request, check_wait, table::refused};

/// Calls of one server that may wait; one more is `RESOURCE_EXHAUSTED`.
const MAX_WAITING_IN_ALL: usize = 1 << 14;
/// Waiters of one lock, over all servers; one more is `RESOURCE_EXHAUSTED`.
pub(super) const MAX_WAITING: u32 = 1_000;

/// What an engine does. Each method is one step: all of it happens or nothing, and it ends within [`STEP_TIME`].
pub(super) trait Engine: Send + Sync + 'static {
    /// A call's place in a queue. It is known to the engine from the first `take` with it on.
    type Place: Send + Sync + 'static;

    /// What the engine is called in messages.
    fn names(&self) -> &Names;

    /// A place for a call that may wait.
    fn place(&self) -> Self::Place;

    /// Takes the lock if it is the caller's turn. If not, the place stands in the queue afterwards.
    fn take(&self, request: &Request, place: Option<&mut Self::Place>) -> impl Future<Output = Result<Taken>> + Send;

    /// Ends when something may have changed for the place.
    fn woken(&self, place: &mut Self::Place) -> impl Future<Output = ()> + Send;

    /// Gives the place up.
    fn leave(&self, request: &Request, place: &Self::Place) -> impl Future<Output = Result<()>> + Send;

    /// Gives one hold back.
    fn unlock(&self, name: &str, owner: &str) -> impl Future<Output = Result<bool>> + Send;

    /// Lets the owner keep the lock for the request's TTL from now on.
    fn renew(&self, request: &Request) -> impl Future<Output = Result<LockGrant>> + Send;

    /// Looks at a lock.
    fn state(&self, name: &str) -> impl Future<Output = Result<LockState>> + Send;
}

/// The outcome of a `take`.
#[derive(Debug)]
pub(super) enum Taken {
    Granted(LockGrant),
    Held {
        /// What is left of the holder's lease.
        rest: Duration,
        /// When to look again though nobody woke the place.
        again: Option<Duration>,
    },
}

/// The locks of one engine.
#[derive(Debug)]
pub struct Shared<E> {
    pub(super) engine: Arc<E>,
    places: Arc<Semaphore>,
}

impl<E> From<E> for Shared<E> {
    fn from(engine: E) -> Self {
        Self { engine: engine.into(), places: Semaphore::new(MAX_WAITING_IN_ALL).into() }
    }
}

impl<E: Engine> Locks for Shared<E> {
    async fn lock(&self, request: Request, wait: Duration) -> Result<LockGrant> {
        check_wait(wait)?;
        if wait.is_zero() {
            return Ok(match self.engine.take(&request, None).await? {
                Taken::Granted(grant) => grant,
                Taken::Held { rest, .. } => refused(request.owner, Some(rest)),
            });
        }
        let deadline = Instant::now() + wait;
        let permit = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| RpcError::resource_exhausted(format!("{MAX_WAITING_IN_ALL} calls wait for locks already")))?;
        let gone = CancellationToken::new();
        let _guard = gone.clone().drop_guard();
        let (engine, place) = (Arc::clone(&self.engine), self.engine.place());
        let waiting = Waiting { engine, request, place, permit };
        // A step that is under way is never cut off, because nobody would know its outcome: a task sees it through.
        let task = tokio::spawn(waiting.until(deadline, gone));
        let answer = task.await.map_err(|error| RpcError::internal(format_args!("a wait for a lock: {error}")))?;
        answer.map(Answer::accept)
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
    place: E::Place,
    permit: OwnedSemaphorePermit,
}

impl<E: Engine> Waiting<E> {
    /// Waits until it is granted, `deadline`, or the caller is `gone`.
    async fn until(mut self, deadline: Instant, gone: CancellationToken) -> Result<Answer<E>> {
        loop {
            let (rest, again) = match self.engine.take(&self.request, Some(&mut self.place)).await {
                Ok(Taken::Granted(grant)) => {
                    return Ok(Answer { grant: Some(grant), granted_by: Some(self.engine), name: self.request.name });
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
                return Ok(Answer { grant: Some(refused(owner, Some(rest))), granted_by: None, name });
            }
            let alarm = again.map_or(deadline, |again| deadline.min(now + again));
            tokio::select! {
                () = self.engine.woken(&mut self.place) => {}
                () = sleep_until(alarm) => {}
                () = gone.cancelled() => {}
            }
        }
    }

    /// Gives the place up: now, or if the engine is away, once it is there again.
    async fn leave(self) {
        let Self { engine, request, place, permit } = self;
        if engine.leave(&request, &place).await.is_ok() {
            return;
        }
        let (engine, mut backoff) = (Arc::downgrade(&engine), Backoff::default());
        tokio::spawn(async move {
            let _permit = permit;
            loop {
                backoff.pause().await;
                match engine.upgrade() {
                    Some(engine) if engine.leave(&request, &place).await.is_err() => {}
                    _ => return,
                }
            }
        });
    }
}

/// What a wait got; a grant that nobody accepts is given back.
struct Answer<E: Engine> {
    grant: Option<LockGrant>,
    granted_by: Option<Arc<E>>,
    name: String,
}

impl<E: Engine> Answer<E> {
    fn accept(mut self) -> LockGrant {
        self.granted_by = None;
        self.grant.take().expect("an answer is accepted once")
    }
}

impl<E: Engine> Drop for Answer<E> {
    fn drop(&mut self) {
        let (Some(engine), Some(grant)) = (self.granted_by.take(), self.grant.take()) else { return };
        let (name, Ok(runtime)) = (std::mem::take(&mut self.name), Handle::try_current()) else { return };
        runtime.spawn(async move { engine.unlock(&name, &grant.owner).await });
    }
}

/// The answer to a call that the queue of a lock has no place for.
pub(super) fn queue_is_full() -> RpcError {
    RpcError::resource_exhausted(format!("{MAX_WAITING} calls wait for this lock already"))
}

/// A grant in an engine's numbers.
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

/// Whole milliseconds as the engines count them.
pub(super) fn to_millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The engine's milliseconds; below zero is none.
pub(super) fn from_millis(millis: i64) -> Duration {
    Duration::from_millis(millis.try_into().unwrap_or(0))
}
