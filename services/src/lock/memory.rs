//! Locks in memory: one map behind one mutex, a FIFO queue per lock, leases on a monotonic clock.
//!
//! Nothing polls. A waiter sleeps until it is granted, and only the first of a queue also wakes when the holder's lease
//! ends. The mutex is a plain one: it is held for a few map operations and never across an await.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rpc_core::{Result, RpcError};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{MAX_WAIT, Request, check_name};
use crate::{
    LockGrant, LockState,
    durable::{DataDir, HighWater},
    sweep::Sweep,
};

/// Locks that can be known at the same time; one more is `RESOURCE_EXHAUSTED`.
const MAX_LOCKS: usize = 1 << 20;
/// Waiters of one lock; one more is `RESOURCE_EXHAUSTED`.
const MAX_WAITING: usize = 10_000;
/// The tokens that one write to disk allows, and the most that a crash skips.
const TOKEN_BLOCK: u64 = 1 << 16;

/// All locks of one process.
#[derive(Debug, Default)]
pub struct MemoryLocks {
    state: Mutex<State>,
    /// No token beyond it is drawn.
    tokens: HighWater,
}

#[derive(Debug, Default)]
struct State {
    locks: HashMap<String, Lock>,
    /// Grants that their waiters have not picked up yet, by the waiter's id.
    granted: HashMap<u64, LockGrant>,
    /// One counter for all locks: it grows strictly for each of them, and a free lock needs no memory.
    last_token: u64,
    /// The places in all queues. Each may draw one token at any time, so the mark covers that many more than were drawn.
    places: u64,
    last_waiter: u64,
    sweep: Sweep,
}

/// A lock that somebody holds, or held when its lease ended.
#[derive(Debug)]
struct Lock {
    owner: String,
    token: u64,
    holds: u32,
    since: Instant,
    until: Instant,
    queue: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    id: u64,
    request: Request,
    /// Wakes the waiter when it is granted, or has become the first of its queue.
    wake: Arc<Notify>,
}

enum Taken {
    Now(LockGrant),
    Queued {
        id: u64,
        wake: Arc<Notify>,
    },
    /// Nothing yet: the mark has to cover this token first.
    Uncovered(u64),
}

/// What a waiter finds when it looks.
enum Turn {
    Granted(LockGrant),
    /// It is the first of the queue and the holder's lease ends then.
    First(Instant),
    Later,
}

impl MemoryLocks {
    /// Locks that a restart forgets, and whose tokens are greater than all that were drawn from `dir` before.
    pub fn durable(dir: &DataDir) -> Result<Self> {
        let tokens = dir.high_water("fencing tokens", TOKEN_BLOCK)?;
        let state = State { last_token: tokens.last_before(), ..State::default() };
        Ok(Self { state: state.into(), tokens })
    }

    /// Takes the lock of `request`, waiting up to `wait`. A wait that is dropped leaves the queue at once.
    pub async fn lock(&self, request: Request, wait: Duration) -> Result<LockGrant> {
        if wait > MAX_WAIT {
            let (given, most) = (wait.as_millis(), MAX_WAIT.as_millis());
            return Err(RpcError::invalid_argument(format!("`wait_ms` is {given}; it may be 0 to {most}")));
        }
        let deadline = Instant::now() + wait;
        loop {
            let found = self.guard().take(&request, !wait.is_zero(), &self.tokens)?;
            match found {
                Taken::Now(grant) => return Ok(grant),
                Taken::Queued { id, wake } => {
                    return Ok(Place { locks: self, request, id, wake }.granted_by(deadline).await);
                }
                Taken::Uncovered(token) => self.tokens.cover(token).await?,
            }
        }
    }

    /// Gives one hold back. True if `owner` had the lock.
    pub fn unlock(&self, name: &str, owner: &str) -> Result<bool> {
        check_name("name", name)?;
        check_name("owner", owner)?;
        Ok(self.guard().unlock(name, owner))
    }

