//! The lock, the ids and the limiter beside models of them, in simulated time: random operations, and after each of them, and
//! after each millisecond, the two must agree on everything observable.
//!
//! `EVERYWIRE_CASES=100000` makes a full run of such a test.

use std::{fmt::Debug, time::Duration};

use proptest::{
    collection,
    strategy::Strategy,
    test_runner::{Config, TestCaseError, TestRunner},
};
use tokio::runtime::{Builder, Runtime};

/// Sequences in an ordinary run of the tests.
const CASES: u32 = 1_000;
/// Operations of one sequence at most.
const OPERATIONS: usize = 40;

/// Why an operation's outcome is wrong.
pub type Difference = Result<(), String>;

/// Runs `check` on random sequences of operations, and shows the shortest one that fails.
pub fn check_sequences<S: Strategy>(operation: S, check: &impl AsyncFn(&[S::Value]) -> Difference)
where
    S::Value: Debug,
{
    let cases = std::env::var("EVERYWIRE_CASES").map_or(CASES, |cases| cases.parse().unwrap());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 100_000, ..Config::default() };
    let runtime = simulated_time();
    let outcome = TestRunner::new(config).run(&collection::vec(operation, 1..=OPERATIONS), |operations| {
        runtime.block_on(check(&operations)).map_err(TestCaseError::fail)
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

/// A runtime whose clock moves only with [`millisecond`].
fn simulated_time() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

pub async fn millisecond() {
    tokio::time::advance(Duration::from_millis(1)).await;
}

/// Compares one observable thing.
pub fn same<T: PartialEq + Debug>(what: &str, real: &T, model: &T) -> Difference {
    if real == model { Ok(()) } else { Err(format!("{what}\n  real:  {real:?}\n  model: {model:?}")) }
}
