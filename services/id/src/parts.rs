//! The parts of an id.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The answer to `decode_id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IdParts {
    /// When it was made, in milliseconds of Unix time. Absent if such ids have no time.
    pub time_ms: Option<u64>,
    /// The worker id of the server that made it. Absent if such ids have none.
    pub worker: Option<u64>,
    /// Its number among those of the same time and worker, from 0; without a time its number among all, from 1.
    pub sequence: u64,
}
