//! All locks in memory and their waiters, as one value.

use std::{collections::HashMap, sync::Arc, time::Duration};

use everywire_core::{Result, RpcError};
use tokio::{sync::Notify, time::Instant};

use everywire_engines::{
    durable::HighWater,
    expiring::{Entry, Expiring},
};

use crate::{
    LockGrant, LockState, Request,
    changes::Changes,
    queue::{Queue, Waiter},
};

/// The most waiters of one lock. One more is `RESOURCE_EXHAUSTED`.
const MAX_WAITING: usize = 10_000;
/// The most waiters of all locks, some 40 MiB with the longest names. One more is `RESOURCE_EXHAUSTED`.
const MAX_WAITING_IN_ALL: u64 = 1 << 14;

/// The locks.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) locks: Expiring<Lock>,
    /// Grants that their waiters have not collected yet, by the waiter's id.
    granted: HashMap<u64, LockGrant>,
    /// One counter for all locks: tokens grow strictly for each lock, and a free lock needs no memory.
    pub(super) last_token: u64,
    /// The waiters in all queues. Each may draw one token at any time, so the mark must cover that many more than were drawn.
    pub(super) waiting: u64,
    last_waiter: u64,
    /// The locks that are watched.
    pub(super) changes: Arc<Changes>,
}

/// A lock that is held, or whose lease has ended unnoticed.
#[derive(Debug)]
pub(super) struct Lock {
    pub(super) owner: Arc<str>,
    pub(super) token: u64,
    holds: u32,
    pub(super) since: Instant,
    pub(super) until: Instant,
    pub(super) queue: Queue,
}

pub(super) enum Taken {
    Now(LockGrant),
    Queued {
        id: u64,
        wake: Arc<Notify>,
    },
    /// Not decided: the mark has to cover this token first.
    Uncovered(u64),
}

/// What a waiter finds when it wakes.
pub(super) enum Turn {
    Granted(LockGrant),
    /// It is the first of the queue, and the holder's lease ends at this instant.
    First(Instant),
    Later,
}

impl Table {
    /// An empty table whose tokens will be greater than `last_token`.
    pub(super) fn after(last_token: u64) -> Self {
        Self { last_token, ..Self::default() }
    }

    /// Takes a lock, or joins its queue.
    pub(super) fn take(&mut self, request: &Request, may_wait: bool, tokens: &HighWater) -> Result<Taken> {
        let now = Instant::now();
        let token = self.last_token + self.waiting + 1;
        let Some(lock) = self.present(&request.name, now) else {
            if !tokens.covers(token) {
                return Ok(Taken::Uncovered(token));
            }
            self.locks.make_room(now, "the locks that are held")?;
            let lock = Lock::new(request.owner.as_str().into(), request.ttl, self.next_token(), now);
            let grant = lock.grant(now);
            self.locks.insert(&*request.name, lock);
            self.changes.report(&request.name);
            return Ok(Taken::Now(grant));
        };
        if *lock.owner == *request.owner {
            return Ok(Taken::Now(lock.reenter(request.ttl, now)));
        }
        if !may_wait {
            return Ok(Taken::Now(not_granted(request.owner.clone(), Some(lock.until - now))));
        }
        if lock.queue.len() >= MAX_WAITING {
            return Err(RpcError::resource_exhausted(format!("{MAX_WAITING} calls wait for this lock already")));
        }
        self.enqueue(request, token, tokens)
    }

    /// Joins the queue of a held lock.
    fn enqueue(&mut self, request: &Request, token: u64, tokens: &HighWater) -> Result<Taken> {
        if self.waiting >= MAX_WAITING_IN_ALL {
            return Err(RpcError::resource_exhausted(format!("{MAX_WAITING_IN_ALL} calls wait for locks already")));
        }
        if !tokens.covers(token) {
            return Ok(Taken::Uncovered(token));
        }
        let Some(lock) = self.locks.get_mut(&request.name) else { return Err(RpcError::internal("a lock vanished")) };
        self.waiting += 1;
        self.last_waiter += 1;
        let (id, wake) = (self.last_waiter, Arc::new(Notify::new()));
        let waiter = Waiter { owner: request.owner.as_str().into(), ttl: request.ttl, wake: Arc::clone(&wake) };
        lock.queue.push(id, waiter);
        Ok(Taken::Queued { id, wake })
    }

    pub(super) fn unlock(&mut self, name: &str, owner: &str) -> bool {
        let now = Instant::now();
        let Some(lock) = self.present(name, now).filter(|lock| *lock.owner == *owner) else { return false };
        lock.holds -= 1;
        if lock.holds == 0 {
            self.hand_over(name, now);
        }
        true
    }