    /// Lets the owner keep the lock for the request's TTL from now on.
    pub fn renew(&self, request: Request) -> Result<LockGrant> {
        let now = Instant::now();
        let mut state = self.guard();
        match state.present(&request.name, now) {
            Some(lock) if lock.owner == request.owner => {
                lock.until = now + request.ttl;
                // The lease may end sooner than the first waiter believes.
                lock.wake_first();
                Ok(lock.grant(now))
            }
            other => Ok(refused(request.owner, other.map(|lock| lock.until - now))),
        }
    }

    /// Looks at the lock `name`.
    pub fn state(&self, name: &str) -> Result<LockState> {
        check_name("name", name)?;
        let now = Instant::now();
        Ok(match self.guard().present(name, now) {
            None => LockState { held: false, owner: None, token: 0, held_ms: 0, ttl_ms: 0, waiting: 0 },
            Some(lock) => LockState {
                held: true,
                owner: Some(lock.owner.clone()),
                token: lock.token,
                held_ms: millis(now - lock.since),
                ttl_ms: millis(lock.until - now),
                waiting: u32::try_from(lock.queue.len()).unwrap_or(u32::MAX),
            },
        })
    }

    /// A panic under the mutex would be a bug of this file; the state is whole between its statements all the same.
    fn guard(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in a queue, given up when it is dropped.
struct Place<'a> {
    locks: &'a MemoryLocks,
    request: Request,
    id: u64,
    wake: Arc<Notify>,
}

impl Place<'_> {
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
                return refused(self.request.owner.clone(), rest);
            }
            tokio::select! {
                () = self.wake.notified() => {}
                () = sleep_until(alarm) => {}
            }
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.locks.guard().leave(&self.request, self.id);
    }
}

impl State {
    fn take(&mut self, request: &Request, may_wait: bool, tokens: &HighWater) -> Result<Taken> {
        let now = Instant::now();
        let is_free = self.present(&request.name, now).is_none();
        let token = self.last_token + self.places + 1;
        if is_free {
            if !tokens.covers(token) {
                return Ok(Taken::Uncovered(token));
            }
            self.make_room(now)?;
            let lock = Lock::new(request, self.next_token(), now);
            let grant = lock.grant(now);
            self.locks.insert(request.name.clone(), lock);
            return Ok(Taken::Now(grant));
        }
        self.last_waiter += 1;
        let id = self.last_waiter;
        // `present` has just found it.
        let Some(lock) = self.locks.get_mut(&request.name) else { return Err(RpcError::internal("a lock vanished")) };
        if lock.owner == request.owner {
            return Ok(Taken::Now(lock.reenter(request.ttl, now)));
        }
        if !may_wait {
            return Ok(Taken::Now(refused(request.owner.clone(), Some(lock.until - now))));
        }
        if lock.queue.len() >= MAX_WAITING {
            return Err(RpcError::resource_exhausted(format!("{MAX_WAITING} calls wait for this lock already")));
        }
        if !tokens.covers(token) {
            return Ok(Taken::Uncovered(token));
        }
        self.places += 1;
        let wake = Arc::new(Notify::new());
        lock.queue.push_back(Waiter { id, request: request.clone(), wake: Arc::clone(&wake) });
        Ok(Taken::Queued { id, wake })
    }

    fn unlock(&mut self, name: &str, owner: &str) -> bool {
        let now = Instant::now();
        let Some(lock) = self.present(name, now).filter(|lock| lock.owner == owner) else { return false };
        lock.holds -= 1;
        if lock.holds == 0 {
            self.hand_over(name, now);
        }
        true
    }

    fn turn(&mut self, name: &str, id: u64, now: Instant) -> Turn {
        let first = self.present(name, now).and_then(|lock| {
            let first = lock.queue.front()?;
            (first.id == id).then_some(lock.until)
        });
        match (self.granted.remove(&id), first) {
            (Some(grant), _) => Turn::Granted(grant),
            (None, Some(until)) => Turn::First(until),
            (None, None) => Turn::Later,
        }
    }

