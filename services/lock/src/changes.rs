//! The locks that are watched, and how the news of a change reaches their watches.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::sync::Notify;

/// The watched locks, by name or by whatever the engine's messages call them.
#[derive(Debug, Default)]
pub(super) struct Changes {
    watched: Mutex<HashMap<String, Arc<Notify>>>,
    /// The size of the map, so that a change of a lock costs nothing while none is watched.
    count: AtomicUsize,
}

/// One watched lock. There is at most one with the same name.
#[derive(Debug)]
pub(super) struct Change {
    name: String,
    wake: Arc<Notify>,
    changes: Arc<Changes>,
}

impl Changes {
    /// Begins to watch the lock `name`.
    pub(super) fn watch(self: &Arc<Self>, name: String) -> Change {
        let wake = Arc::new(Notify::new());
        self.change(|watched| watched.insert(name.clone(), Arc::clone(&wake)));
        Change { name, wake, changes: Arc::clone(self) }
    }

    /// Reports a change of the lock `name`.
    pub(super) fn report(&self, name: &str) {
        if self.count.load(Relaxed) > 0
            && let Some(wake) = self.guard().get(name)
        {
            wake.notify_one();
        }
    }

    /// Reports that any lock may have changed, because messages may have been lost.
    #[cfg(feature = "queued")]
    pub(super) fn report_all(&self) {
        self.guard().values().for_each(|wake| wake.notify_one());
    }

    fn change<T>(&self, change: impl FnOnce(&mut HashMap<String, Arc<Notify>>) -> T) -> T {
        let mut watched = self.guard();
        let changed = change(&mut watched);
        self.count.store(watched.len(), Relaxed);
        changed
    }

    fn guard(&self) -> MutexGuard<'_, HashMap<String, Arc<Notify>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Change {
    /// Completes when a change was reported since the last time.
    pub(super) async fn reported(&self) {
        self.wake.notified().await;
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        self.changes.change(|watched| watched.remove(&self.name));
    }
}
