//! Holds: locks that are kept as long as a stream is read.
//!
//! Each hold has a task, which takes the lock, renews it and releases it. Dropping the stream tells the task to release, whatever
//! it is doing, so no lock is left to its lease while the server runs.

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use everywire_core::{Result, RpcError, Streaming, wire::CancellationToken};
use everywire_engines::{backoff::Backoff, reconnect::STEP_TIME};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep_until, timeout, timeout_at},
};

use crate::{Backend, LockGrant, LockState, Locks, Request};

/// The shortest TTL of a hold. A shorter one would be over before a renewal that is a little late.
pub const MIN_HOLD_TTL: Duration = Duration::from_secs(1);
/// The most holds on one server. One more is `RESOURCE_EXHAUSTED`.
const MAX_HOLDS: u32 = 1 << 14;
/// The longest time between two renewals, and so until a lock that was taken away in the engine is missed.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The most time for the releases at a shutdown: what a step may take, and a little more.
const SHUTDOWN_TIME: Duration = STEP_TIME.saturating_add(Duration::from_millis(500));

/// The locks that this server holds for the streams of [`hold`](Self::hold).
#[derive(Debug)]
pub struct Holds<L = Backend> {
    locks: Arc<L>,
    permits: Arc<Semaphore>,
    shutdown: CancellationToken,
}

/// What the reader of a stream has been told last: a grant, why there is none any more, or nothing yet.
type Told = Option<Result<LockGrant>>;

impl<L: Locks> Holds<L> {
    /// Holds locks of this backend.
    pub fn new(locks: Arc<L>) -> Self {
        Self { locks, permits: Semaphore::new(MAX_HOLDS as usize).into(), shutdown: CancellationToken::new() }
    }

    /// Takes the lock of `request` as [`Locks::lock`] does, and holds it until the stream ends. The trait `Toolkit` documents
    /// the items.
    pub async fn hold(&self, request: Request, wait: Duration) -> Result<Streaming<LockGrant>> {
        check_ttl(request.ttl)?;
        if self.shutdown.is_cancelled() {
            return Err(shuts_down());
        }
        let permit = Arc::clone(&self.permits)
            .try_acquire_owned()
            .map_err(|_| RpcError::resource_exhausted(format!("{MAX_HOLDS} locks are held by streams already")))?;
        // A child, so that the end of a stream ends its hold, and the shutdown ends all of them.
        let left = self.shutdown.child_token();
        let reader = left.clone().drop_guard();
        let (teller, mut told) = watch::channel(None);
        let hold = Hold { locks: Arc::clone(&self.locks), request, teller, left, _permit: permit };
        tokio::spawn(hold.run(wait));
        let mut grant = next(&mut told).await?;
        Ok(Streaming::produce(move |items| async move {
            let _reader = reader;
            while grant.granted {
                items.send(grant).await?;
                grant = next(&mut told).await?;
            }
            items.send(grant).await
        }))
    }

    /// Releases all locks that are held, and holds no more. Returns when they are released, or after a few seconds.
    pub async fn shut_down(&self) {
        self.shutdown.cancel();
        if timeout(SHUTDOWN_TIME, self.permits.acquire_many(MAX_HOLDS)).await.is_err() {
            tracing::warn!("locks that streams held can't be released; they end with their leases");
        }
    }
}

fn check_ttl(ttl: Duration) -> Result<()> {
    if ttl >= MIN_HOLD_TTL {
        return Ok(());
    }
    let (given, least, most) = (ttl.as_millis(), MIN_HOLD_TTL.as_millis(), crate::MAX_TTL.as_millis());
    Err(RpcError::invalid_argument(format!("`ttl_ms` is {given}; it may be {least} to {most} for a hold")))
}

/// The next grant. One that the reader was too late for is skipped.
async fn next(told: &mut watch::Receiver<Told>) -> Result<LockGrant> {
    told.changed().await.map_err(|_| shuts_down())?;
    told.borrow_and_update().clone().unwrap_or_else(|| Err(shuts_down()))
}

fn shuts_down() -> RpcError {
    RpcError::unavailable("the server shuts down and holds no locks")
}

/// One hold, in its task.
struct Hold<L> {
    locks: Arc<L>,
    request: Request,
    teller: watch::Sender<Told>,
    /// Cancelled when nobody reads the stream any more.
    left: CancellationToken,
    /// Given back once the lock is released.
    _permit: OwnedSemaphorePermit,
}

/// The lease of a hold.
struct Lease {
    grant: LockGrant,
    /// When the last request that succeeded was sent. Everything is counted from there, on this process's monotonic clock.
    sent: Instant,
    /// The TTL of the last grant.
    ttl: Duration,
}

impl Lease {
    fn new(grant: LockGrant, sent: Instant, ttl: Duration) -> Self {
        let ttl = ttl.min(Duration::from_millis(grant.ttl_ms));
        Self { grant, sent, ttl }
    }

    fn renewal(&self) -> Instant {
        self.sent + (self.ttl / 3).min(LONGEST_PAUSE)
    }

    /// When the holder is told that the lock is lost: a tenth of the TTL before another can have it, for the way of the message
    /// and for clocks that run at different rates.
    fn loss(&self) -> Instant {
        self.sent + self.ttl * 9 / 10
    }
}

/// Why a lock is lost that the engine does not know any more.
const GONE: &str = "it was released or removed, or its lease ended";

/// How a granted hold ended.
enum End {
    /// Its owner had the lock already.
    Repeated(RpcError),
    /// It can't begin.
    Rejected(RpcError),
    /// The stream is not read any more.
    Left,
    /// Another has the lock, or nobody.
    Gone,
    /// The lease could not be renewed in time.
    Late(RpcError),
}