    /// Ends a wait: takes its waiter from the queue, or gives back what was granted to it and not picked up.
    fn leave(&mut self, request: &Request, id: u64) {
        self.places -= 1;
        let Request { name, owner, .. } = request;
        if let Some(grant) = self.granted.remove(&id) {
            // The grant's lease may have ended, and the same owner have the lock again by another call.
            let lock = self.present(name, Instant::now());
            if lock.is_some_and(|lock| lock.token == grant.token) {
                self.unlock(name, owner);
            }
        } else if let Some(lock) = self.locks.get_mut(name) {
            lock.queue.retain(|waiter| waiter.id != id);
            lock.wake_first();
        }
    }

    /// The lock `name` if somebody holds it at `now`; an ended lease goes to the next in the queue first.
    fn present(&mut self, name: &str, now: Instant) -> Option<&mut Lock> {
        if self.locks.get(name)?.until <= now {
            self.hand_over(name, now);
        }
        self.locks.get_mut(name)
    }

    /// Gives the lock to the first waiter, and to the other waiters of the same owner, who re-enter.
    fn hand_over(&mut self, name: &str, now: Instant) {
        let Some(mut lock) = self.locks.remove(name) else { return };
        let Some(next) = lock.queue.pop_front() else { return };
        let queue = std::mem::take(&mut lock.queue);
        lock = Lock::new(&next.request, self.next_token(), now);
        self.granted.insert(next.id, lock.grant(now));
        next.wake.notify_one();
        for waiter in queue {
            if waiter.request.owner == lock.owner {
                self.granted.insert(waiter.id, lock.reenter(waiter.request.ttl, now));
                waiter.wake.notify_one();
            } else {
                lock.queue.push_back(waiter);
            }
        }
        lock.wake_first();
        self.locks.insert(name.to_owned(), lock);
    }

    fn next_token(&mut self) -> u64 {
        self.last_token += 1;
        self.last_token
    }

    fn make_room(&mut self, now: Instant) -> Result<()> {
        let lives = |lock: &Lock| lock.until > now || !lock.queue.is_empty();
        if self.sweep.has_room(&mut self.locks, MAX_LOCKS, now, lives) {
            return Ok(());
        }
        Err(RpcError::resource_exhausted(format!("{MAX_LOCKS} locks are held already")))
    }
}

impl Lock {
    fn new(request: &Request, token: u64, now: Instant) -> Self {
        let Request { owner, ttl, .. } = request;
        Self { owner: owner.clone(), token, holds: 1, since: now, until: now + *ttl, queue: VecDeque::new() }
    }

    /// One more hold for the owner; the lease never gets shorter by it.
    fn reenter(&mut self, ttl: Duration, now: Instant) -> LockGrant {
        self.holds = self.holds.saturating_add(1);
        self.until = self.until.max(now + ttl);
        self.grant(now)
    }

    fn grant(&self, now: Instant) -> LockGrant {
        LockGrant {
            granted: true,
            owner: self.owner.clone(),
            token: self.token,
            ttl_ms: millis(self.until - now),
            holds: self.holds,
            fenced: true,
        }
    }

    /// Lets the first waiter know that it is the first, so that it watches the lease.
    fn wake_first(&self) {
        if let Some(first) = self.queue.front() {
            first.wake.notify_one();
        }
    }
}

/// The answer to an owner who did not get the lock; `rest` is the holder's.
fn refused(owner: String, rest: Option<Duration>) -> LockGrant {
    let ttl_ms = rest.map_or(0, millis);
    LockGrant { granted: false, owner, token: 0, ttl_ms, holds: 0, fenced: true }
}

