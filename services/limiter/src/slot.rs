//! N permits per time slot, where a slot opens with the first request after the last one ended.
//!
//! It equals, to the nanosecond, the limiter of a small ZeroMQ locker service that many teams have written: the first slot opens
//! when the limiter is created, and the last instant of a slot still belongs to it. Up to 2 N requests can pass within the length
//! of one slot across a boundary. The clock is monotonic, so setting the wall clock has no effect.

#[cfg(test)]
mod tests;

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use everywire_core::Result;
use everywire_engines::expiring::{Entry, Expiring};
use tokio::time::Instant;

use crate::{Permit, check};

/// The same limit for every resource. Resources with an open slot take at most 64 MiB of memory, names included; one more is
/// `RESOURCE_EXHAUSTED`.
#[derive(Debug)]
pub struct SlotLimiter {
    limit: u32,
    length: Duration,
    /// The end of the slot that opened when the limiter was created: the first slot of every resource.
    first_ends: Instant,
    /// How long a slot is kept after its end.
    kept: Duration,
    slots: Mutex<Expiring<Slot>>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    /// The last instant of the slot.
    ends: Instant,
    used: u32,
    /// The end of the next slot and its used permits, if a peer is in it already.
    next: Option<(Instant, u32)>,
}

impl Default for SlotLimiter {
    /// 5 permits per 0.8 s.
    fn default() -> Self {
        Self::new(5, Duration::from_millis(800))
    }
}

impl SlotLimiter {
    /// `limit` permits per slot of `length`. The first slot opens now.
    pub fn new(limit: u32, length: Duration) -> Self {
        Self { limit, length, first_ends: Instant::now() + length, kept: Duration::ZERO, slots: Mutex::default() }
    }

    /// Counts the permits of peers too. Slots are then kept for half a slot after their end, to tell late messages from early ones.
    #[cfg(feature = "mesh")]
    pub(super) fn with_peers(self) -> Self {
        Self { kept: self.length / 2, ..self }
    }

    /// Takes `permits` of `resource`, all or none.
    pub fn acquire(&self, resource: &str, permits: u32) -> Result<Permit> {
        self.take(resource, permits).map(|(permit, _)| permit)
    }

    /// Like [`acquire`](Self::acquire); also returns the rest of the slot.
    pub(super) fn take(&self, resource: &str, permits: u32) -> Result<(Permit, Duration)> {
        check(resource, permits, self.limit)?;
        let now = Instant::now();
        self.in_slot(resource, self.first_ends, now, |slot| {
            slot.advance(now);
            if now > slot.ends {
                *slot = Slot::new(now + self.length);
            }
            let go = permits <= self.limit.saturating_sub(slot.used);
            if go {
                slot.used += permits;
            }
            let rest = slot.ends - now;
            let retry_after_ms = if go { 0 } else { millis_until_after(rest) };
            let remaining = self.limit.saturating_sub(slot.used);
            (Permit { go, limit: self.limit, remaining, retry_after_ms }, rest)
        })
    }

    /// Counts permits that a peer has granted in its own slot, of which `rest` is left. Slots that end less than half a slot apart
    /// are the same slot.
    #[cfg(feature = "mesh")]
    pub(super) fn count(&self, resource: &str, permits: u32, rest: Duration) -> Result<()> {
        let now = Instant::now();
        let ends = now + rest.min(self.length);
        self.in_slot(resource, ends, now, |slot| {
            slot.advance(now);
            let is_later = ends > slot.ends + self.length / 2;
            if now <= slot.ends {
                slot.used = slot.used.saturating_add(permits);
                if is_later {
                    let (_, used) = slot.next.get_or_insert((ends, 0));
                    *used = used.saturating_add(permits);
                }
            } else if is_later {
                *slot = Slot { used: permits, ..Slot::new(ends) };
            } else {
                // A late message about a slot that has ended.
            }
        })
    }

    /// Calls `act` with the slot of `resource`. The first one of a resource ends at `first_ends`.
    fn in_slot<T>(
        &self,
        resource: &str,
        first_ends: Instant,
        now: Instant,
        act: impl FnOnce(&mut Slot) -> T,
    ) -> Result<T> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get_mut(resource) {
            return Ok(act(slot));
        }
        slots.make_room(now.checked_sub(self.kept).unwrap_or(now), "the resources in use")?;
        let mut slot = Slot::new(first_ends);
        let outcome = act(&mut slot);
        slots.insert(resource, slot);
        Ok(outcome)
    }
}

impl Slot {
    fn new(ends: Instant) -> Self {
        Self { ends, used: 0, next: None }
    }

    /// Moves to the slot that a peer is in already, if this one has ended.
    fn advance(&mut self, now: Instant) {
        if now > self.ends
            && let Some((ends, used)) = self.next
        {
            *self = Self { used, ..Self::new(ends) };
        }
    }
}

impl Entry for Slot {
    fn has_ended(&self, now: Instant) -> bool {
        now > self.ends && self.next.is_none_or(|next| now > next.0)
    }
}

/// The smallest number of milliseconds that is longer than `time`.
fn millis_until_after(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}
