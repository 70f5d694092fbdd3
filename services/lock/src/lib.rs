//! The distributed lock: what a request is, and the backends.
//!
//! An owner is a name that the client chooses, never a connection: calls arrive through pools and brokers. Every grant
//! carries a fencing token, and the resource that the lock protects should refuse a token lower than one it has seen;
//! without that check no lock with a lease excludes a holder who slept through its end.

use std::time::Duration;

use everywire_core::{Result, RpcError};
use everywire_engines::check_name;

mod backend;
#[cfg(feature = "shared")]
mod engine;
#[cfg(feature = "queued")]
mod found;
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
mod table;
#[cfg(feature = "queued")]
mod wakes;
#[cfg(feature = "zookeeper")]
mod zookeeper;

pub use backend::Backend;
pub use everywire_engines::MAX_NAME_BYTES;
#[cfg(feature = "mariadb")]
pub use mariadb::MariaDbLocks;
pub use memory::MemoryLocks;
#[cfg(feature = "postgres")]
pub use postgres::PostgresLocks;
#[cfg(feature = "redis")]
pub use redis::RedisLocks;
#[cfg(feature = "redis")]
pub use redlock::RedlockLocks;
pub use reply::{LockGrant, LockState};
pub use table::millis;
#[cfg(feature = "zookeeper")]
pub use zookeeper::ZooKeeperLocks;

/// The longest lease, one day.
pub const MAX_TTL: Duration = Duration::from_hours(24);
/// The longest wait, one hour.
pub const MAX_WAIT: Duration = Duration::from_hours(1);

/// What every backend does; the trait `Toolkit` says what it means.
pub trait Locks: Send + Sync + 'static {
    /// Takes the lock of `request`, waiting up to `wait`. A wait that is dropped leaves its queue.
    fn lock(&self, request: Request, wait: Duration) -> impl Future<Output = Result<LockGrant>> + Send;

    /// Gives one hold back. True if `owner` had the lock.
    fn unlock(&self, name: &str, owner: &str) -> impl Future<Output = Result<bool>> + Send;

    /// Lets the owner keep the lock for the request's TTL from now on.
    fn renew(&self, request: Request) -> impl Future<Output = Result<LockGrant>> + Send;

    /// Looks at the lock `name`.
    fn state(&self, name: &str) -> impl Future<Output = Result<LockState>> + Send;
}

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

fn check_wait(wait: Duration) -> Result<()> {
    if wait <= MAX_WAIT {
        return Ok(());
    }
    let (given, most) = (wait.as_millis(), MAX_WAIT.as_millis());
    Err(RpcError::invalid_argument(format!("`wait_ms` is {given}; it may be 0 to {most}")))
}
