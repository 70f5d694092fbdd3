//! Watches of locks in memory, in simulated time.

use everywire_core::Code;
use tokio::time::{sleep, timeout};

use super::*;
use crate::{MemoryLocks, Request};

const TTL: u64 = 1_000;

async fn watch(locks: &Arc<MemoryLocks>, name: &str) -> Result<Streaming<LockChange>> {
    locks.watch(name.to_owned()).await
}

async fn take(locks: &MemoryLocks, name: &str, owner: &str) {
    let request = Request::new(name.into(), TTL, Some(owner.into())).unwrap();
    assert!(locks.lock(request, Duration::ZERO).await.unwrap().granted);
}

async fn next(watch: &mut Streaming<LockChange>) -> (LockEvent, Option<String>, u64) {
    let change = timeout(Duration::from_hours(1), watch.next()).await.unwrap().unwrap().unwrap();
    (change.event, change.owner, change.token)
}

#[tokio::test(start_paused = true)]
async fn a_watch_is_woken_and_does_not_poll() {
    let locks = Arc::new(MemoryLocks::default());
    let mut watch = watch(&locks, "name").await.unwrap();
    assert_eq!(next(&mut watch).await, (LockEvent::Found, None, 0));
    take(&locks, "name", "a").await;
    let start = Instant::now();
    assert_eq!(next(&mut watch).await, (LockEvent::Taken, Some("a".into()), 1));
    assert!(locks.unlock("name", "a").unwrap());
    assert_eq!(next(&mut watch).await, (LockEvent::Released, Some("a".into()), 1));
    assert!(start.elapsed().is_zero());
    take(&locks, "name", "b").await;
    assert_eq!(next(&mut watch).await, (LockEvent::Taken, Some("b".into()), 2));
    assert_eq!(next(&mut watch).await, (LockEvent::Expired, Some("b".into()), 2));
    assert!((TTL..TTL + 10).contains(&u64::try_from(start.elapsed().as_millis()).unwrap()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_was_taken_and_released_unread_was_released() {
    let locks = Arc::new(MemoryLocks::default());
    let mut watch = watch(&locks, "name").await.unwrap();
    assert_eq!(next(&mut watch).await, (LockEvent::Found, None, 0));
    for owner in ["a", "b"] {
        take(&locks, "name", owner).await;
        sleep(Duration::from_millis(1)).await;
        assert!(locks.unlock("name", owner).unwrap());
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(next(&mut watch).await, (LockEvent::Released, Some("b".into()), 2));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_watches_any_more_costs_nothing() {
    let locks = Arc::new(MemoryLocks::default());
    let mut watches = Vec::new();
    for number in 0..MAX_WATCHED {
        watches.push(watch(&locks, &number.to_string()).await.unwrap());
        watches.push(watch(&locks, &number.to_string()).await.unwrap());
    }
    let error = watch(&locks, "one more").await.map(drop).unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
    assert!(watch(&locks, "0").await.is_ok(), "it is watched already");
    watches.truncate(1);
    let emptied = async {
        while guard(&locks.watches.watched).len() > 1 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(1), emptied).await.unwrap();
    assert_eq!(locks.watches.watchers.available_permits(), MAX_WATCHERS - 1);
    assert_eq!(Arc::strong_count(&locks), 2, "one task");
    take(&locks, "0", "a").await;
    assert_eq!(next(&mut watches[0]).await.0, LockEvent::Found);
    assert_eq!(next(&mut watches[0]).await.0, LockEvent::Taken);
}

/// A backend whose looks fail from a moment on.
#[derive(Debug, Default)]
struct Failing(Mutex<Option<RpcError>>);

impl Observe for Failing {
    type Watch = ();

    fn watch(&self, _: &str) {}

    async fn look(&self, _: &str, (): &mut ()) -> Result<LockState> {
        guard(&self.0).clone().map_or_else(|| Ok(crate::table::free(0)), Err)
    }

    async fn changed(&self, (): &mut ()) {
        std::future::pending::<()>().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_ends_every_watch_and_a_new_one_begins_anew() {
    let (watches, source) = (Watches::default(), Arc::new(Failing::default()));
    let mut open = vec![watches.watch(&source, "name".into()).await.unwrap()];
    open.push(watches.watch(&source, "name".into()).await.unwrap());
    for watch in &mut open {
        assert_eq!(next(watch).await.0, LockEvent::Found);
    }
    *guard(&source.0) = Some(RpcError::unavailable("gone"));
    for watch in &mut open {
        assert_eq!(watch.next().await.unwrap().unwrap_err().to_string(), "UNAVAILABLE: gone");
        assert!(watch.next().await.is_none());
    }
    let error = watches.watch(&source, "name".into()).await.map(drop).unwrap_err();
    assert_eq!(error.to_string(), "UNAVAILABLE: gone");
    *guard(&source.0) = None;
    assert_eq!(next(&mut watches.watch(&source, "name".into()).await.unwrap()).await.0, LockEvent::Found);
}
