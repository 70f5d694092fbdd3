//! The reply of the limiter.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The answer to `acquire`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Permit {
    /// Go, or sorry.
    pub go: bool,
    /// The most permits at once.
    pub limit: u32,
    /// Permits left.
    pub remaining: u32,
    /// Milliseconds until it is worth asking again. 0 if go.
    pub retry_after_ms: u64,
}
