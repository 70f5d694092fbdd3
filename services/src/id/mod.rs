//! Distributed ids.

mod snowflake;

pub use snowflake::{DEFAULT_EPOCH_MS, MAX_BATCH, MAX_WORKER, Snowflake};
