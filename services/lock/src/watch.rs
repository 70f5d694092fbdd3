//! Watches: streams of the changes of a lock.
//!
//! One task per watched lock looks at it: when the backend reports a change, at the end of the lease, and now and then in case
//! that a report was lost. All watchers of this server share what it sees. Only the latest change is kept, so a watcher that is
//! slow costs no memory: it skips to the latest.

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use everywire_core::{Result, RpcError, Streaming};
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::{Instant, sleep_until},
};

use everywire_engines::check_name;

use crate::{LockChange, LockEvent, LockState};

/// The most locks that are watched on one server. One more is `RESOURCE_EXHAUSTED`.
const MAX_WATCHED: usize = 1_024;
/// The most watchers on one server. One more is `RESOURCE_EXHAUSTED`.
const MAX_WATCHERS: usize = 1 << 14;
/// How soon to look again even if nothing reports a change.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// The time that an engine reports changes of a lock after the last look at it.
#[cfg(feature = "queued")]
pub(super) const WATCH_TTL: Duration = Duration::from_secs(15);
/// The pause between two looks at a backend that reports no changes.
#[cfg(any(feature = "mariadb", feature = "redis"))]
pub(super) const POLL: Duration = Duration::from_millis(200);

/// Where locks can be watched.
pub(super) trait Observe: Send + Sync + 'static {
    /// A lock that is watched.
    type Watch: Send + 'static;

    /// Begins to watch a lock.
    fn watch(&self, name: &str) -> Self::Watch;

    /// Returns the state of the lock. A change after it completes `changed`.
    fn look(&self, name: &str, watch: &mut Self::Watch) -> impl Future<Output = Result<LockState>> + Send;

    /// Completes when the lock may have changed since the last look.
    fn changed(&self, watch: &mut Self::Watch) -> impl Future<Output = ()> + Send;
}

/// The watched locks of one server.
#[derive(Debug)]
pub(super) struct Watches {
    watched: Arc<Mutex<HashMap<String, Arc<Watched>>>>,
    watchers: Arc<Semaphore>,
}

/// One watched lock.
#[derive(Debug)]
struct Watched {
    latest: watch::Sender<Latest>,
    /// Asks for another look.
    again: Notify,
}

/// What is known of a lock.
#[derive(Debug, Clone)]
struct Latest {
    /// When the last look began; `None` before the first.
    looked: Option<Instant>,
    /// The number of changes that were seen.
    changes: u64,
    change: LockChange,
    /// Why the watch has ended.
    ended: Option<RpcError>,
}

impl Default for Watches {
    fn default() -> Self {
        Self { watched: Arc::default(), watchers: Semaphore::new(MAX_WATCHERS).into() }
    }
}

impl Watches {
    /// The changes of the lock `name` of `source`, beginning with its state now.
    pub(super) async fn watch<O: Observe>(&self, source: &Arc<O>, name: String) -> Result<Streaming<LockChange>> {
        check_name("name", &name)?;
        let permit = Arc::clone(&self.watchers)
            .try_acquire_owned()
            .map_err(|_| RpcError::resource_exhausted(format!("{MAX_WATCHERS} calls watch locks already")))?;
        let joined = Instant::now();
        let mut latest = self.join(source, name)?;
        let first = seen(&mut latest, |latest| latest.looked.is_some_and(|looked| looked >= joined)).await?;
        Ok(Streaming::produce(move |items| async move {
            let _permit = permit;
            items.send(first.change.found()).await?;
            let mut last = first.changes;
            loop {
                let Latest { changes, change, .. } = seen(&mut latest, |latest| latest.changes != last).await?;
                last = changes;
                items.send(change).await?;
            }
        }))
    }