/// Whole milliseconds, rounded up: who waits that long doesn't come too early.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::time::{advance, timeout};

    use super::*;
    use crate::durable::life;

    const TTL: u64 = 1_000;

    fn request(owner: &str) -> Request {
        Request::new("name".into(), TTL, Some(owner.into())).unwrap()
    }

    async fn try_lock(locks: &MemoryLocks, owner: &str) -> LockGrant {
        locks.lock(request(owner), Duration::ZERO).await.unwrap()
    }

    /// Starts a wait for the lock and returns once it stands in the queue.
    async fn queue(locks: &Arc<MemoryLocks>, owner: &str, wait_ms: u64) -> tokio::task::JoinHandle<LockGrant> {
        let before = locks.state("name").unwrap().waiting;
        let (task_locks, request) = (Arc::clone(locks), request(owner));
        let task = tokio::spawn(async move { task_locks.lock(request, Duration::from_millis(wait_ms)).await.unwrap() });
        while locks.state("name").unwrap().waiting == before {
            tokio::task::yield_now().await;
        }
        task
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_grow_and_stay_on_re_entry() {
        let locks = MemoryLocks::default();
        let first = try_lock(&locks, "a").await;
        let again = try_lock(&locks, "a").await;
        assert_eq!((first.token, first.holds, again.token, again.holds), (1, 1, 1, 2));
        let other = try_lock(&locks, "b").await;
        assert_eq!((other.granted, other.ttl_ms, other.token), (false, TTL, 0));
        assert!(locks.unlock("name", "a").unwrap());
        assert!(!try_lock(&locks, "b").await.granted, "one hold is left");
        assert!(!locks.unlock("name", "b").unwrap(), "only the owner unlocks");
        assert!(locks.unlock("name", "a").unwrap());
        assert_eq!(try_lock(&locks, "b").await.token, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_ends_and_renews() {
        let locks = MemoryLocks::default();
        try_lock(&locks, "a").await;
        advance(Duration::from_millis(600)).await;
        assert!(locks.renew(request("a")).unwrap().granted);
        advance(Duration::from_millis(999)).await;
        assert_eq!(locks.state("name").unwrap().ttl_ms, 1);
        advance(Duration::from_millis(1)).await;
        assert!(!locks.state("name").unwrap().held);
        assert!(!locks.renew(request("a")).unwrap().granted, "a lost lock stays lost");
        assert!(!locks.unlock("name", "a").unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn waiters_are_served_in_order() {
        let locks = Arc::new(MemoryLocks::default());
        try_lock(&locks, "holder").await;
        let mut waiting = Vec::new();
        for owner in ["a", "b", "c"] {
            waiting.push(queue(&locks, owner, 60_000).await);
        }
        assert!(locks.unlock("name", "holder").unwrap());
        for (owner, task) in ["a", "b", "c"].into_iter().zip(waiting) {
            let grant = timeout(Duration::from_millis(1), task).await.expect(owner).unwrap();
            assert!(grant.granted && grant.owner == owner, "{grant:?}");
            assert!(locks.unlock("name", owner).unwrap());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_waiter_gets_the_lock_when_the_lease_ends() {
        let locks = Arc::new(MemoryLocks::default());
        try_lock(&locks, "dead").await;
        let start = Instant::now();
        let waiting = queue(&locks, "a", 60_000).await;
        assert!(waiting.await.unwrap().granted);
        let waited = start.elapsed();
        assert!((TTL..TTL + 5).contains(&millis(waited)), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_at_its_deadline_or_when_it_is_dropped() {
        let locks = Arc::new(MemoryLocks::default());
        try_lock(&locks, "holder").await;
        let late = queue(&locks, "late", 500).await;
        let gone = queue(&locks, "gone", 60_000).await;
        let next = queue(&locks, "next", 60_000).await;
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
        let grant = late.await.unwrap();
        assert_eq!((grant.granted, grant.ttl_ms), (false, TTL - 500));
        assert_eq!(locks.state("name").unwrap().waiting, 1);
        assert!(locks.unlock("name", "holder").unwrap());
        assert_eq!(next.await.unwrap().owner, "next");
    }

    #[tokio::test(start_paused = true)]
    async fn a_grant_that_nobody_picks_up_goes_on() {
        let locks = Arc::new(MemoryLocks::default());
        try_lock(&locks, "holder").await;
        let gone = queue(&locks, "gone", 60_000).await;
        let next = queue(&locks, "next", 60_000).await;
        assert!(locks.unlock("name", "holder").unwrap());
        gone.abort();
        assert_eq!(next.await.unwrap().owner, "next");
    }

    #[tokio::test(start_paused = true)]
    async fn a_grant_that_ended_before_it_was_picked_up_takes_nothing_from_a_later_one() {
        let locks = MemoryLocks::default();
        try_lock(&locks, "holder").await;
        let mut stalled = Box::pin(locks.lock(request("a"), Duration::from_mins(1)));
        assert!(timeout(Duration::ZERO, &mut stalled).await.is_err(), "it waits");
        assert!(locks.unlock("name", "holder").unwrap());
        advance(Duration::from_millis(TTL)).await;
        assert_eq!(try_lock(&locks, "a").await.token, 3);
        drop(stalled);
        assert_eq!(locks.state("name").unwrap().token, 3, "the later grant stands");
    }

    #[tokio::test(start_paused = true)]
    async fn waits_of_one_owner_are_granted_together() {
        let locks = Arc::new(MemoryLocks::default());
        try_lock(&locks, "holder").await;
        let first = queue(&locks, "a", 60_000).await;
        let other = queue(&locks, "b", 60_000).await;
        let second = queue(&locks, "a", 60_000).await;
        assert!(locks.unlock("name", "holder").unwrap());
        let (first, second) = (first.await.unwrap(), second.await.unwrap());
        assert_eq!((first.token, first.holds, second.token, second.holds), (2, 1, 2, 2));
        assert!(locks.unlock("name", "a").unwrap() && locks.unlock("name", "a").unwrap());
        assert_eq!(other.await.unwrap().token, 3);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_token_passes_the_mark() {
        let disk = Arc::new(AtomicU64::new(0));
        let write = {
            let disk = Arc::clone(&disk);
            move |mark| {
                disk.store(mark, Ordering::SeqCst);
                Ok(())
            }
        };
        // A block so small that nearly every call waits for a write, and grants in a queue outnumber it.
        let tokens = HighWater::stored(0, 2, write);
        let locks = Arc::new(MemoryLocks { state: Mutex::default(), tokens });
        let tasks: Vec<_> = (0..20)
            .map(|task| {
                let (locks, disk, owner) = (Arc::clone(&locks), Arc::clone(&disk), task.to_string());
                tokio::spawn(async move {
                    let mut last = 0;
                    for _ in 0..50 {
                        let grant = locks.lock(request(&owner), Duration::from_secs(20)).await.unwrap();
                        assert!(grant.granted && grant.token > last, "{grant:?} after {last}");
                        assert!(grant.token <= disk.load(Ordering::SeqCst), "{grant:?} is beyond the mark");
                        last = grant.token;
                        assert!(locks.unlock("name", &owner).unwrap());
                    }
                })
            })
            .collect();
        for task in tasks {
            timeout(Duration::from_secs(20), task).await.expect("a task has no end").unwrap();
        }
        let state = locks.guard();
        assert_eq!((state.last_token, state.places), (20 * 50, 0));
    }

    #[test]
    fn tokens_of_a_data_directory_grow_over_restarts() {
        let home = tempfile::tempdir().unwrap();
        for first in [1, 65_538, 131_075] {
            let grant = life(async {
                let locks = MemoryLocks::durable(&DataDir::open(home.path()).unwrap()).unwrap();
                try_lock(&locks, "a").await
            });
            assert_eq!(grant.token, first);
        }
    }

    #[test]
    fn bad_requests_say_what_is_wrong() {
        #[rustfmt::skip]
        let cases = [
            ("", 1, Some("a"), "`name` is empty"),
            ("n", 0, Some("a"), "`ttl_ms` is 0; it may be 1 to 86400000"),
            ("n", u64::MAX, Some("a"), "`ttl_ms` is 18446744073709551615; it may be 1 to 86400000"),
            ("n", 1, Some(""), "`owner` is empty"),
        ];
        for (name, ttl_ms, owner, expected) in cases {
            let error = Request::new(name.into(), ttl_ms, owner.map(Into::into)).unwrap_err();
            assert_eq!(error.message(), expected);
        }
        assert!(Request::new("n".repeat(513), 1, None).unwrap_err().message().contains("513 bytes"));
    }
}
