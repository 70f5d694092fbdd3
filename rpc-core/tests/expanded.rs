//! The committed expansion of a small trait is real: it compiles and works. That it is the present one is a test of
//! everywire-macros.

use std::{sync::Arc, time::Duration};

use calculator::{Calculator, CalculatorClient, CalculatorService};
use everywire_core::{Context, Result, memory};

/// The committed file, among the imports that its trait needs.
#[rustfmt::skip]
pub mod calculator {
    use everywire_core::{Context, Result};
    include!("expanded/calculator.rs");
}

/// The trait as it is written:
///
/// ```ignore
/// /// Adds.
/// #[everywire_core::service(package = "demo.v1")]
/// pub trait Calculator {
///     /// Adds two integers.
///     #[idempotent]
///     async fn add(&self, a: i64, b: i64) -> Result<i64>;
///     /// Adds any number of integers, and `start` if it is there.
///     async fn sum(&self, numbers: Vec<i64>, start: Option<i64>) -> Result<i64>;
///     /// The milliseconds until the call's deadline, if it has one.
///     async fn time_left(&self, cx: &Context) -> Result<Option<u64>>;
/// }
/// ```
struct Plain;

impl Calculator for Plain {
    async fn add(&self, a: i64, b: i64) -> Result<i64> {
        Ok(a + b)
    }

    async fn sum(&self, numbers: Vec<i64>, start: Option<i64>) -> Result<i64> {
        Ok(start.unwrap_or(0) + numbers.iter().sum::<i64>())
    }

    async fn time_left(&self, cx: &Context) -> Result<Option<u64>> {
        Ok(cx.time_left().and_then(|time| u64::try_from(time.as_millis()).ok()))
    }
}

#[tokio::test]
async fn the_committed_expansion_works() {
    let client = CalculatorClient::new(memory::Client::new(Arc::new(CalculatorService::new(Plain))));
    assert_eq!(client.add(3, 4).await, Ok(7));
    assert_eq!(client.sum(vec![1, 2], None).await, Ok(3));
    assert_eq!(client.sum(vec![1, 2], Some(4)).await, Ok(7));
    assert_eq!(client.time_left(&Context::new()).await, Ok(None));
    let soon = Context::new().timeout(Duration::from_secs(10));
    assert!(client.time_left(&soon).await.unwrap().is_some_and(|ms| (5_000..=10_000).contains(&ms)));
}
