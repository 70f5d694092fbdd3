//! Locks in memory, in simulated time.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Wake},
};

use tokio::time::{advance, timeout};

use super::*;
use everywire_engines::expiring::Expiring;
use everywire_testing::life;

const TTL: u64 = 1_000;

fn request(owner: &str) -> Request {
    Request::new("name".into(), TTL, Some(owner.into())).unwrap()
}

async fn try_lock(locks: &MemoryLocks, owner: &str) -> LockGrant {
    locks.lock(request(owner), Duration::ZERO).await.unwrap()
}

/// Starts a wait for the lock and returns once it is in the queue.
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

/// A waker that counts.
#[derive(Default)]
struct CountingWaker(AtomicU64);

impl Wake for CountingWaker {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_that_leave_wake_one_another_once() {
    const COUNT: u64 = 10_000;
    let locks = MemoryLocks::default();
    let wakes = Arc::new(CountingWaker::default());
    let queue = || {
        let wait = |number: u64| {
            let mut wait = Box::pin(locks.lock(request(&number.to_string()), Duration::from_mins(1)));
            assert!(wait.as_mut().poll(&mut Context::from_waker(&Arc::clone(&wakes).into())).is_pending());
            wait
        };
        let waits: VecDeque<_> = (0..COUNT).map(wait).collect();
        wakes.0.store(0, Ordering::SeqCst);
        waits
    };
    try_lock(&locks, "holder").await;
    let mut waits = queue();
    assert!(locks.lock(request("one more"), Duration::from_mins(1)).await.is_err(), "the queue is full");
    while waits.pop_back().is_some() {}
    assert_eq!(wakes.0.load(Ordering::SeqCst), 0, "the last first: the first stays the first");
    let mut waits = queue();
    while waits.pop_front().is_some() {}
    assert_eq!(wakes.0.load(Ordering::SeqCst), COUNT - 1, "the first first: each makes another the first");
    let mut waits = queue();
    assert!(locks.unlock("name", "holder").unwrap());
    while waits.pop_front().is_some() {}
    assert!(wakes.0.load(Ordering::SeqCst) <= 2 * COUNT, "granted first: each hands the lock on");
    assert_eq!(locks.guard().last_token, 1 + COUNT);
    assert!(!locks.state("name").unwrap().held);
}

#[tokio::test(start_paused = true)]
async fn locks_have_a_bounded_memory() {
    let locks = MemoryLocks::default();
    locks.guard().locks = Expiring::small(1 << 20);
    let owner = "o".repeat(512);
    let lock = async |number: usize| {
        let request = Request::new(format!("{number:0512}"), TTL, Some(owner.clone())).unwrap();
        locks.lock(request, Duration::ZERO).await
    };
    let mut held = 0;
    let error = loop {
        match lock(held).await {
            Ok(grant) => assert!(grant.granted && held < 1_024, "{held}: names and owners alone would fill it"),
            Err(error) => break error,
        }
        held += 1;
    };
    assert!(held > 512, "{held}");
    assert_eq!(error.message(), "the locks that are held fill 1048576 bytes already");
    assert!(lock(0).await.unwrap().granted, "a lock that is held can be taken again");
    advance(Duration::from_millis(TTL)).await;
    assert!(lock(held).await.unwrap().granted, "their leases have ended");
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
    let locks = Arc::new(MemoryLocks { tokens, ..MemoryLocks::default() });
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
    let table = locks.guard();
    assert_eq!((table.last_token, table.waiting), (20 * 50, 0));
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
