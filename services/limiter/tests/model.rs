//! The limiters: by time slots, and by the generic cell rate algorithm.

#![expect(clippy::unwrap_used, reason = "a test fails where its assumption does")]

use std::{collections::VecDeque, sync::Arc, time::Duration};

use everywire_limiter::Permit;
use everywire_limiter::{GcraLimiter, SlotLimiter};
use proptest::prelude::*;
use quanta::{Clock, Mock};

use everywire_testing::model::{Difference, check_sequences, millisecond, same};

const RESOURCES: usize = 2;
/// A slot, or the time in which all permits come back. No limit but 1 divides it.
const PERIOD_MS: u64 = 7;

#[derive(Debug, Clone, Copy)]
enum Operation {
    /// `most` asks for so many less than the limit, and otherwise for `permits`.
    Acquire {
        resource: usize,
        permits: u32,
        most: bool,
    },
    Pass {
        ms: u64,
    },
}

fn operation() -> impl Strategy<Value = Operation> {
    let acquire = (0..RESOURCES, 0..=3_u32, any::<bool>());
    prop_oneof![
        3 => acquire.prop_map(|(resource, permits, most)| Operation::Acquire { resource, permits, most }),
        1 => (1..=2 * PERIOD_MS).prop_map(|ms| Operation::Pass { ms }),
    ]
}

/// A limiter, or its model.
trait Acquires {
    /// Nothing for a request that is never granted.
    fn acquire(&mut self, resource: usize, permits: u32) -> Option<Permit>;

    /// One millisecond has passed on the runtime's clock.
    fn millisecond(&mut self);
}

/// Compares what `new` gives for each limit: the limiter and its model.
fn behave_alike<R: Acquires, M: Acquires>(limits: &[u32], new: impl Fn(u32) -> (R, M)) {
    for &limit in limits {
        check_sequences(operation(), &async |operations| {
            let (mut real, mut model) = new(limit);
            for (step, &operation) in operations.iter().enumerate() {
                let outcome = run(&mut real, &mut model, limit, operation).await;
                outcome.map_err(|difference| format!("limit {limit}, {step}. {operation:?}: {difference}"))?;
            }
            Ok(())
        });
    }
}

async fn run(real: &mut impl Acquires, model: &mut impl Acquires, limit: u32, operation: Operation) -> Difference {
    match operation {
        Operation::Acquire { resource, permits, most } => {
            let permits = if most { limit.saturating_sub(permits) } else { permits };
            same("the answer", &real.acquire(resource, permits), &model.acquire(resource, permits))
        }
        Operation::Pass { ms } => {
            for _ in 0..ms {
                millisecond().await;
                real.millisecond();
                model.millisecond();
            }
            Ok(())
        }
    }
}

#[test]
fn slots_behave_as_their_model() {
    // The least limit, the default, and the largest.
    behave_alike(&[1, 5, u32::MAX], |limit| {
        let real = SlotLimiter::new(limit, Duration::from_millis(PERIOD_MS));
        (real, SlotModel { limit, now: 0, slots: Default::default() })
    });
}

impl Acquires for SlotLimiter {
    fn acquire(&mut self, resource: usize, permits: u32) -> Option<Permit> {
        SlotLimiter::acquire(self, &format!("resource {resource}"), permits).ok()
    }

    fn millisecond(&mut self) {}
}

/// What the slots are, in the plainest words: of each resource, all that was granted in its last slot.
struct SlotModel {
    limit: u32,
    now: u64,
    slots: [Slot; RESOURCES],
}

#[derive(Default)]
struct Slot {
    opened: u64,
    granted: Vec<u32>,
}

impl Acquires for SlotModel {
    fn acquire(&mut self, resource: usize, permits: u32) -> Option<Permit> {
        if permits == 0 || permits > self.limit {
            return None;
        }
        let slot = &mut self.slots[resource];
        // The last instant of a slot belongs to it.
        if self.now > slot.opened + PERIOD_MS {
            *slot = Slot { opened: self.now, granted: Vec::new() };
        }
        let used: u64 = slot.granted.iter().copied().map(u64::from).sum();
        let left = u64::from(self.limit) - used;
        let go = u64::from(permits) <= left;
        if go {
            slot.granted.push(permits);
        }
        let remaining = if go { left - u64::from(permits) } else { left };
        let retry_after_ms = if go { 0 } else { slot.opened + PERIOD_MS + 1 - self.now };
        Some(Permit { go, limit: self.limit, remaining: remaining.try_into().unwrap(), retry_after_ms })
    }

    fn millisecond(&mut self) {
        self.now += 1;
    }
}

#[test]
fn gcra_behaves_as_its_model() {
    // Up to a limit whose permits can be kept one by one.
    behave_alike(&[1, 5, 60], |limit| {
        let (clock, mock) = Clock::mock();
        let real = GcraLimiter::with_clock(limit, Duration::from_millis(PERIOD_MS), clock);
        let each = (PERIOD_MS * 1_000_000).div_ceil(limit.into());
        (Gcra { real, mock }, GcraModel { limit, each, now: 0, away: Default::default() })
    });
}

struct Gcra {
    real: GcraLimiter,
    mock: Arc<Mock>,
}

impl Acquires for Gcra {
    fn acquire(&mut self, resource: usize, permits: u32) -> Option<Permit> {
        self.real.acquire(&format!("resource {resource}"), permits).ok()
    }

    fn millisecond(&mut self) {
        self.mock.increment(Duration::from_millis(1));
    }
}

/// What the algorithm does, without its arithmetic: permits come back one after the other, in the order in which they were
/// taken, `each` nanoseconds after they were taken or after the one before.
struct GcraModel {
    limit: u32,
    each: u64,
    now: u64,
    /// Of each resource, when the permits that are taken come back.
    away: [VecDeque<u64>; RESOURCES],
}

impl Acquires for GcraModel {
    fn acquire(&mut self, resource: usize, permits: u32) -> Option<Permit> {
        if permits == 0 || permits > self.limit {
            return None;
        }
        let away = &mut self.away[resource];
        away.retain(|back| *back > self.now);
        let left = |away: &VecDeque<u64>| self.limit - u32::try_from(away.len()).unwrap();
        let missing = permits.saturating_sub(left(away));
        let go = missing == 0;
        for _ in 0..if go { permits } else { 0 } {
            away.push_back(away.back().map_or(self.now, |last| *last) + self.each);
        }
        let enough_at = if go { self.now } else { away[missing as usize - 1] };
        let retry_after_ms = (enough_at - self.now).div_ceil(1_000_000);
        Some(Permit { go, limit: self.limit, remaining: left(away), retry_after_ms })
    }

    fn millisecond(&mut self) {
        self.now += 1_000_000;
    }
}
