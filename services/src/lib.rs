//! The showcase service: `add`, a lock, ids and a rate limiter behind one trait, [`Toolkit`].
//!
//! It knows no wire. [`Embedded`] keeps everything in this process and needs no server; [`durable`] is what it can keep on disk.

pub mod durable;
mod embedded;
mod expiring;
pub mod id;
pub mod limiter;
pub mod lock;
mod toolkit;

pub use embedded::Embedded;
pub use toolkit::{IdParts, LockGrant, LockState, Permit, Toolkit, ToolkitClient, ToolkitService};
