//! The showcase service: `add`, a lock, ids and a rate limiter behind one trait, [`Toolkit`].
//!
//! It is independent of all wires. [`Embedded`] keeps everything in this process and needs no other server, unless its locks, ids
//! or limits are in an engine.

mod embedded;
mod guard;
mod toolkit;

pub use embedded::Embedded;
pub use everywire_id::IdParts;
pub use everywire_limiter::Permit;
pub use everywire_lock::{LockChange, LockEvent, LockGrant, LockState};
pub use guard::LockGuard;
pub use toolkit::{Toolkit, ToolkitClient, ToolkitService};
