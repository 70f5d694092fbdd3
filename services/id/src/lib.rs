//! Distributed ids: the schemes that make them, and what each promises.

mod clock;
#[cfg(feature = "sql")]
mod database;
mod ids;
#[cfg(feature = "sql")]
mod increment;
mod layout;
mod parts;
mod promises;
#[cfg(feature = "redis")]
mod redis;
mod secret;
#[cfg(feature = "sql")]
mod segment;
mod snowflake;
mod uuids;
mod worker;

pub use clock::{Clock, SystemClock};
#[cfg(feature = "sql")]
pub use database::Database;
pub use ids::Ids;
#[cfg(feature = "sql")]
pub use increment::Increment;
pub use layout::Layout;
pub use parts::IdParts;
pub use promises::{Promises, Scope};
#[cfg(feature = "redis")]
pub use redis::RedisIds;
pub use secret::Secret;
#[cfg(feature = "sql")]
pub use segment::Segments;
pub use snowflake::{DEFAULT_EPOCH_MS, MAX_BATCH, Settings, Snowflake};
pub use uuids::Uuids;
pub use worker::LOCKS as WORKER_LOCKS;
pub use worker::{LeaseTimes, WorkerLease};
