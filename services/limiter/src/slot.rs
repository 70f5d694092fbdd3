//! N permits per time slot, where a slot opens with the first request after the last one ended.
//!
//! This is the limiter of a small ZeroMQ locker service that many teams have written, to the nanosecond: the first slot
//! opens when the limiter is made, and the last instant of a slot still belongs to it. Up to 2 N requests can pass within
//! one slot's length across a boundary. The clock is monotonic, so that setting the wall clock changes nothing.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use everywire_core::Result;
use tokio::time::Instant;

use everywire_engines::expiring::{Entry, Expiring};

use super::check;
use crate::Permit;

/// The same limit for every resource. Those with an open slot take at most 64 MiB of memory with their names; one more is
/// `RESOURCE_EXHAUSTED`.
#[derive(Debug)]
pub struct SlotLimiter {
    limit: u32,
    length: Duration,
    /// The end of the slot that opened when the limiter was made: the first slot of every resource.
    first_ends: Instant,
    /// How long a slot is known after its end.
    kept: Duration,
    slots: Mutex<Expiring<Slot>>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    /// The last instant of the slot.
    ends: Instant,
    used: u32,
    /// The end of the next slot and what is used of it, if a peer is in it already.
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

    /// Knows the slots of peers too, and for half a slot those that have ended: by them late news is told from early news.
    #[cfg(feature = "mesh")]
    pub(super) fn with_peers(self) -> Self {
        Self { kept: self.length / 2, ..self }
    }

    /// Takes `permits` of `resource`, all or none.
    pub fn acquire(&self, resource: &str, permits: u32) -> Result<Permit> {
        self.take(resource, permits).map(|(permit, _)| permit)
    }

