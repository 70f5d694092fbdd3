//! The distributed lock: its requests and its backends.
//!
//! An owner is a name that the client chooses, never a connection, because calls arrive through pools and brokers. Every
//! grant carries a fencing token. The resource that the lock protects should reject a token lower than the highest it has
//! seen: without that check, a holder that was suspended while its lease ended can still write.

use std::time::Duration;

use everywire_core::{Result, RpcError};
use everywire_engines::check_name;

mod backend;
mod changes;
#[cfg(feature = "shared")]
mod engine;
mod hold;
#[cfg(feature = "mariadb")]
mod mariadb;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
mod queue;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "redis")]
mod redlock;
mod reply;
#[cfg(feature = "queued")]
mod step_reply;
mod table;
#[cfg(feature = "queued")]
mod waiters;
mod watch;
#[cfg(feature = "zookeeper")]
mod zookeeper;

pub use backend::Backend;
pub use everywire_engines::MAX_NAME_BYTES;
pub use hold::{Holds, MIN_HOLD_TTL};
#[cfg(feature = "mariadb")]
pub use mariadb::MariaDbLocks;
pub use memory::MemoryLocks;
#[cfg(feature = "postgres")]
pub use postgres::PostgresLocks;
#[cfg(feature = "redis")]
pub use redis::RedisLocks;
#[cfg(feature = "redis")]
pub use redlock::RedlockLocks;
pub use reply::{LockChange, LockEvent, LockGrant, LockState};
pub use table::millis;
#[cfg(feature = "zookeeper")]
pub use zookeeper::ZooKeeperLocks;

/// The longest lease, one day.
pub const MAX_TTL: Duration = Duration::from_hours(24);
/// The longest wait, one hour.
pub const MAX_WAIT: Duration = Duration::from_hours(1);

/// The operations of every backend. The trait `Toolkit` documents what they mean to a client.
pub trait Locks: Send + Sync + 'static {
    /// Takes the lock of `request`, waiting up to `wait`. Dropping the future leaves the queue.
    fn lock(&self, request: Request, wait: Duration) -> impl Future<Output = Result<LockGrant>> + Send;

    /// Releases one hold. Returns whether `owner` had the lock.
    fn unlock(&self, name: &str, owner: &str) -> impl Future<Output = Result<bool>> + Send;

    /// Extends the owner's lease to the request's TTL from now.
    fn renew(&self, request: Request) -> impl Future<Output = Result<LockGrant>> + Send;

    /// Returns the state of the lock `name`.
    fn state(&self, name: &str) -> impl Future<Output = Result<LockState>> + Send;
}

/// A validated request: the lock's name, its owner and the lease's TTL.
#[derive(Debug, Clone)]
pub struct Request {
    pub(crate) name: String,
    pub(crate) owner: String,
    pub(crate) ttl: Duration,
}

impl Request {
    /// Validates the arguments. An absent owner is replaced by a random name. An invalid argument is `INVALID_ARGUMENT`.
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

fn check_wait(wait: Duration) -> Result<()> {
    if wait <= MAX_WAIT {
        return Ok(());
    }
    let (given, most) = (wait.as_millis(), MAX_WAIT.as_millis());
    Err(RpcError::invalid_argument(format!("`wait_ms` is {given}; it may be 0 to {most}")))
}