    pub(super) fn renew(&mut self, request: Request) -> LockGrant {
        let now = Instant::now();
        match self.present(&request.name, now) {
            Some(lock) if *lock.owner == *request.owner => {
                let ends_sooner = now + request.ttl < lock.until;
                let grant = lock.renew(request.ttl, now);
                if ends_sooner {
                    self.changes.report(&request.name);
                }
                grant
            }
            other => not_granted(request.owner, other.map(|lock| lock.until - now)),
        }
    }

    pub(super) fn turn(&mut self, name: &str, id: u64, now: Instant) -> Turn {
        let first = self.present(name, now).and_then(|lock| (lock.queue.first() == Some(id)).then_some(lock.until));
        match (self.granted.remove(&id), first) {
            (Some(grant), _) => Turn::Granted(grant),
            (None, Some(until)) => Turn::First(until),
            (None, None) => Turn::Later,
        }
    }

    /// Ends a wait: removes the waiter from the queue, or releases a grant that it has not collected.
    pub(super) fn leave(&mut self, request: &Request, id: u64) {
        self.waiting -= 1;
        let Request { name, owner, .. } = request;
        if let Some(grant) = self.granted.remove(&id) {
            // The grant's lease may have ended, and the same owner may have taken the lock again in another call.
            let lock = self.present(name, Instant::now());
            if lock.is_some_and(|lock| lock.token == grant.token) {
                self.unlock(name, owner);
            }
        } else if let Some(lock) = self.locks.get_mut(name) {
            lock.queue.leave(id);
        }
    }

    /// The lock `name` if it is held at `now`. If its lease has ended, the next in the queue gets it first.
    pub(super) fn present(&mut self, name: &str, now: Instant) -> Option<&mut Lock> {
        if self.locks.get(name)?.until <= now {
            self.hand_over(name, now);
        }
        self.locks.get_mut(name)
    }

    /// Grants the lock to the first waiter, and to the other waiters of the same owner, which re-enter it.
    fn hand_over(&mut self, name: &str, now: Instant) {
        let Some(Lock { mut queue, .. }) = self.locks.remove(name) else { return };
        self.changes.report(name);
        let Some((id, next)) = queue.pop() else { return };
        let mut lock = Lock::new(next.owner, next.ttl, self.next_token(), now);
        self.granted.insert(id, lock.grant(now));
        next.wake.notify_one();
        while let Some((id, again)) = queue.pop_of(&lock.owner) {
            self.granted.insert(id, lock.reenter(again.ttl, now));
            again.wake.notify_one();
        }
        queue.wake_first();
        self.locks.insert(name, Lock { queue, ..lock });
    }

    fn next_token(&mut self) -> u64 {
        self.last_token += 1;
        self.last_token
    }
}

impl Lock {
    fn new(owner: Arc<str>, ttl: Duration, token: u64, now: Instant) -> Self {
        Self { owner, token, holds: 1, since: now, until: now + ttl, queue: Queue::default() }
    }

    /// Adds one hold for the owner. This never shortens the lease.
    fn reenter(&mut self, ttl: Duration, now: Instant) -> LockGrant {
        self.holds = self.holds.saturating_add(1);
        self.until = self.until.max(now + ttl);
        self.grant(now)
    }

    /// Sets the lease to end `ttl` from now, which may be sooner than the first waiter expects, so that one is woken.
    fn renew(&mut self, ttl: Duration, now: Instant) -> LockGrant {
        self.until = now + ttl;
        self.queue.wake_first();
        self.grant(now)
    }

    fn grant(&self, now: Instant) -> LockGrant {
        LockGrant {
            granted: true,
            owner: (*self.owner).to_owned(),
            token: self.token,
            ttl_ms: millis(self.until - now),
            holds: self.holds,
            fenced: true,
        }
    }
}

impl Entry for Lock {
    /// A lock whose lease has ended is still needed while calls wait for it.
    fn has_ended(&self, now: Instant) -> bool {
        self.until <= now && self.queue.is_empty()
    }

    fn more_bytes(&self) -> usize {
        self.owner.len()
    }
}

/// The reply to an owner who did not get the lock. `rest` is the rest of the holder's lease.
pub(super) fn not_granted(owner: String, rest: Option<Duration>) -> LockGrant {
    let ttl_ms = rest.map_or(0, millis);
    LockGrant { granted: false, owner, token: 0, ttl_ms, holds: 0, fenced: true }
}

/// The state of a free lock.
pub(super) fn free(waiting: u32) -> LockState {
    LockState { held: false, owner: None, token: 0, held_ms: 0, ttl_ms: 0, waiting }
}

/// Whole milliseconds, rounded up, so that waiting that long is never too short.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
