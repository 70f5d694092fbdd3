//! Holds in simulated time, of locks that can be out of reach.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use everywire_core::Code;
use tokio::time::sleep;

use super::*;
use crate::MemoryLocks;

const TTL: Duration = Duration::from_secs(10);

/// Locks in memory behind an engine that may not reply.
#[derive(Debug, Default)]
struct Remote {
    locks: MemoryLocks,
    /// Steps other than `lock` get no reply, though they take effect.
    is_silent: AtomicBool,
    /// Steps other than `lock` fail at once.
    is_away: AtomicBool,
    renewals: AtomicU32,
    unlocks: AtomicU32,
}

impl Remote {
    async fn reply<T>(&self, reply: Result<T>) -> Result<T> {
        if self.is_silent.load(Relaxed) {
            sleep(STEP_TIME).await;
            return Err(RpcError::unavailable("no reply"));
        }
        reply
    }

    fn is_there(&self) -> Result<()> {
        if self.is_away.load(Relaxed) { Err(RpcError::unavailable("away")) } else { Ok(()) }
    }

    fn state(&self) -> LockState {
        self.locks.state("name").unwrap()
    }

    async fn until_free(&self) {
        timeout(TTL, async {
            while self.state().held {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .unwrap();
    }
}

impl Locks for Remote {
    async fn lock(&self, request: Request, wait: Duration) -> Result<LockGrant> {
        self.locks.lock(request, wait).await
    }

    async fn unlock(&self, name: &str, owner: &str) -> Result<bool> {
        self.unlocks.fetch_add(1, Relaxed);
        self.is_there()?;
        self.reply(self.locks.unlock(name, owner)).await
    }

    async fn renew(&self, request: Request) -> Result<LockGrant> {
        self.renewals.fetch_add(1, Relaxed);
        self.is_there()?;
        self.reply(self.locks.renew(request)).await
    }

    async fn state(&self, name: &str) -> Result<LockState> {
        self.is_there()?;
        self.reply(self.locks.state(name)).await
    }
}

fn request(owner: &str) -> Request {
    Request::new("name".into(), crate::millis(TTL), Some(owner.into())).unwrap()
}

async fn held() -> (Arc<Remote>, Holds<Remote>, Streaming<LockGrant>) {
    let remote = Arc::new(Remote::default());
    let holds = Holds::new(Arc::clone(&remote));
    let mut hold = holds.hold(request("a"), Duration::ZERO).await.unwrap();
    assert!(hold.next().await.unwrap().unwrap().granted);
    (remote, holds, hold)
}

/// The error that ends a hold.
async fn end(hold: &mut Streaming<LockGrant>) -> RpcError {
    loop {
        if let Err(error) = hold.next().await.expect("it ends only with an error") {
            return error;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hold_is_renewed_at_a_third_of_its_ttl() {
    let (remote, _holds, mut hold) = held().await;
    let start = Instant::now();
    for _ in 0..30 {
        assert_eq!(hold.next().await.unwrap().unwrap().token, 1);
    }
    assert_eq!(start.elapsed().as_secs(), TTL.as_secs() * 10);
    assert_eq!(remote.renewals.load(Relaxed), 30);
}

#[tokio::test(start_paused = true)]
async fn a_loss_is_told_a_tenth_of_the_ttl_before_the_end() {
    for is_away in [true, false] {
        let (remote, _holds, mut hold) = held().await;
        hold.next().await.unwrap().unwrap();
        let renewed = Instant::now();
        // A lease that the engine does not prolong.
        let mark = if is_away { &remote.is_away } else { &remote.is_silent };
        mark.store(true, Relaxed);
        let error = end(&mut hold).await;
        assert_eq!(error.code(), Code::Aborted, "{error}");
        assert_eq!(renewed.elapsed().as_secs(), 9, "away: {is_away}");
        assert!(remote.state().held, "nobody else can have it yet");
        // Once the engine is back, what a late renewal prolonged is released, but not before the lease has ended.
        mark.store(false, Relaxed);
        sleep(TTL / 20).await;
        assert!(remote.state().held);
        sleep(TTL / 10).await;
        assert!(!remote.state().held, "away: {is_away}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hold_is_released_whose_renewal_is_in_flight() {
    let (remote, _holds, hold) = held().await;
    remote.is_silent.store(true, Relaxed);
    sleep(TTL / 3 + Duration::from_millis(10)).await;
    assert_eq!((remote.renewals.load(Relaxed), remote.unlocks.load(Relaxed)), (1, 0));
    let start = Instant::now();
    drop(hold);
    remote.until_free().await;
    assert!(start.elapsed() < STEP_TIME / 10, "it is not awaited");
}

#[tokio::test(start_paused = true)]
async fn a_release_is_tried_again() {
    let (remote, holds, hold) = held().await;
    remote.is_away.store(true, Relaxed);
    drop(hold);
    sleep(TTL / 2).await;
    assert!(remote.state().held);
    remote.is_away.store(false, Relaxed);
    remote.until_free().await;
    // The same owner has taken it anew before the next attempt.
    let hold = holds.hold(request("a"), Duration::ZERO).await.unwrap();
    remote.is_away.store(true, Relaxed);
    drop(hold);
    sleep(TTL / 20).await;
    assert!(remote.locks.unlock("name", "a").unwrap());
    assert!(remote.locks.lock(request("a"), Duration::ZERO).await.unwrap().granted);
    remote.is_away.store(false, Relaxed);
    sleep(TTL / 2).await;
    assert!(remote.state().held, "it is not the hold's lock any more");
}

#[tokio::test(start_paused = true)]
async fn a_release_ends_with_the_lease() {
    let (remote, holds, hold) = held().await;
    remote.is_away.store(true, Relaxed);
    drop(hold);
    sleep(TTL * 2).await;
    assert_eq!(holds.permits.available_permits(), MAX_HOLDS as usize);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_releases_all_locks() {
    let (remote, holds, mut hold) = held().await;
    holds.shut_down().await;
    assert!(!remote.state().held);
    assert_eq!(end(&mut hold).await.code(), Code::Unavailable);
    let late = holds.hold(request("b"), Duration::ZERO).await.unwrap_err();
    assert_eq!(late.code(), Code::Unavailable);
    let (remote, holds, _hold) = held().await;
    remote.is_away.store(true, Relaxed);
    let start = Instant::now();
    holds.shut_down().await;
    assert_eq!(start.elapsed(), SHUTDOWN_TIME, "it waits for no engine that is away");
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_waited_long_has_its_whole_lease() {
    let (remote, holds, hold) = held().await;
    let waiting = tokio::spawn(async move { holds.hold(request("b"), TTL * 10).await });
    sleep(TTL * 5).await;
    drop(hold);
    let mut hold = waiting.await.unwrap().unwrap();
    let renewals = remote.renewals.load(Relaxed);
    assert_eq!(hold.next().await.unwrap().unwrap().ttl_ms, crate::millis(TTL));
    sleep(TTL * 2).await;
    assert!(remote.state().owner.as_deref() == Some("b") && remote.renewals.load(Relaxed) >= renewals + 5);
}

#[tokio::test(start_paused = true)]
async fn a_ttl_is_at_least_a_second() {
    let holds = Holds::new(Arc::new(MemoryLocks::default()));
    let request = Request::new("name".into(), 999, None).unwrap();
    let error = holds.hold(request, Duration::ZERO).await.unwrap_err();
    assert_eq!(error.to_string(), "INVALID_ARGUMENT: `ttl_ms` is 999; it may be 1000 to 86400000 for a hold");
}