impl<L: Locks> Hold<L> {
    async fn run(self, wait: Duration) {
        let mut lease = match self.take(wait).await {
            Ok(Some(lease)) => lease,
            Ok(None) => return,
            Err(error) => return self.tell(Err(error)),
        };
        let end = match self.begin(&mut lease).await {
            Ok(()) => self.keep(&mut lease).await,
            Err(end) => end,
        };
        match end {
            End::Repeated(error) => {
                self.tell(Err(error));
                // Once, as a second time might give back what the owner had before.
                let Request { name, owner, .. } = &self.request;
                if let Err(error) = self.locks.unlock(name, owner).await {
                    tracing::debug!("a hold too many is left to its lease: {error}");
                }
            }
            End::Rejected(error) => {
                self.tell(Err(error));
                self.release(&lease, true).await;
            }
            End::Left => {
                self.tell(Err(shuts_down()));
                self.release(&lease, false).await;
            }
            End::Gone => self.tell(Err(self.lost(&lease, GONE))),
            End::Late(error) => {
                self.tell(Err(self.lost(&lease, error.message())));
                // A renewal that is late may still take effect, for nobody. Until the lease has ended the holder may not have
                // heard of its loss.
                sleep_until(lease.sent + lease.ttl).await;
                self.release(&lease, true).await;
            }
        }
    }

    fn tell(&self, outcome: Result<LockGrant>) {
        self.teller.send_replace(Some(outcome));
    }

    fn lost(&self, lease: &Lease, why: &str) -> RpcError {
        let (name, token) = (&self.request.name, lease.grant.token);
        RpcError::aborted(format!("the lock `{name}` with token {token} is lost: {why}"))
    }

    /// Takes the lock. `None` if there is nothing to hold, of which the reader has been told.
    async fn take(&self, wait: Duration) -> Result<Option<Lease>> {
        let sent = Instant::now();
        let taking = self.locks.lock(self.request.clone(), wait);
        let grant = if wait.is_zero() {
            // A step that is cancelled may still take the lock, so it is awaited; it ends soon.
            taking.await?
        } else {
            tokio::select! {
                grant = taking => grant?,
                () = self.left.cancelled() => return Ok(None),
            }
        };
        if !grant.granted {
            self.tell(Ok(grant));
            return Ok(None);
        }
        Ok(Some(Lease::new(grant, sent, self.request.ttl)))
    }

    /// Checks the grant, and tells the reader of it.
    async fn begin(&self, lease: &mut Lease) -> Result<(), End> {
        if lease.grant.holds > 1 {
            let Request { name, owner, .. } = &self.request;
            let error = format!("`{owner}` has the lock `{name}` already; a hold is its owner's only one");
            return Err(End::Repeated(RpcError::failed_precondition(error)));
        }
        // After a wait the grant may be quite new, or almost as old as the request.
        if Instant::now() >= lease.renewal() && !self.renew(lease).await.map_err(End::Rejected)? {
            return Err(End::Gone);
        }
        self.tell(Ok(lease.grant.clone()));
        Ok(())
    }

    /// Renews the lease until it can't be, or the reader has left.
    async fn keep(&self, lease: &mut Lease) -> End {
        let left = self.left.clone();
        tokio::select! {
            // Cancelling a renewal is harmless: if it comes after the release, it finds no lock to renew.
            () = left.cancelled() => End::Left,
            end = self.renewals(lease) => end,
        }
    }

    async fn renewals(&self, lease: &mut Lease) -> End {
        loop {
            sleep_until(lease.renewal()).await;
            let (mut backoff, loss) = (Backoff::default(), lease.loss());
            let mut error = RpcError::unavailable("no renewal succeeded in time");
            let renewed = timeout_at(loss, async {
                loop {
                    match self.renew(lease).await {
                        Ok(is_held) => return is_held,
                        Err(failure) => error = failure,
                    }
                    backoff.pause().await;
                }
            });
            match renewed.await {
                Ok(true) => self.tell(Ok(lease.grant.clone())),
                Ok(false) => return End::Gone,
                Err(_) => return End::Late(error),
            }
        }
    }

    /// Renews the lease. Returns whether this owner still has the lock with this token.
    async fn renew(&self, lease: &mut Lease) -> Result<bool> {
        let sent = Instant::now();
        let grant = self.locks.renew(self.request.clone()).await?;
        if !grant.granted || (grant.fenced && grant.token != lease.grant.token) {
            return Ok(false);
        }
        *lease = Lease::new(grant, sent, self.request.ttl);
        Ok(true)
    }

    /// Gives the lock back, even if the engine is unavailable for a while, but tries for no longer than one TTL. If something may
    /// have happened to the lock meanwhile, its token is compared first, as the owner may have taken it anew.
    async fn release(&self, lease: &Lease, mut compare: bool) {
        let Request { name, owner, ttl } = &self.request;
        let (gives_up, mut backoff) = (Instant::now() + *ttl, Backoff::default());
        loop {
            let released = async {
                if compare && !self.is_mine(&self.locks.state(name).await?, lease) {
                    return Ok(false);
                }
                self.locks.unlock(name, owner).await
            };
            match released.await {
                Ok(_) => return,
                Err(error) if Instant::now() >= gives_up => {
                    return tracing::debug!("a lock that a stream held is left to its lease: {error}");
                }
                Err(_) => compare = true,
            }
            backoff.pause().await;
        }
    }

    fn is_mine(&self, state: &LockState, lease: &Lease) -> bool {
        state.owner.as_ref() == Some(&self.request.owner) && (!lease.grant.fenced || state.token == lease.grant.token)
    }
}
