//! The distributed lock: what a request is, and the backends.
//!
//! An owner is a name that the client chooses, never a connection: calls arrive through pools and brokers. Every grant
//! carries a fencing token, and the resource that the lock protects should refuse a token lower than one it has seen;
//! without that check no lock with a lease excludes a holder who slept through its end.

use std::time::Duration;

use rpc_core::{Result, RpcError};

mod memory;
mod queue;
mod table;

pub use memory::MemoryLocks;

/// The longest lease, one day.
pub const MAX_TTL: Duration = Duration::from_hours(24);
/// The longest wait, one hour.
pub const MAX_WAIT: Duration = Duration::from_hours(1);
/// The longest name of a lock or an owner, in bytes.
pub const MAX_NAME_BYTES: usize = 512;

/// Who wants which lock for how long, checked.
#[derive(Debug, Clone)]
pub struct Request {
    pub(crate) name: String,
    pub(crate) owner: String,
    pub(crate) ttl: Duration,
}

impl Request {
    /// Checks the request; an absent owner becomes a random one. What is wrong is `INVALID_ARGUMENT`.
    pub fn new(name: String, ttl_ms: u64, owner: Option<String>) -> Result<Self> {
        check_name("name", &name)?;
        let owner = owner.unwrap_or_else(|| uuid::Uuid::new_v4().simple().to_string());
        check_name("owner", &owner)?;
        let ttl = Duration::from_millis(ttl_ms);
        if ttl.is_zero() || ttl > MAX_TTL {
            return Err(RpcError::invalid_argument(format!(
                "`ttl_ms` is {ttl_ms}; it may be 1 to {}",
                MAX_TTL.as_millis()
            )));
        }
        Ok(Self { name, owner, ttl })
    }
}

pub(crate) fn check_name(argument: &str, name: &str) -> Result<()> {
    match name.len() {
        0 => Err(RpcError::invalid_argument(format!("`{argument}` is empty"))),
        1..=MAX_NAME_BYTES => Ok(()),
        long => Err(RpcError::invalid_argument(format!("`{argument}` has {long} bytes; at most {MAX_NAME_BYTES}"))),
    }
}
