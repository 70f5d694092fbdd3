//! One connection, and the time that a step on it may take.

use std::time::Duration;

use super::health::Health;
use crate::failure::Failure;

/// The most time for one step of an engine, including a new connection.
pub const STEP_TIME: Duration = Duration::from_secs(3);

/// How to connect to an engine.
pub trait Connect: Send + Sync + 'static {
    /// What the steps of the engine need. A connection that was replaced lives until its last step ends.
    type Connection: Clone + Send + Sync + 'static;

    /// Connects, and checks that the engine supports what is needed, within [`STEP_TIME`]. `last` is the connection that was
    /// lost, and `health` that of the new one.
    fn connect(
        &self,
        last: Option<&Self::Connection>,
        health: &Health,
    ) -> impl Future<Output = Result<Self::Connection, Failure>> + Send;

    /// Returns false if the connection is known to have ended.
    fn is_usable(_: &Self::Connection) -> bool {
        true
    }
}

/// The failure of a step that took too long.
pub(super) fn no_answer() -> Failure {
    Failure::Lost(format!("no answer within {STEP_TIME:?}"))
}
