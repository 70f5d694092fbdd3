//! Distributed ids: the schemes that make them, and the guarantees of each.

mod clock;
#[cfg(feature = "sql")]
mod database;
mod guarantees;
#[cfg(feature = "sql")]
mod increment;
mod layout;
mod parts;
#[cfg(feature = "redis")]
mod redis;
mod scheme;
mod secret;
#[cfg(feature = "sql")]
mod segment;
mod snowflake;
mod stream;
mod uuids;
mod worker;

pub use clock::{Clock, SystemClock};
#[cfg(feature = "sql")]
pub use database::Database;
pub use guarantees::{Guarantees, Scope};
#[cfg(feature = "sql")]
pub use increment::Increment;
pub use layout::Layout;
pub use parts::IdParts;
#[cfg(feature = "redis")]
pub use redis::RedisIds;
pub use scheme::Ids;
pub use secret::Secret;
#[cfg(feature = "sql")]
pub use segment::Segments;
pub use snowflake::{DEFAULT_EPOCH_MS, MAX_BATCH, Settings, Snowflake};
pub use uuids::Uuids;
pub use worker::LOCKS as WORKER_LOCKS;
pub use worker::{LeaseTimes, WorkerLease};
