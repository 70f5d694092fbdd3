//! N permits per time slot, where a slot opens with the first request after the last one ended.
//!
//! This is the limiter of a small ZeroMQ locker service that many teams have written, to the nanosecond: the first slot
//! opens when the limiter is made, and the last instant of a slot still belongs to it. Up to 2 N requests can pass within
//! one slot's length across a boundary. The clock is monotonic, so that setting the wall clock changes nothing.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rpc_core::Result;
use tokio::time::Instant;

use super::check;
use crate::{
    Permit,
    expiring::{Entry, Expiring},
};

/// The same limit for every resource. Those with an open slot take at most 64 MiB of memory with their names; one more is
/// `RESOURCE_EXHAUSTED`.
#[derive(Debug)]
pub struct SlotLimiter {
    limit: u32,
    length: Duration,
    /// The end of the slot that opened when the limiter was made: the first slot of every resource.
    first_ends: Instant,
    slots: Mutex<Expiring<Slot>>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    /// The last instant of the slot.
    ends: Instant,
    used: u32,
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
        Self { limit, length, first_ends: Instant::now() + length, slots: Mutex::default() }
    }

    /// Takes `permits` of `resource`, all or none.
    pub fn acquire(&self, resource: &str, permits: u32) -> Result<Permit> {
        check(resource, permits, self.limit)?;
        let now = Instant::now();
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get_mut(resource) {
            return Ok(self.take(permits, slot, now));
        }
        slots.make_room(now, "the resources in use")?;
        let mut slot = Slot { ends: self.first_ends, used: 0 };
        let permit = self.take(permits, &mut slot, now);
        slots.insert(resource, slot);
        Ok(permit)
    }

    fn take(&self, permits: u32, slot: &mut Slot, now: Instant) -> Permit {
        if slot.has_ended(now) {
            *slot = Slot { ends: now + self.length, used: 0 };
        }
        let go = permits <= self.limit - slot.used;
        if go {
            slot.used += permits;
        }
        let retry_after_ms = if go { 0 } else { millis_until_after(slot.ends - now) };
        Permit { go, limit: self.limit, remaining: self.limit - slot.used, retry_after_ms }
    }
}

impl Entry for Slot {
    fn has_ended(&self, now: Instant) -> bool {
        now > self.ends
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
            for number in 0..2 * crate::expiring::LEAST_ENTRIES {
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
