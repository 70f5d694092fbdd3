//! Rate limiters: how many permits of a resource are granted per period, and where they are counted.
//!
//! | limiter | counted by | at most, of one resource |
//! |---|---|---|
//! | [`SlotLimiter`] | this process, in slots | N in a slot, so up to 2 N around the end of one |
//! | [`GcraLimiter`] | this process, evenly | N at once, and one more each slot / N |
//! | `MeshLimiter` | each process, including what its peers report | N in a slot, plus what the others grant until it hears of it |
//! | `RedisLimiter` | a Redis, for all its servers | N in any period as long as a slot |

mod gcra;
#[cfg(feature = "mesh")]
mod mesh;
mod permit;
#[cfg(feature = "redis")]
mod redis;
mod slot;

use everywire_core::{Result, RpcError};
use everywire_engines::check_name;
pub use gcra::GcraLimiter;
#[cfg(feature = "mesh")]
pub use mesh::MeshLimiter;
pub use permit::Permit;
#[cfg(feature = "redis")]
pub use redis::{MOST_PERMITS, RedisLimiter};
pub use slot::SlotLimiter;

/// One of the limiters.
#[derive(Debug)]
pub enum Limiter {
    /// Slots of this process.
    Slot(SlotLimiter),
    /// The generic cell rate algorithm in this process.
    Gcra(GcraLimiter),
    /// Slots of this process that include the permits of peers.
    #[cfg(feature = "mesh")]
    Mesh(MeshLimiter),
    /// A sliding log in a Redis that several servers share.
    #[cfg(feature = "redis")]
    Redis(RedisLimiter),
}

impl Limiter {
    /// Takes `permits` of `resource`, all or none. A number that can never be granted is `INVALID_ARGUMENT`.
    #[cfg_attr(not(feature = "redis"), expect(clippy::unused_async, reason = "no limiter that waits is built in"))]
    pub async fn acquire(&self, resource: &str, permits: u32) -> Result<Permit> {
        match self {
            Self::Slot(limiter) => limiter.acquire(resource, permits),
            Self::Gcra(limiter) => limiter.acquire(resource, permits),
            #[cfg(feature = "mesh")]
            Self::Mesh(limiter) => limiter.acquire(resource, permits),
            #[cfg(feature = "redis")]
            Self::Redis(limiter) => Box::pin(limiter.acquire(resource, permits)).await,
        }
    }
}

impl Default for Limiter {
    /// Slots with 5 permits per 0.8 s.
    fn default() -> Self {
        SlotLimiter::default().into()
    }
}

impl From<SlotLimiter> for Limiter {
    fn from(limiter: SlotLimiter) -> Self {
        Self::Slot(limiter)
    }
}

impl From<GcraLimiter> for Limiter {
    fn from(limiter: GcraLimiter) -> Self {
        Self::Gcra(limiter)
    }
}

#[cfg(feature = "mesh")]
impl From<MeshLimiter> for Limiter {
    fn from(limiter: MeshLimiter) -> Self {
        Self::Mesh(limiter)
    }
}

#[cfg(feature = "redis")]
impl From<RedisLimiter> for Limiter {
    fn from(limiter: RedisLimiter) -> Self {
        Self::Redis(limiter)
    }
}

fn check(resource: &str, permits: u32, limit: u32) -> Result<()> {
    check_name("resource", resource)?;
    if (1..=limit).contains(&permits) {
        return Ok(());
    }
    Err(RpcError::invalid_argument(format!("`permits` is {permits}; it may be 1 to {limit}")))
}
