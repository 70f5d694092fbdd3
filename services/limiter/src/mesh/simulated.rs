//! The guarantees of the mesh, on a simulated network and in simulated time. Only the counting is real.

use std::time::Duration;

use proptest::{collection::vec, prelude::*};
use tokio::{
    runtime::Builder,
    time::{Instant, advance},
};

use crate::{Permit, SlotLimiter};

const LIMITERS: usize = 3;
const LIMIT: u32 = 6;
const SLOT: Duration = Duration::from_millis(100);
/// A pause after which every slot has ended and all messages have arrived.
const LONG_PAUSE_MS: u64 = 300;

/// A request, after a pause.
#[derive(Debug, Clone)]
struct Step {
    pause_ms: u64,
    at: usize,
    permits: u32,
    /// The delay of the message to each limiter; `None` if it is lost.
    late_ms: [Option<u64>; LIMITERS],
}

/// Requests after pauses up to the first or, sometimes, of the second; messages that take up to `late_ms`, or are lost, with the
/// probability of a delay of up to `lost` milliseconds more.
fn step(pauses: [u64; 2], late_ms: u64, lost: u64) -> impl Strategy<Value = Step> {
    let pause_ms = prop_oneof![10 => 0..=pauses[0], 1 => Just(pauses[1])];
    let delay = || (0..=late_ms + lost).prop_map(move |late| (late <= late_ms).then_some(late));
    let late_ms = [(); LIMITERS].map(|()| delay());
    let step = (pause_ms, 0..LIMITERS, 1..=2_u32, late_ms);
    step.prop_map(|(pause_ms, at, permits, late_ms)| Step { pause_ms, at, permits, late_ms })
}

/// Permits of a slot, its end, and which limiters have heard of them.
#[derive(Debug)]
struct Granted {
    by: usize,
    permits: u32,
    ends: Instant,
    heard: [bool; LIMITERS],
}

#[derive(Debug)]
struct Message {
    of: usize,
    to: usize,
    arrives: Instant,
    rest: Duration,
}

struct Network {
    limiters: [SlotLimiter; LIMITERS],
    granted: Vec<Granted>,
    in_flight: Vec<Message>,
}

impl Network {
    /// The first slot of every resource, which begins with its limiter, has ended.
    async fn start() -> Self {
        let limiters = [(); LIMITERS].map(|()| SlotLimiter::new(LIMIT, SLOT).with_peers());
        advance(2 * SLOT).await;
        Self { limiters, granted: Vec::new(), in_flight: Vec::new() }
    }

    async fn run(&mut self, step: &Step) -> Permit {
        self.deliver();
        for _ in 0..step.pause_ms {
            advance(Duration::from_millis(1)).await;
            self.deliver();
        }
        let Step { at: by, permits, late_ms, .. } = *step;
        let (permit, rest) = self.limiters[by].take("a", permits).unwrap();
        if permit.go {
            for (to, late_ms) in late_ms.into_iter().enumerate().filter(|(to, _)| *to != by) {
                self.send(by, to, late_ms, rest);
            }
            let heard = std::array::from_fn(|limiter| limiter == by);
            self.granted.push(Granted { by, permits, ends: Instant::now() + rest, heard });
        }
        permit
    }

    /// Sends a message. A connection keeps the order.
    fn send(&mut self, by: usize, to: usize, late_ms: Option<u64>, rest: Duration) {
        let Some(late_ms) = late_ms else { return };
        let earlier = self.in_flight.iter().filter(|message| message.to == to && self.granted[message.of].by == by);
        let arrives = earlier.map(|message| message.arrives).max();
        let arrives = arrives.max(Some(Instant::now() + Duration::from_millis(late_ms))).expect("one of two");
        self.in_flight.push(Message { of: self.granted.len(), to, arrives, rest });
    }

    fn deliver(&mut self) {
        let now = Instant::now();
        for Message { of, to, rest, .. } in self.in_flight.extract_if(.., |message| message.arrives <= now) {
            self.limiters[to].count("a", self.granted[of].permits, rest).unwrap();
            self.granted[of].heard[to] = true;
        }
    }

    /// The permits of the slot of the last grant, and how many of them its limiter has not heard of.
    fn last_slot(&self) -> [u32; 2] {
        let Some(last) = self.granted.last() else { return [0; 2] };
        let apart = |one: &Granted| one.ends.max(last.ends) - one.ends.min(last.ends);
        let slot = self.granted.iter().filter(|one| apart(one) <= SLOT / 2);
        let unheard = slot.clone().filter(|one| !one.heard[last.by]);
        [slot.map(|one| one.permits).sum(), unheard.map(|one| one.permits).sum()]
    }
}

/// Runs the steps, and checks the guarantee after each grant.
fn keeps_its_guarantee(steps: &[Step]) -> Result<(), TestCaseError> {
    in_simulated_time(async {
        let mut network = Network::start().await;
        for (number, step) in steps.iter().enumerate() {
            if network.run(step).await.go {
                let [count, unheard] = network.last_slot();
                prop_assert!(count <= LIMIT + unheard, "step {number}: {count} of {LIMIT}, {unheard} unheard");
                prop_assert!(count <= LIMIT * u32::try_from(LIMITERS).unwrap(), "step {number}: {count}");
            }
        }
        Ok(())
    })
}

fn in_simulated_time<T>(test: impl Future<Output = T>) -> T {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(test)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Slot after slot, without a pause in which the limiters could converge.
    #[test]
    fn a_slot_has_the_limit_and_what_is_in_flight(steps in vec(step([12, 70], 24, 0), 1..120)) {
        keeps_its_guarantee(&steps)?;
    }

    /// Slots with pauses between them, as limiters that lose messages need not agree on the begin of the next slot.
    #[test]
    fn a_slot_has_the_limit_and_what_is_lost(
        mut rounds in vec(vec(step([1, 2], 15, 10), 1..15), 1..5),
    ) {
        for round in &mut rounds {
            round[0].pause_ms = LONG_PAUSE_MS;
        }
        keeps_its_guarantee(&rounds.concat())?;
    }

    #[test]
    fn without_delay_the_limiters_act_as_one(steps in vec(step([12, 70], 0, 0), 1..120)) {
        in_simulated_time(async {
            let one = SlotLimiter::new(LIMIT, SLOT);
            let mut network = Network::start().await;
            for (number, step) in steps.iter().enumerate() {
                let permit = network.run(step).await;
                prop_assert_eq!(permit, one.acquire("a", step.permits).unwrap(), "step {}", number);
            }
            Ok(())
        })?;
    }
}
