//! Distributed ids.

mod clock;
mod layout;
mod snowflake;

pub use clock::{Clock, SystemClock};
pub use layout::Layout;
pub use snowflake::{DEFAULT_EPOCH_MS, MAX_BATCH, Settings, Snowflake};