    /// Joins the watch of a lock, or begins it. In either case the lock is looked at once more.
    fn join<O: Observe>(&self, source: &Arc<O>, name: String) -> Result<watch::Receiver<Latest>> {
        let mut all = guard(&self.watched);
        if let Some(watched) = all.get(&name) {
            watched.again.notify_one();
            return Ok(watched.latest.subscribe());
        }
        if all.len() >= MAX_WATCHED {
            return Err(RpcError::resource_exhausted(format!("{MAX_WATCHED} locks are watched already")));
        }
        let (latest, receiver) = watch::channel(Latest::default());
        let watched = Arc::new(Watched { latest, again: Notify::new() });
        all.insert(name.clone(), Arc::clone(&watched));
        tokio::spawn(watched.run(Arc::clone(source), name, Arc::clone(&self.watched)));
        Ok(receiver)
    }
}

/// The latest change, once it is as expected; or why the watch has ended.
async fn seen(latest: &mut watch::Receiver<Latest>, mut is_due: impl FnMut(&Latest) -> bool) -> Result<Latest> {
    let ended = |_| RpcError::unavailable("the server ended the watch");
    let latest = latest.wait_for(|latest| latest.ended.is_some() || is_due(latest)).await.map_err(ended)?.clone();
    latest.ended.clone().map_or(Ok(latest), Err)
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watched {
    /// Watches until the last watcher has left, or the backend fails.
    async fn run<O: Observe>(
        self: Arc<Self>,
        source: Arc<O>,
        name: String,
        all: Arc<Mutex<HashMap<String, Arc<Self>>>>,
    ) {
        loop {
            let ended = tokio::select! {
                error = self.observe(&*source, &name) => Some(error),
                () = self.latest.closed() => None,
            };
            // Nobody joins while the map is locked.
            let mut all = guard(&all);
            if ended.is_some() || self.latest.receiver_count() == 0 {
                all.remove(&name);
                self.latest.send_modify(|latest| latest.ended = ended);
                return;
            }
        }
    }

    /// Looks at the lock whenever it may have changed, until a look fails.
    async fn observe<O: Observe>(&self, source: &O, name: &str) -> RpcError {
        let (mut watch, mut lease_ends) = (source.watch(name), None);
        loop {
            let began = Instant::now();
            let state = match source.look(name, &mut watch).await {
                Ok(state) => state,
                Err(error) => return error,
            };
            let ttl = state.held.then(|| Duration::from_millis(state.ttl_ms));
            let has_expired = lease_ends.is_some_and(|end| end <= began);
            self.latest.send_modify(|latest| latest.update(began, state, has_expired));
            lease_ends = ttl.map(|ttl| began + ttl);
            let pause = ttl.map_or(LOOK_AGAIN, |ttl| LOOK_AGAIN.min(ttl + Duration::from_millis(1)));
            tokio::select! {
                () = source.changed(&mut watch) => {}
                () = self.again.notified() => {}
                () = sleep_until(Instant::now() + pause) => {}
            }
        }
    }
}

impl Default for Latest {
    fn default() -> Self {
        let change = LockChange { event: LockEvent::Found, held: false, owner: None, token: 0 };
        Self { looked: None, changes: 0, change, ended: None }
    }
}

impl Latest {
    /// Records what a look found that began at `began`. `has_expired` says whether the lease, as it was known, had ended by then.
    fn update(&mut self, began: Instant, state: LockState, has_expired: bool) {
        let (is_first, last) = (self.looked.replace(began).is_none(), &self.change);
        let event = match (last.held, state.held) {
            _ if is_first => LockEvent::Found,
            (true, true) if last.owner == state.owner && last.token == state.token => return,
            (_, true) => LockEvent::Taken,
            (true, false) if has_expired => LockEvent::Expired,
            (true, false) => LockEvent::Released,
            (false, false) => return,
        };
        self.changes += 1;
        self.change = match event {
            LockEvent::Found | LockEvent::Taken => {
                LockChange { event, held: state.held, owner: state.owner, token: state.token }
            }
            LockEvent::Released | LockEvent::Expired => LockChange { event, held: false, ..last.clone() },
        };
    }
}

impl LockChange {
    /// The same state for a watch that begins.
    fn found(self) -> Self {
        let (owner, token) = if self.held { (self.owner, self.token) } else { (None, 0) };
        Self { event: LockEvent::Found, owner, token, ..self }
    }
}
