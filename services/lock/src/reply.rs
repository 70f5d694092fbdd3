//! What the methods of the lock answer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The answer to `lock` and `renew`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LockGrant {
    /// Whether the caller has the lock now.
    pub granted: bool,
    /// Who asked: the name to unlock and renew with.
    pub owner: String,
    /// The fencing token: greater than every token granted for this lock before; the same on re-entry. 0 if not granted.
    pub token: u64,
    /// Milliseconds until the lock expires: of the caller's hold, or if not granted of the present holder's.
    pub ttl_ms: u64,
    /// How often the owner holds it. 0 if not granted.
    pub holds: u32,
    /// Whether `token` keeps its promise with this backend. Always true here; false for a quorum of independent servers.
    pub fenced: bool,
}

/// The answer to `lock_state`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LockState {
    /// Whether somebody has it.
    pub held: bool,
    /// Who has it.
    pub owner: Option<String>,
    /// The holder's fencing token. 0 if nobody holds it.
    pub token: u64,
    /// Milliseconds since the holder took it. 0 if nobody holds it.
    pub held_ms: u64,
    /// Milliseconds until it expires. 0 if nobody holds it.
    pub ttl_ms: u64,
    /// How many wait for it.
    pub waiting: u32,
}

/// An item of `watch_lock`: the state of the lock, and what led to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LockChange {
    /// What happened.
    pub event: LockEvent,
    /// Whether somebody has the lock now.
    pub held: bool,
    /// Who has it, or who had it until it was `released` or `expired`. Absent if it was `found` free.
    pub owner: Option<String>,
    /// The fencing token of that owner. 0 if there is none, and always with a quorum of independent servers.
    pub token: u64,
}

/// What happened to a watched lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LockEvent {
    /// Nothing yet: this is the lock as the watch began.
    Found,
    /// The owner took it. Another may have had it until that moment.
    Taken,
    /// The owner gave back its last hold, or the lock was removed in the engine.
    Released,
    /// The owner's lease has ended.
    Expired,
}
