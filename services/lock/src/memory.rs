//! Locks in memory: one map behind one mutex, a FIFO queue per lock, leases on a monotonic clock.
//!
//! Nothing polls. A waiter sleeps until the lock is granted to it; only the first of a queue also wakes at the end of the
//! holder's lease. The mutex is `std`'s: it is held for a few map operations and never across an await.

#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use everywire_core::{Result, Streaming};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use everywire_engines::{
    check_name,
    durable::{DataDir, HighWater},
};

use crate::{
    LockChange, LockGrant, LockState, Locks, Request,
    changes::Change,
    check_wait,
    table::{Table, Taken, Turn, free, millis, not_granted},
    watch::{Observe, Watches},
};

/// The number of tokens that one write to disk allows, and the most that a crash skips.
const TOKEN_BLOCK: u64 = 1 << 16;

/// All locks of one process.
///
/// Held locks take at most 64 MiB of memory, names and owners included. At most 10,000 calls wait for one lock and 16,384 for
/// all. Beyond these limits a call is `RESOURCE_EXHAUSTED`.
#[derive(Debug, Default)]
pub struct MemoryLocks {
    table: Mutex<Table>,
    /// No token beyond this mark is drawn.
    tokens: HighWater,
    pub(super) watches: Watches,
}

impl MemoryLocks {
    /// Locks that a restart forgets, with tokens greater than all that were drawn from `dir` before.
    pub fn durable(dir: &DataDir) -> Result<Self> {
        let tokens = dir.high_water("fencing tokens", TOKEN_BLOCK)?;
        Ok(Self { table: Table::after(tokens.last_before()).into(), tokens, watches: Watches::default() })
    }

    /// Takes the lock of `request`, waiting up to `wait`. Dropping the future leaves the queue at once.
    pub async fn lock(&self, request: Request, wait: Duration) -> Result<LockGrant> {
        check_wait(wait)?;
        let deadline = Instant::now() + wait;
        loop {
            let found = self.guard().take(&request, !wait.is_zero(), &self.tokens)?;
            match found {
                Taken::Now(grant) => return Ok(grant),
                Taken::Queued { id, wake } => {
                    return Ok(QueuedCall { locks: self, request, id, wake }.granted_by(deadline).await);
                }
                Taken::Uncovered(token) => self.tokens.cover(token).await?,
            }
        }
    }

    /// Releases one hold. Returns whether `owner` had the lock.
    pub fn unlock(&self, name: &str, owner: &str) -> Result<bool> {
        check_name("name", name)?;
        check_name("owner", owner)?;
        Ok(self.guard().unlock(name, owner))
    }

    /// Extends the owner's lease to the request's TTL from now.
    pub fn renew(&self, request: Request) -> Result<LockGrant> {
        Ok(self.guard().renew(request))
    }

    /// Returns the state of the lock `name`.
    pub fn state(&self, name: &str) -> Result<LockState> {
        check_name("name", name)?;
        let now = Instant::now();
        Ok(match self.guard().present(name, now) {
            None => free(0),
            Some(lock) => LockState {
                held: true,
                owner: Some((*lock.owner).to_owned()),
                token: lock.token,
                held_ms: millis(now - lock.since),
                ttl_ms: millis(lock.until - now),
                waiting: u32::try_from(lock.queue.len()).unwrap_or(u32::MAX),
            },
        })
    }

    /// The changes of the lock `name`, beginning with its state now.
    pub async fn watch(self: &Arc<Self>, name: String) -> Result<Streaming<LockChange>> {
        self.watches.watch(self, name).await
    }

    /// Ignores poisoning: the table is consistent between any two statements, even if one panicked.
    fn guard(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Locks for MemoryLocks {
    async fn lock(&self, request: Request, wait: Duration) -> Result<LockGrant> {
        self.lock(request, wait).await
    }

    async fn unlock(&self, name: &str, owner: &str) -> Result<bool> {
        self.unlock(name, owner)
    }

    async fn renew(&self, request: Request) -> Result<LockGrant> {
        self.renew(request)
    }

    async fn state(&self, name: &str) -> Result<LockState> {
        self.state(name)
    }
}

impl Observe for MemoryLocks {
    type Watch = Change;

    fn watch(&self, name: &str) -> Change {
        self.guard().changes.watch(name.to_owned())
    }

    async fn look(&self, name: &str, _: &mut Change) -> Result<LockState> {
        self.state(name)
    }

    async fn changed(&self, watch: &mut Change) {
        watch.reported().await;
    }
}

/// A call in a queue. Dropping it leaves the queue.
struct QueuedCall<'a> {
    locks: &'a MemoryLocks,
    request: Request,
    id: u64,
    wake: Arc<Notify>,
}

impl QueuedCall<'_> {
    async fn granted_by(self, deadline: Instant) -> LockGrant {
        loop {
            let now = Instant::now();
            let alarm = match self.locks.guard().turn(&self.request.name, self.id, now) {
                Turn::Granted(grant) => return grant,
                Turn::First(until) => until.min(deadline),
                Turn::Later => deadline,
            };
            if now >= deadline {
                let rest = self.locks.guard().present(&self.request.name, now).map(|lock| lock.until - now);
                return not_granted(self.request.owner.clone(), rest);
            }
            tokio::select! {
                () = self.wake.notified() => {}
                () = sleep_until(alarm) => {}
            }
        }
    }
}

impl Drop for QueuedCall<'_> {
    fn drop(&mut self) {
        self.locks.guard().leave(&self.request, self.id);
    }
}
