//! The committed expansion of a small trait is real: it compiles and works. That it is the present one is a test of
//! everywire-macros.

use std::sync::Arc;

use calculator::{Calculator, CalculatorClient, CalculatorService};
use everywire_core::{Result, memory};

/// The committed file, among the imports that its trait needs.
#[rustfmt::skip]
pub mod calculator {
    use everywire_core::Result;
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
}

#[tokio::test]
async fn the_committed_expansion_works() {
    let client = CalculatorClient::new(memory::Client::new(Arc::new(CalculatorService::new(Plain))));
    assert_eq!(client.add(3, 4).await, Ok(7));
    assert_eq!(client.sum(vec![1, 2], None).await, Ok(3));
    assert_eq!(client.sum(vec![1, 2], Some(4)).await, Ok(7));
}
