//! What `#[service]` makes, used through the in-memory wire.

use std::sync::Arc;

use everywire_core::{Code, Result, RpcError, Service, memory};

/// Adds.
#[everywire_core::service(package = "demo.v1")]
pub trait Calculator {
    /// Adds two integers.
    async fn add(&self, a: i64, b: i64) -> Result<i64>;
    /// Never returns.
    async fn fail(&self, how: Option<String>) -> Result<()>;
}

struct Plain;

impl Calculator for Plain {
    async fn add(&self, a: i64, b: i64) -> Result<i64> {
        a.checked_add(b).ok_or_else(|| RpcError::out_of_range("the sum is beyond 64 bits"))
    }

    async fn fail(&self, how: Option<String>) -> Result<()> {
        panic!("{how:?}")
    }
}

#[tokio::test]
async fn a_client_implements_the_trait() {
    let client = CalculatorClient::new(memory::Client::new(Arc::new(CalculatorService::new(Plain))));
    assert_eq!(client.add(3, 4).await, Ok(7));
    let error = client.add(i64::MAX, 1).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::OutOfRange, "the sum is beyond 64 bits"));
    let error = client.fail(None).await.unwrap_err();
    assert_eq!(error.code(), Code::Internal);
    assert_eq!(client.add(1, 1).await, Ok(2), "a panic harms no other call");
}

#[test]
fn the_descriptor_is_known_without_a_value() {
    let descriptor = CalculatorService::descriptor();
    assert_eq!(descriptor.full_name(), "demo.v1.Calculator");
    assert_eq!(descriptor.docs(), "Adds.");
    let signatures: Vec<_> = descriptor.methods().iter().map(everywire_core::descriptor::Method::signature).collect();
    assert_eq!(signatures, ["add(a: i64, b: i64) -> i64", "fail(how: Option<String>) -> ()"]);
    assert_eq!(CalculatorService::new(Plain).services().methods().nth(1).unwrap().1.docs(), "Never returns.");
}
