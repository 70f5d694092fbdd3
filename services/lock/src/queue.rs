//! Who waits for one lock.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::sync::Notify;

/// The waiters in the order of arrival, which is that of their ids. Whoever leaves, from anywhere, costs no look at the
/// others.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiters: BTreeMap<u64, Waiter>,
    /// The same waiters by owner, to find those of one.
    by_owner: BTreeSet<(Arc<str>, u64)>,
}

#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) owner: Arc<str>,
    pub(super) ttl: Duration,
    /// Wakes the waiter when it is granted, or has become the first of its queue.
    pub(super) wake: Arc<Notify>,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// Appends a waiter, whose id is greater than all before.
    pub(super) fn push(&mut self, id: u64, waiter: Waiter) {
        self.by_owner.insert((Arc::clone(&waiter.owner), id));
        self.waiters.insert(id, waiter);
    }

    pub(super) fn first(&self) -> Option<u64> {
        self.waiters.first_key_value().map(|(id, _)| *id)
    }

    /// Takes the first.
    pub(super) fn pop(&mut self) -> Option<(u64, Waiter)> {
        let id = self.first()?;
        self.take(id).map(|waiter| (id, waiter))
    }

    /// Takes the first of `owner`.
    pub(super) fn pop_of(&mut self, owner: &Arc<str>) -> Option<(u64, Waiter)> {
        let (found, id) = self.by_owner.range((Arc::clone(owner), 0)..).next()?;
        let id = (found == owner).then_some(*id)?;
        self.take(id).map(|waiter| (id, waiter))
    }

    /// Takes out a waiter that leaves, from anywhere.
    pub(super) fn leave(&mut self, id: u64) {
        let was_first = self.first() == Some(id);
        if self.take(id).is_some() && was_first {
            self.wake_first();
        }
    }

    /// Lets the first know that it is the first, so that it watches the lease.
    pub(super) fn wake_first(&self) {
        if let Some((_, first)) = self.waiters.first_key_value() {
            first.wake.notify_one();
        }
    }

    fn take(&mut self, id: u64) -> Option<Waiter> {
        let waiter = self.waiters.remove(&id)?;
        self.by_owner.remove(&(Arc::clone(&waiter.owner), id));
        Some(waiter)
    }
}
