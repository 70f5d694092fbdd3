//! The limiter by time slots.

use std::time::Duration;

use everywire_services::{Permit, limiter::SlotLimiter};
use proptest::prelude::*;

use crate::{Difference, check_sequences, millisecond, same};

const RESOURCES: usize = 2;
const LENGTH_MS: u64 = 7;
/// The least limit, the default, and the largest.
const LIMITS: [u32; 3] = [1, 5, u32::MAX];

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
        1 => (1..=2 * LENGTH_MS).prop_map(|ms| Operation::Pass { ms }),
    ]
}

#[test]
fn the_limiter_behaves_as_its_model() {
    for limit in LIMITS {
        check_sequences(operation(), &async |operations| {
            let limiter = SlotLimiter::new(limit, Duration::from_millis(LENGTH_MS));
            let mut model = Model { limit, now: 0, slots: Default::default() };
            for (step, &operation) in operations.iter().enumerate() {
                let outcome = run(&limiter, &mut model, operation).await;
                outcome.map_err(|difference| {
                    format!("limit {limit}, {step}. {operation:?}, at {} ms: {difference}", model.now)
                })?;
            }
            Ok(())
        });
    }
}

async fn run(limiter: &SlotLimiter, model: &mut Model, operation: Operation) -> Difference {
    match operation {
        Operation::Acquire { resource, permits, most } => {
            let permits = if most { model.limit.saturating_sub(permits) } else { permits };
            let real = limiter.acquire(&format!("resource {resource}"), permits).ok();
            same("the answer", &real, &model.acquire(resource, permits))
        }
        Operation::Pass { ms } => {
            for _ in 0..ms {
                millisecond().await;
            }
            model.now += ms;
            Ok(())
        }
    }
}

/// What the limiter is, in the plainest words: of each resource, all that was granted in its last slot.
struct Model {
    limit: u32,
    now: u64,
    slots: [Slot; RESOURCES],
}

#[derive(Default)]
struct Slot {
    opened: u64,
    granted: Vec<u32>,
}

impl Model {
    /// Nothing for a request that no slot could grant.
    fn acquire(&mut self, resource: usize, permits: u32) -> Option<Permit> {
        if permits == 0 || permits > self.limit {
            return None;
        }
        let slot = &mut self.slots[resource];
        // The last instant of a slot belongs to it.
        if self.now > slot.opened + LENGTH_MS {
            *slot = Slot { opened: self.now, granted: Vec::new() };
        }
        let used: u64 = slot.granted.iter().copied().map(u64::from).sum();
        let left = u64::from(self.limit) - used;
        let go = u64::from(permits) <= left;
        if go {
            slot.granted.push(permits);
        }
        let remaining = if go { left - u64::from(permits) } else { left };
        let retry_after_ms = if go { 0 } else { slot.opened + LENGTH_MS + 1 - self.now };
        Some(Permit { go, limit: self.limit, remaining: remaining.try_into().unwrap(), retry_after_ms })
    }
}