    /// The same, with the rest of the slot.
    pub(super) fn take(&self, resource: &str, permits: u32) -> Result<(Permit, Duration)> {
        check(resource, permits, self.limit)?;
        let now = Instant::now();
        self.in_slot(resource, self.first_ends, now, |slot| {
            slot.go_on(now);
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

    /// Counts what a peer has granted in a slot of its own, of which `rest` is left. Slots that end less than half a slot
    /// apart are the same one.
    #[cfg(feature = "mesh")]
    pub(super) fn count(&self, resource: &str, permits: u32, rest: Duration) -> Result<()> {
        let now = Instant::now();
        let ends = now + rest.min(self.length);
        self.in_slot(resource, ends, now, |slot| {
            slot.go_on(now);
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
                // Late news of a slot that has ended.
            }
        })
    }

    /// Does something with the slot of `resource`; its first one ends at `first_ends`.
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

    /// Goes on to the slot that a peer is in already, if this one has ended.
    fn go_on(&mut self, now: Instant) {
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

/// The least number of milliseconds that is longer than `time`.
fn millis_until_after(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_slot_gives_n_permits_and_the_next_slot_again() {
        let limiter = SlotLimiter::new(2, Duration::from_millis(800));
        let acquire = |resource: &str| limiter.acquire(resource, 1).unwrap();
        assert_eq!(acquire("a"), Permit { go: true, limit: 2, remaining: 1, retry_after_ms: 0 });
        advance(Duration::from_millis(500)).await;
        assert_eq!(acquire("a"), Permit { go: true, limit: 2, remaining: 0, retry_after_ms: 0 });
        assert_eq!(acquire("a"), Permit { go: false, limit: 2, remaining: 0, retry_after_ms: 301 });
        assert!(acquire("b").go, "resources are apart");
        advance(Duration::from_millis(300)).await;
        assert_eq!(acquire("a"), Permit { go: false, limit: 2, remaining: 0, retry_after_ms: 1 }, "its last instant");
        advance(Duration::from_millis(1)).await;
        assert!(acquire("a").go);
    }

    /// The limiter that this one is equal to, as its users know it; `now` is its only clock.
    struct Reference {
        max_requests: u32,
        in_time: Duration,
        requests: u32,
        next_slot: Instant,
    }

    impl Reference {
        fn next(&mut self, now: Instant) -> bool {
            if now > self.next_slot {
                self.requests = 0;
                self.next_slot = now + self.in_time;
            }
            let go = self.requests < self.max_requests;
            self.requests += u32::from(go);
            go
        }
    }

    proptest! {
        /// Pauses of whole tenths of a slot meet every boundary exactly, those of a nanosecond more pass it.
        #[test]
        fn go_and_sorry_are_those_of_the_reference(
            limit in 1_u32..6,
            pauses in vec((0_u32..14, 0_u64..2), 1..80),
        ) {
            let tenth = Duration::from_millis(80);
            block_on_paused(async {
                let limiter = SlotLimiter::new(limit, 10 * tenth);
                let in_time = 10 * tenth;
                let mut reference =
                    Reference { max_requests: limit, in_time, requests: 0, next_slot: Instant::now() + in_time };
                for (step, (tenths, nanos)) in pauses.into_iter().enumerate() {
                    advance(tenths * tenth + Duration::from_nanos(nanos)).await;
                    let permit = limiter.acquire("locker", 1).unwrap();
                    prop_assert_eq!(permit.go, reference.next(Instant::now()), "step {}", step);
                }
                Ok(())
            })?;
        }
    }

    fn block_on_paused<T>(test: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(test)
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_time_to_retry_it_goes() {
        let limiter = SlotLimiter::new(1, Duration::from_micros(1_500));
        assert!(limiter.acquire("a", 1).unwrap().go);
        for nanos in [0, 500_000, 999_999, 1, 0] {
            advance(Duration::from_nanos(nanos)).await;
            let refused = limiter.acquire("a", 1).unwrap();
            assert!(!refused.go && refused.retry_after_ms > 0, "{refused:?}");
        }
        let refused = limiter.acquire("a", 1).unwrap();
        advance(Duration::from_millis(refused.retry_after_ms)).await;
        assert!(limiter.acquire("a", 1).unwrap().go);
    }

    #[tokio::test(start_paused = true)]
    async fn ended_slots_are_swept_and_open_ones_stay() {
        let limiter = SlotLimiter::new(1, Duration::from_secs(1));
        let sweep = |crowd: &str| {
            for number in 0..2 * everywire_engines::expiring::MIN_ENTRIES {
                assert!(limiter.acquire(&format!("{crowd} {number}"), 1).unwrap().go, "{crowd} {number}");
            }
        };
        assert!(limiter.acquire("a", 1).unwrap().go);
        advance(Duration::from_secs(1)).await;
        sweep("at its last instant");
        assert!(!limiter.acquire("a", 1).unwrap().go);
        advance(Duration::from_nanos(1)).await;
        sweep("after it");
        assert!(limiter.slots.lock().unwrap().get("a").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn resources_have_a_bounded_memory() {
        let slots = Expiring::small(1 << 20).into();
        let limiter = SlotLimiter { slots, ..SlotLimiter::new(1, Duration::from_secs(1)) };
        let acquire = |number: usize| limiter.acquire(&format!("{number:0512}"), 1);
        let number = (0..2_048).find(|number| acquire(*number).is_err()).expect("names alone would fill it");
        assert!(number > 1_024, "{number}");
        assert_eq!(acquire(number).unwrap_err().message(), "the resources in use fill 1048576 bytes already");
        assert!(!acquire(0).unwrap().go, "known resources are served");
        advance(Duration::from_millis(1_001)).await;
        assert!(acquire(number).unwrap().go, "their slots have ended");
    }

    #[cfg(feature = "mesh")]
    #[tokio::test(start_paused = true)]
    async fn what_a_peer_grants_counts_in_its_slot() {
        let [second, tenth] = [1_000, 100].map(Duration::from_millis);
        let limiter = SlotLimiter::new(5, second);
        advance(2 * second).await;
        limiter.count("a", 2, 9 * tenth).unwrap();
        assert_eq!(limiter.acquire("a", 1).unwrap().remaining, 2, "in the peer's slot");
        advance(8 * tenth).await;
        limiter.count("a", 1, second).unwrap();
        limiter.count("a", 4, second).unwrap();
        let refused = limiter.acquire("a", 1).unwrap();
        assert_eq!(
            (refused.go, refused.retry_after_ms),
            (false, 101),
            "the peer is a slot further, and counts in both"
        );
        advance(2 * tenth).await;
        assert_eq!(limiter.acquire("a", 1).unwrap().retry_after_ms, 801, "the slot that the peer is in");
        advance(9 * tenth).await;
        limiter.count("a", 5, 2 * tenth).unwrap();
        assert_eq!(
            limiter.acquire("a", 1).unwrap().remaining,
            4,
            "nobody is in the slot after that, and the news was late"
        );
        limiter.count("a", u32::MAX, Duration::MAX).unwrap();
        assert_eq!(limiter.acquire("a", 1).unwrap().retry_after_ms, 1_001, "no rest is longer than a slot");
    }

    #[tokio::test(start_paused = true)]
    async fn permits_are_taken_all_or_none() {
        let limiter = SlotLimiter::new(5, Duration::from_secs(1));
        assert_eq!(limiter.acquire("a", 4).unwrap().remaining, 1);
        let refused = limiter.acquire("a", 2).unwrap();
        assert_eq!((refused.go, refused.remaining), (false, 1));
        assert!(limiter.acquire("a", 1).unwrap().go);
        for permits in [0, 6] {
            let error = limiter.acquire("a", permits).unwrap_err();
            assert_eq!(error.message(), format!("`permits` is {permits}; it may be 1 to 5"));
        }
    }
}
