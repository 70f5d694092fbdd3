//! The queue of one lock in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::sync::Notify;

/// The waiters in order of arrival, which is the order of their ids. A waiter can leave from any position without a scan of
/// the others.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiters: BTreeMap<u64, Waiter>,
    /// The same waiters, indexed by owner.
    by_owner: BTreeSet<(Arc<str>, u64)>,
}

#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) owner: Arc<str>,
    pub(super) ttl: Duration,
    /// Notified when the lock is granted to the waiter, or when it becomes the first of its queue.
    pub(super) wake: Arc<Notify>,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// Appends a waiter. Its id must be greater than all earlier ones.
    pub(super) fn push(&mut self, id: u64, waiter: Waiter) {
        self.by_owner.insert((Arc::clone(&waiter.owner), id));
        self.waiters.insert(id, waiter);
    }

    pub(super) fn first(&self) -> Option<u64> {
        self.waiters.first_key_value().map(|(id, _)| *id)
    }

    /// Removes the first waiter.
    pub(super) fn pop(&mut self) -> Option<(u64, Waiter)> {
        let id = self.first()?;
        self.remove(id).map(|waiter| (id, waiter))
    }

    /// Removes the first waiter of `owner`.
    pub(super) fn pop_of(&mut self, owner: &Arc<str>) -> Option<(u64, Waiter)> {
        let (found, id) = self.by_owner.range((Arc::clone(owner), 0)..).next()?;
        let id = (found == owner).then_some(*id)?;
        self.remove(id).map(|waiter| (id, waiter))
    }

    /// Removes a waiter that leaves, at any position.
    pub(super) fn leave(&mut self, id: u64) {
        let was_first = self.first() == Some(id);
        if self.remove(id).is_some() && was_first {
            self.wake_first();
        }
    }

    /// Wakes the first waiter, so that it watches the end of the lease.
    pub(super) fn wake_first(&self) {
        if let Some((_, first)) = self.waiters.first_key_value() {
            first.wake.notify_one();
        }
    }

    fn remove(&mut self, id: u64) -> Option<Waiter> {
        let waiter = self.waiters.remove(&id)?;
        self.by_owner.remove(&(Arc::clone(&waiter.owner), id));
        Some(waiter)
    }
}
