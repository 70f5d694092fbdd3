//! The service that is measured.

use std::{sync::Arc, time::Duration};

use everywire::{Result, RpcError, Streaming};
use everywire_id::Snowflake;

/// Methods that do next to nothing, so that what is measured is the call; and ids, to be compared with those of others.
#[everywire::service(package = "everywire.v1")]
pub trait Echo {
    /// Adds two integers.
    #[idempotent]
    async fn add(&self, a: i64, b: i64) -> Result<i64>;
    /// Gives the text back.
    #[idempotent]
    async fn echo(&self, text: String) -> Result<String>;
    /// The first `count` numbers, at most 100,000: many small values in one answer.
    #[idempotent]
    async fn numbers(&self, count: u32) -> Result<Vec<u64>>;
    /// The first `count` numbers, as a stream.
    #[idempotent]
    async fn items(&self, count: u32) -> Result<Streaming<u64>>;
    /// Answers after `ms` milliseconds, and with them.
    #[idempotent]
    async fn slow(&self, ms: u64) -> Result<u64>;
    /// The next id of a Snowflake.
    async fn next_id(&self) -> Result<u64>;
    /// The next `count` of them, 1 to 100,000.
    async fn next_ids(&self, count: u32) -> Result<Vec<u64>>;
}

/// The service in this process.
#[derive(Debug, Clone)]
pub struct Plain {
    ids: Arc<Snowflake>,
}

impl Default for Plain {
    fn default() -> Self {
        Self { ids: Snowflake::new(0).expect("0 is a worker id").into() }
    }
}

/// The longest answer to `numbers`.
const MOST_NUMBERS: u32 = 100_000;

impl Echo for Plain {
    async fn add(&self, a: i64, b: i64) -> Result<i64> {
        a.checked_add(b).ok_or_else(|| RpcError::out_of_range("the sum is beyond 64 bits"))
    }

    async fn echo(&self, text: String) -> Result<String> {
        Ok(text)
    }

    async fn numbers(&self, count: u32) -> Result<Vec<u64>> {
        if count > MOST_NUMBERS {
            return Err(RpcError::out_of_range(format!("at most {MOST_NUMBERS} numbers")));
        }
        Ok((0..u64::from(count)).collect())
    }

    async fn items(&self, count: u32) -> Result<Streaming<u64>> {
        Ok(Streaming::of(0..u64::from(count)))
    }

    async fn slow(&self, ms: u64) -> Result<u64> {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        Ok(ms)
    }

    async fn next_id(&self) -> Result<u64> {
        self.ids.next().await
    }

    async fn next_ids(&self, count: u32) -> Result<Vec<u64>> {
        self.ids.next_many(count).await
    }
}
