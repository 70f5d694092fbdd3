//! The generic cell rate algorithm: permits come back one by one, evenly, instead of all at the end of a slot.
//!
//! It is the virtual scheduling algorithm of ITU-T I.371, annex A, for ATM cells. For each resource it keeps only the *theoretical
//! arrival time*, when all permits will be back. A permit advances it by T, the time between two permits, and a request conforms
//! if it is then not further ahead than τ + T, here N T. So at most N permits are granted at once, and at most N + W / T in any
//! time W.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use everywire_core::Result;
use quanta::{Clock, Instant};

use everywire_engines::expiring::{Entry, Expiring};

use super::check;
use crate::Permit;

/// The same limit for every resource. Resources with permits in use take at most 64 MiB of memory, names included; one more is
/// `RESOURCE_EXHAUSTED`.
#[derive(Debug)]
pub struct GcraLimiter {
    limit: u32,
    /// Nanoseconds from one permit to the next: T.
    each: u64,
    /// The processor's clock, which is faster to read than the system's.
    clock: Clock,
    resources: Mutex<Expiring<Arrival, Instant>>,
}

/// The instant at which a resource has all its permits again.
#[derive(Debug, Clone, Copy)]
struct Arrival(Instant);

impl GcraLimiter {
    /// At most `limit` permits at once, and on average `limit` per `period`. The time between two permits is a whole
    /// number of nanoseconds, at least one, so the rate may be lower by less than one nanosecond per permit.
    pub fn new(limit: u32, period: Duration) -> Self {
        Self::with_clock(limit, period, Clock::new())
    }

    /// Like [`new`](Self::new), with the given clock, such as a mock.
    pub fn with_clock(limit: u32, period: Duration, clock: Clock) -> Self {
        let limit = limit.max(1);
        let period = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX / 4).min(u64::MAX / 4);
        Self { limit, each: period.div_ceil(limit.into()).max(1), clock, resources: Mutex::default() }
    }

    /// Takes `permits` of `resource`, all or none.
    pub fn acquire(&self, resource: &str, permits: u32) -> Result<Permit> {
        check(resource, permits, self.limit)?;
        let now = self.clock.now();
        let mut resources = self.resources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(arrival) = resources.get_mut(resource) {
            return Ok(self.take(permits, arrival, now));
        }
        resources.make_room(now, "the resources in use")?;
        let mut arrival = Arrival(now);
        let permit = self.take(permits, &mut arrival, now);
        resources.insert(resource, arrival);
        Ok(permit)
    }

    fn take(&self, permits: u32, arrival: &mut Arrival, now: Instant) -> Permit {
        let most = self.each * u64::from(self.limit);
        let ahead = arrival.0.saturating_duration_since(now).as_nanos();
        // A processor's clock may step back. That must not use up more than all permits.
        let ahead = u64::try_from(ahead).unwrap_or(most).min(most);
        let wanted = ahead + self.each * u64::from(permits);
        let (go, ahead) = if wanted <= most { (true, wanted) } else { (false, ahead) };
        arrival.0 = now + Duration::from_nanos(ahead);
        let remaining = ((most - ahead) / self.each).try_into().expect("no more than all permits");
        let retry_after_ms = if go { 0 } else { (wanted - most).div_ceil(1_000_000) };
        Permit { go, limit: self.limit, remaining, retry_after_ms }
    }
}

impl Entry<Instant> for Arrival {
    fn has_ended(&self, now: Instant) -> bool {
        now >= self.0
    }
}

#[cfg(test)]
mod tests {
    use quanta::Mock;

    use super::*;

    /// A limiter and its clock, which stands still.
    fn limiter(limit: u32, period: Duration) -> (GcraLimiter, std::sync::Arc<Mock>) {
        let (clock, mock) = Clock::mock();
        (GcraLimiter::with_clock(limit, period, clock), mock)
    }

    #[test]
    fn permits_come_back_one_by_one() {
        let (limiter, clock) = limiter(4, Duration::from_millis(800));
        let acquire = |permits| limiter.acquire("a", permits).unwrap();
        assert_eq!(acquire(4), Permit { go: true, limit: 4, remaining: 0, retry_after_ms: 0 });
        assert_eq!(acquire(1), Permit { go: false, limit: 4, remaining: 0, retry_after_ms: 200 });
        clock.increment(Duration::from_nanos(199_999_999));
        assert_eq!(acquire(1), Permit { go: false, limit: 4, remaining: 0, retry_after_ms: 1 });
        clock.increment(Duration::from_nanos(1));
        assert!(acquire(1).go);
        assert_eq!(acquire(3).retry_after_ms, 600, "a rejected request takes nothing");
        clock.increment(Duration::from_millis(600));
        assert_eq!(acquire(2), Permit { go: true, limit: 4, remaining: 1, retry_after_ms: 0 });
        assert!(limiter.acquire("b", 4).unwrap().go, "resources are independent");
        clock.increment(Duration::from_hours(1));
        assert_eq!(acquire(1).remaining, 3, "never more than all");
    }

    #[test]
    fn a_period_has_no_more_than_the_burst_and_its_share() {
        for limit in [1_u32, 5, 7] {
            let (limiter, clock) = limiter(limit, Duration::from_secs(1));
            let mut granted = 0;
            for _ in 0..3_000 {
                while limiter.acquire("a", 1).unwrap().go {
                    granted += 1;
                }
                clock.increment(Duration::from_millis(1));
            }
            assert!((limit * 4 - 1..=limit * 4).contains(&granted), "{granted} of {limit} in 3 s");
        }
    }

    #[test]
    fn the_ends_of_the_range() {
        for period in [Duration::from_millis(1), Duration::from_hours(24), Duration::MAX] {
            let (limiter, _clock) = limiter(u32::MAX, period);
            assert_eq!(limiter.acquire("a", u32::MAX).unwrap().remaining, 0, "{period:?}");
            assert!(!limiter.acquire("a", 1).unwrap().go, "{period:?}");
            let error = limiter.acquire("a", 0).unwrap_err();
            assert_eq!(error.message(), "`permits` is 0; it may be 1 to 4294967295");
        }
    }

    #[test]
    fn a_clock_that_steps_back_costs_a_period_at_most() {
        let (limiter, clock) = limiter(2, Duration::from_secs(1));
        clock.increment(Duration::from_hours(1));
        assert!(limiter.acquire("a", 2).unwrap().go);
        clock.decrement(Duration::from_hours(1));
        let rejected = limiter.acquire("a", 1).unwrap();
        assert_eq!(rejected, Permit { go: false, limit: 2, remaining: 0, retry_after_ms: 500 });
        clock.increment(Duration::from_millis(500));
        assert!(limiter.acquire("a", 1).unwrap().go);
    }

    #[test]
    fn resources_with_all_their_permits_are_forgotten() {
        let (limiter, clock) = limiter(2, Duration::from_secs(1));
        for number in 0..8 * everywire_engines::expiring::MIN_ENTRIES {
            assert!(limiter.acquire(&number.to_string(), 1).unwrap().go);
            clock.increment(Duration::from_millis(1));
        }
        assert!(limiter.resources.lock().unwrap().get("0").is_none());
    }
}
