//! The holder's side of a lock: keeps the lease alive, and signals its end before another owner can have the lock.

use std::{sync::Arc, time::Duration};

use everywire_core::{Result, RpcError, wire::CancellationToken};
use everywire_lock::millis;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::{LockGrant, Toolkit};

/// A lock that this process holds over any wire. It is renewed at a third of its TTL until the guard is dropped.
///
/// ```
/// # use std::{sync::Arc, time::Duration};
/// # use everywire_toolkit::{Embedded, LockGuard};
/// # use everywire_id::Snowflake;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> everywire_core::Result<()> {
/// let toolkit = Arc::new(Embedded::new(Snowflake::with(Default::default())?)); // or a client of any wire
/// let wait = Duration::from_secs(5);
/// let Some(guard) = LockGuard::acquire(&toolkit, "stock", Duration::from_secs(10), wait).await? else {
///     return Ok(()); // somebody else has it
/// };
/// tokio::select! {
///     () = async { /* write, with guard.token() */ } => {}
///     () = guard.lost() => { /* stop: another may have it soon */ }
/// }
/// guard.release().await?;
/// # Ok(())
/// # }
/// ```
///
/// The guard counts the lease on this process's monotonic clock from before the request was sent, and a hundredth shorter. So
/// [`lost`](Self::lost) completes before another owner can have the lock, as long as no clock is fast by a hundredth and this
/// process is running. A process may still be suspended between its check of the guard and its write. The token covers that case:
/// the resource rejects a token lower than the highest it has seen.
#[derive(Debug)]
pub struct LockGuard {
    grant: LockGrant,
    lost: CancellationToken,
    released: CancellationToken,
    keeper: tokio::task::JoinHandle<Result<bool>>,
}

impl LockGuard {
    /// Takes the lock `name` for a new owner, waiting up to `wait` (at most an hour). `None` if another owner has it.
    ///
    /// `ttl` (1 ms to a day) is how long others wait if this process dies.
    pub async fn acquire<T>(toolkit: &Arc<T>, name: &str, ttl: Duration, wait: Duration) -> Result<Option<Self>>
    where
        T: Toolkit + Send + Sync + 'static,
    {
        let sent = Instant::now();
        let grant = toolkit.lock(name.to_owned(), millis(ttl), Some(millis(wait)), None).await?;
        if !grant.granted {
            return Ok(None);
        }
        let (lost, released) = (CancellationToken::new(), CancellationToken::new());
        let mut lease =
            Lease { toolkit: Arc::clone(toolkit), name: name.to_owned(), grant: grant.clone(), ttl, until: sent };
        // The grant may be almost as old as the request. If too little of the lease is left, renew it first.
        let held = if lease.extend(sent, &grant) { Ok(true) } else { lease.renew().await };
        let keeper = tokio::spawn(lease.keep(lost.clone(), released.clone()));
        let guard = Self { grant, lost, released, keeper };
        held.map(|held| held.then_some(guard))
    }

    /// The fencing token. Send it with every write to the protected resource.
    pub fn token(&self) -> u64 {
        self.grant.token
    }

    /// The name of the owner.
    pub fn owner(&self) -> &str {
        &self.grant.owner
    }

    /// Completes when the lock is lost. The guard never regains it.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Whether the lock is lost.
    pub fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }

    /// Releases the lock. Returns whether it was held until then.
    pub async fn release(mut self) -> Result<bool> {
        self.released.cancel();
        (&mut self.keeper).await.map_err(|error| RpcError::internal(format_args!("the keeper of a lock: {error}")))?
    }
}

impl Drop for LockGuard {
    /// The keeper releases the lock.
    fn drop(&mut self) {
        self.released.cancel();
    }
}

/// The state of the lease in the keeper task.
struct Lease<T> {
    toolkit: Arc<T>,
    name: String,
    grant: LockGrant,
    ttl: Duration,
    /// No other owner has the lock before this instant.
    until: Instant,
}

