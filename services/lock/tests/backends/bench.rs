//! The environment of a case: a lock at two servers of one engine.

use std::{
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use everywire_core::{Result, Streaming};
use everywire_lock::{Backend, Holds, LockChange, LockEvent, LockGrant, LockState, Locks, Request};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

/// A lease that outlasts every case.
pub(crate) const LONG: u64 = 60_000;
/// A lease that a case waits for. A tenth of it is the time that Redlock gives a server, which may be starved on a busy machine.
pub(crate) const SHORT: u64 = 1_000;
/// Longer than anything takes that should happen at once, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A capability of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Capability {
    Exclusive,
    Names,
    Leased,
    ReEntrant,
    ReEntrantWaits,
    Fenced,
    Waits,
    Fifo,
    QueueView,
    Visible,
    Watched,
    Held,
    Push,
    Restart,
}

/// One case, which panics where it fails.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) capability: Capability,
    pub(crate) run: fn(Bench) -> Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Defines cases, and `all`, which lists them.
macro_rules! cases {
    ($($capability:ident $name:ident($bench:ident) $body:block)*) => {
        pub(crate) fn all() -> Vec<$crate::bench::Case> {
            vec![$($crate::bench::Case {
                name: stringify!($name),
                capability: $crate::bench::Capability::$capability,
                run: |$bench| Box::pin(async move { let $bench = &$bench; $body }),
            }),*]
        }
    };
}
pub(crate) use cases;

/// The name of one lock, at two servers of one engine.
#[derive(Debug, Clone)]
pub(crate) struct Bench {
    pub(crate) servers: [Arc<Backend>; 2],
    pub(crate) name: String,
}

impl Bench {
    pub(crate) fn first(&self) -> At {
        self.at(0)
    }

    /// The same lock at the other server.
    pub(crate) fn second(&self) -> At {
        self.at(1)
    }

    pub(crate) fn at(&self, server: usize) -> At {
        At { locks: Arc::clone(&self.servers[server % 2]), name: self.name.clone() }
    }

    /// Another lock.
    pub(crate) fn named(&self, name: &str) -> At {
        At { name: name.to_owned(), ..self.first() }
    }
}

/// One lock at one server.
#[derive(Debug, Clone)]
pub(crate) struct At {
    pub(crate) locks: Arc<Backend>,
    pub(crate) name: String,
}

impl At {
    pub(crate) fn request(&self, owner: &str, ttl: u64) -> Request {
        Request::new(self.name.clone(), ttl, Some(owner.to_owned())).unwrap()
    }

    pub(crate) async fn try_lock(&self, owner: &str, ttl: u64) -> LockGrant {
        self.locks.lock(self.request(owner, ttl), Duration::ZERO).await.unwrap()
    }

    /// Takes the lock, which must succeed at once.
    #[track_caller]
    pub(crate) fn take(&self, owner: &str, ttl: u64) -> impl Future<Output = LockGrant> {
        let (taking, location) = (self.clone(), std::panic::Location::caller());
        let owner = owner.to_owned();
        async move {
            let grant = taking.try_lock(&owner, ttl).await;
            assert!(grant.granted && grant.owner == owner, "{location}: {grant:?}");
            grant
        }
    }

    pub(crate) async fn lock(&self, owner: &str, ttl: u64, wait_ms: u64) -> LockGrant {
        self.locks.lock(self.request(owner, ttl), Duration::from_millis(wait_ms)).await.unwrap()
    }

    pub(crate) async fn unlock(&self, owner: &str) -> bool {
        self.locks.unlock(&self.name, owner).await.unwrap()
    }

    pub(crate) async fn renew(&self, owner: &str, ttl: u64) -> LockGrant {
        self.locks.renew(self.request(owner, ttl)).await.unwrap()
    }

    pub(crate) async fn state(&self) -> LockState {
        self.locks.state(&self.name).await.unwrap()
    }

    pub(crate) async fn watch(&self) -> Watch {
        Watch(self.locks.watch(self.name.clone()).await.unwrap())
    }

    pub(crate) async fn try_hold(&self, owner: &str, ttl: u64, wait_ms: u64) -> Result<Hold> {
        let holds = Holds::new(Arc::clone(&self.locks));
        holds.hold(self.request(owner, ttl), Duration::from_millis(wait_ms)).await.map(Hold)
    }

    /// Holds the lock, which must succeed at once. Returns the grant too.
    pub(crate) async fn hold(&self, owner: &str, ttl: u64) -> (Hold, LockGrant) {
        let mut hold = self.try_hold(owner, ttl, 0).await.unwrap();
        let grant = hold.next().await.expect("a grant").unwrap();
        assert!(grant.granted && grant.owner == owner && grant.holds == 1, "{grant:?}");
        (hold, grant)
    }

    /// Starts a wait. Returns when it is in the queue, or after a while if the backend has no view of the queue.
    pub(crate) async fn queue(&self, owner: &str, ttl: u64, wait_ms: u64) -> JoinHandle<LockGrant> {
        let before = self.state().await.waiting;
        let waiting = self.wait(owner, ttl, wait_ms);
        if matches!(*self.locks, Backend::Redlock(_)) {
            sleep(Duration::from_millis(100)).await;
            return waiting;
        }
        self.until("a waiter in the queue", |state| state.waiting != before).await;
        waiting
    }

    pub(crate) fn wait(&self, owner: &str, ttl: u64, wait_ms: u64) -> JoinHandle<LockGrant> {
        let (at, owner) = (self.clone(), owner.to_owned());
        tokio::spawn(async move { at.lock(&owner, ttl, wait_ms).await })
    }

    /// Waits until the state of the lock is as expected.
    pub(crate) async fn until(&self, what: &str, looks: impl Fn(&LockState) -> bool) {
        let looked = async {
            while !looks(&self.state().await) {
                pause(2).await;
            }
        };
        soon(what, looked).await;
    }
}

/// A stream of changes.
pub(crate) struct Watch(Streaming<LockChange>);

impl Watch {
    pub(crate) async fn next(&mut self) -> Result<LockChange> {
        soon("a change", self.0.next()).await.expect("a watch ends only with an error")
    }

    /// The next change must be this one, and of this owner.
    #[track_caller]
    pub(crate) fn sees(&mut self, event: LockEvent, owner: Option<&str>) -> impl Future<Output = LockChange> {
        let location = std::panic::Location::caller();
        async move {
            let change = self.next().await.unwrap();
            let held = event == LockEvent::Taken || event == LockEvent::Found && owner.is_some();
            assert_eq!((change.event, change.owner.as_deref(), change.held), (event, owner, held), "{location}");
            change
        }
    }
}

/// A stream that holds a lock.
pub(crate) struct Hold(Streaming<LockGrant>);

impl Hold {
    pub(crate) async fn next(&mut self) -> Option<Result<LockGrant>> {
        soon("a grant or the end", self.0.next()).await
    }

    /// The error that ends it.
    pub(crate) async fn end(&mut self) -> everywire_core::RpcError {
        loop {
            if let Err(error) = self.next().await.expect("a granted hold ends only with an error") {
                return error;
            }
        }
    }
}

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(SOON, future).await.unwrap_or_else(|_| panic!("{what}: no end within {SOON:?}"))
}

/// The reply to a wait.
pub(crate) async fn answer(wait: JoinHandle<LockGrant>) -> LockGrant {
    soon("an answer", wait).await.unwrap()
}

pub(crate) async fn pause(ms: u64) {
    sleep(Duration::from_millis(ms)).await;
}

pub(crate) fn ms_since(start: Instant) -> u64 {
    start.elapsed().as_millis().try_into().unwrap()
}
