//! The ids, on a clock that passes, jumps forward and is set back.

#![expect(clippy::unwrap_used, reason = "a test fails where its assumption does")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use everywire_core::Code;
use everywire_id::{Clock, Settings, Snowflake};
use proptest::prelude::*;
use tokio::time::{Instant, sleep};

use everywire_testing::model::{Difference, check_sequences, millisecond, same};

const WORKER: u64 = 5;
/// Few ids per millisecond, so that a few calls use it up; the default has 4,096.
const SEQUENCE_BITS: u32 = 3;
const WORKER_BITS: u32 = 10;
const IDS_PER_MS: u64 = 1 << SEQUENCE_BITS;
/// How far ids may run ahead of the clock.
const AHEAD_MS: u64 = 2_000;
/// Where the clock stands at first: so far after the epoch that no sequence sets it back before it.
const START_MS: u64 = 1_000_000;

#[derive(Debug, Clone, Copy)]
enum Operation {
    Take { count: u32 },
    Pass { ms: u64 },
    SetForward { ms: u64 },
    SetBack { ms: u64 },
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        6 => (1..=3 * 8_u32).prop_map(|count| Operation::Take { count }),
        1 => (15_000..=17_000_u32).prop_map(|count| Operation::Take { count }),
        3 => (1..=3_u64).prop_map(|ms| Operation::Pass { ms }),
        1 => (1..=3_000_u64).prop_map(|ms| Operation::SetForward { ms }),
        2 => (1..=3_000_u64).prop_map(|ms| Operation::SetBack { ms }),
    ]
}

/// A clock on simulated time that can be set.
#[derive(Clone)]
struct TestClock {
    began: Instant,
    shows_ms: Arc<AtomicU64>,
}

impl TestClock {
    fn ms(&self) -> u64 {
        self.shows_ms.load(Relaxed) + u64::try_from(self.began.elapsed().as_millis()).unwrap()
    }
}

impl Clock for TestClock {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.ms())
    }

    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send {
        sleep(time)
    }
}

#[test]
fn the_ids_behave_as_their_model() {
    check_sequences(operation(), &async |operations| {
        let clock = TestClock { began: Instant::now(), shows_ms: Arc::new(START_MS.into()) };
        let layout = format!("41/{WORKER_BITS}/{SEQUENCE_BITS}").parse().unwrap();
        let settings = Settings { worker: WORKER, epoch: UNIX_EPOCH, layout };
        let ids = Snowflake::on_clock(settings, clock.clone()).unwrap();
        let mut model = Model::default();
        for (step, &operation) in operations.iter().enumerate() {
            let at = clock.ms();
            let outcome = run(&ids, &clock, &mut model, operation).await;
            outcome.map_err(|difference| format!("{step}. {operation:?}, at {at} ms: {difference}"))?;
        }
        Ok(())
    });
}

async fn run(ids: &Snowflake<TestClock>, clock: &TestClock, model: &mut Model, operation: Operation) -> Difference {
    match operation {
        Operation::Take { count } => {
            let expected = model.take(u64::from(count), clock.ms());
            let real = ids.next_many(count).await.map_err(|error| error.code());
            same("the ids", &real, &expected)?;
            let newest = model.last.map_or(0, |last| last.ms);
            same("an id from the future", &(real.is_ok() && newest > clock.ms()), &false)
        }
        Operation::Pass { ms } => {
            for _ in 0..ms {
                millisecond().await;
            }
            Ok(())
        }
        Operation::SetForward { ms } => {
            clock.shows_ms.fetch_add(ms, Relaxed);
            Ok(())
        }
        Operation::SetBack { ms } => {
            clock.shows_ms.fetch_sub(ms, Relaxed);
            Ok(())
        }
    }
}

/// What a generator is, in the plainest words: each id is the one after the last, or the first of the present millisecond.
#[derive(Default)]
struct Model {
    last: Option<Position>,
    /// The latest time that the clock has shown to a call.
    seen_ms: u64,
}

#[derive(Debug, Clone, Copy)]
struct Position {
    ms: u64,
    sequence: u64,
}

impl Position {
    fn after(self) -> Self {
        if self.sequence + 1 < IDS_PER_MS {
            Self { sequence: self.sequence + 1, ..self }
        } else {
            Self { ms: self.ms + 1, sequence: 0 }
        }
    }

    fn id(self) -> u64 {
        (self.ms << WORKER_BITS | WORKER) << SEQUENCE_BITS | self.sequence
    }
}

impl Model {
    fn take(&mut self, count: u64, now_ms: u64) -> Result<Vec<u64>, Code> {
        self.seen_ms = self.seen_ms.max(now_ms);
        let free = self.last.map_or(Position { ms: 0, sequence: 0 }, Position::after);
        let mut at = if free.ms < now_ms { Position { ms: now_ms, sequence: 0 } } else { free };
        let mut ids = Vec::new();
        let mut last = at;
        for _ in 0..count {
            ids.push(at.id());
            last = at;
            at = at.after();
        }
        if last.ms >= now_ms + AHEAD_MS {
            return Err(self.refusal(free.ms, now_ms));
        }
        self.last = Some(last);
        Ok(ids)
    }

    /// Whichever is the greater part of the distance to the clock: that it was set back, or that so many ids were asked for.
    fn refusal(&self, free_ms: u64, now_ms: u64) -> Code {
        let set_back = self.seen_ms - now_ms;
        let asked_for = free_ms.saturating_sub(self.seen_ms);
        if set_back > asked_for { Code::FailedPrecondition } else { Code::ResourceExhausted }
    }
}
