//! N permits per time slot, where a slot opens with the first request after the last one ended.
//!
//! This is the limiter of a small ZeroMQ locker service that many teams have written. Up to 2 N requests can pass within
//! one slot's length across a boundary. The clock is monotonic, so that setting the wall clock changes nothing.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rpc_core::{Result, RpcError};
use tokio::time::Instant;

use crate::{Permit, lock::check_name};

/// Resources that can have an open slot at the same time; one more is `RESOURCE_EXHAUSTED`.
const MAX_RESOURCES: usize = 1 << 20;
/// The map is swept of ended slots whenever it has doubled, but not below this.
const MIN_SWEEP: usize = 1_024;

/// The same limit for every resource.
#[derive(Debug)]
pub struct SlotLimiter {
    limit: u32,
    length: Duration,
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    open: HashMap<String, Slot>,
    sweep_at: usize,
}

#[derive(Debug)]
struct Slot {
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
    /// `limit` permits per slot of `length`.
    pub fn new(limit: u32, length: Duration) -> Self {
        Self { limit, length, slots: Mutex::default() }
    }

    /// Takes `permits` of `resource`, all or none.
    pub fn acquire(&self, resource: String, permits: u32) -> Result<Permit> {
        check_name("resource", &resource)?;
        if !(1..=self.limit).contains(&permits) {
            let limit = self.limit;
            return Err(RpcError::invalid_argument(format!("`permits` is {permits}; a slot has 1 to {limit}")));
        }
        let now = Instant::now();
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.make_room(now)?;
        let slot = slots.open.entry(resource).or_insert(Slot { ends: now, used: 0 });
        if slot.ends <= now {
            *slot = Slot { ends: now + self.length, used: 0 };
        }
        let go = slot.used + permits <= self.limit;
        if go {
            slot.used += permits;
        }
        let wait = if go { Duration::ZERO } else { slot.ends - now };
        let retry_after_ms = u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        Ok(Permit { go, limit: self.limit, remaining: self.limit - slot.used, retry_after_ms })
    }
}

impl Slots {
    fn make_room(&mut self, now: Instant) -> Result<()> {
        if self.open.len() >= self.sweep_at {
            self.open.retain(|_, slot| slot.ends > now);
            self.sweep_at = (2 * self.open.len()).max(MIN_SWEEP);
        }
        if self.open.len() >= MAX_RESOURCES {
            return Err(RpcError::resource_exhausted(format!("{MAX_RESOURCES} resources are in use already")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_slot_gives_n_permits_and_the_next_slot_again() {
        let limiter = SlotLimiter::new(2, Duration::from_millis(800));
        let acquire = |resource: &str| limiter.acquire(resource.into(), 1).unwrap();
        assert_eq!(acquire("a"), Permit { go: true, limit: 2, remaining: 1, retry_after_ms: 0 });
        advance(Duration::from_millis(500)).await;
        assert_eq!(acquire("a"), Permit { go: true, limit: 2, remaining: 0, retry_after_ms: 0 });
        assert_eq!(acquire("a"), Permit { go: false, limit: 2, remaining: 0, retry_after_ms: 300 });
        assert!(acquire("b").go, "resources are apart");
        advance(Duration::from_millis(300)).await;
        assert!(acquire("a").go);
    }

    #[tokio::test(start_paused = true)]
    async fn permits_are_taken_all_or_none() {
        let limiter = SlotLimiter::new(5, Duration::from_secs(1));
        assert_eq!(limiter.acquire("a".into(), 4).unwrap().remaining, 1);
        let refused = limiter.acquire("a".into(), 2).unwrap();
        assert_eq!((refused.go, refused.remaining), (false, 1));
        assert!(limiter.acquire("a".into(), 1).unwrap().go);
        for permits in [0, 6] {
            let error = limiter.acquire("a".into(), permits).unwrap_err();
            assert_eq!(error.message(), format!("`permits` is {permits}; a slot has 1 to 5"));
        }
    }
}