impl<T: Toolkit> Lease<T> {
    /// Renews the lease until it is lost or released, and then unlocks.
    async fn keep(mut self, lost: CancellationToken, released: CancellationToken) -> Result<bool> {
        let ending = async {
            loop {
                sleep_until(self.until - self.ttl * 2 / 3).await;
                while !matches!(timeout_at(self.until, self.renew()).await, Ok(Ok(true))) {
                    let again = Instant::now() + self.ttl / 20;
                    if again >= self.until {
                        return sleep_until(self.until).await;
                    }
                    sleep_until(again).await;
                }
            }
        };
        tokio::select! {
            () = ending => lost.cancel(),
            () = released.cancelled() => {}
        }
        let held = !lost.is_cancelled();
        let until = Instant::now() + self.ttl;
        let unlocked = timeout_at(until, self.toolkit.unlock(self.name, self.grant.owner)).await;
        Ok(unlocked.map_err(|_| RpcError::deadline_exceeded("no answer to the unlock within the TTL"))?? && held)
    }

    /// Renews the lease. Returns whether the lock is still held; if another owner has it, the lease ends at once.
    async fn renew(&mut self) -> Result<bool> {
        let sent = Instant::now();
        let (name, owner) = (self.name.clone(), self.grant.owner.clone());
        let renewed = self.toolkit.renew(name, owner, millis(self.ttl)).await?;
        if !renewed.granted || renewed.token != self.grant.token {
            self.until = sent;
            return Ok(false);
        }
        Ok(self.extend(sent, &renewed))
    }

    /// Counts the lease from before the request was sent. Returns false if it has ended or is about to.
    fn extend(&mut self, sent: Instant, grant: &LockGrant) -> bool {
        let ttl = Duration::from_millis(grant.ttl_ms).min(self.ttl);
        self.until = sent + ttl - ttl / 100;
        Instant::now() + ttl / 2 < self.until
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};

    use super::*;
    use everywire_id::Snowflake;

    use crate::Embedded;

    const TTL: Duration = Duration::from_secs(3);

    fn toolkit() -> Arc<Embedded> {
        Arc::new(Embedded::new(Snowflake::new(0).unwrap()))
    }

    async fn acquired(toolkit: &Arc<Embedded>, wait: Duration) -> Option<LockGuard> {
        LockGuard::acquire(toolkit, "name", TTL, wait).await.unwrap()
    }

    async fn held(toolkit: &Embedded) -> bool {
        toolkit.lock_state("name".into()).await.unwrap().held
    }

    #[tokio::test(start_paused = true)]
    async fn a_guard_keeps_its_lock() {
        let toolkit = toolkit();
        let guard = acquired(&toolkit, Duration::ZERO).await.unwrap();
        for _ in 0..100 {
            tokio::time::sleep(TTL / 3).await;
            assert!(held(&toolkit).await && !guard.is_lost());
            assert!(acquired(&toolkit, Duration::ZERO).await.is_none());
        }
        assert!(guard.release().await.unwrap() && !held(&toolkit).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_guard_releases_the_lock() {
        let toolkit = toolkit();
        drop(acquired(&toolkit, Duration::ZERO).await);
        let next = acquired(&toolkit, TTL / 10).await.expect("it is free long before its lease ends");
        assert!(next.token() > 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_guard_signals_that_the_lock_is_taken_away() {
        let toolkit = toolkit();
        let guard = acquired(&toolkit, Duration::ZERO).await.unwrap();
        assert!(toolkit.unlock("name".into(), guard.owner().into()).await.unwrap());
        timeout(TTL, guard.lost()).await.expect("the next renewal finds it");
        assert!(!guard.release().await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_guard_counts_from_the_end_of_its_wait() {
        let toolkit = toolkit();
        let first = acquired(&toolkit, Duration::ZERO).await.unwrap();
        let waiting = tokio::spawn({
            let toolkit = Arc::clone(&toolkit);
            async move { acquired(&toolkit, TTL * 10).await }
        });
        tokio::time::sleep(TTL * 2).await;
        assert!(first.release().await.unwrap());
        let second = waiting.await.unwrap().expect("it has its turn");
        advance(TTL / 2).await;
        assert!(!second.is_lost());
    }
}
