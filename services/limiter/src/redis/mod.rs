//! A limit shared by several servers: one script in Redis decides, and records when each permit was taken.
//!
//! It is a sliding log. Slots let 2 N pass within the length of a slot, and the generic cell rate algorithm as many within a
//! period, N at once and N one by one. Only a log of every permit of the last period can grant N in each period and no more,
//! wherever the period begins. It costs about ten bytes of Redis per permit, so N is at most [`MOST_PERMITS`].

use std::time::Duration;

use everywire_core::{Result, RpcError};
use everywire_engines::redis::Scripted;

use crate::{Permit, check};

/// The largest limit. Its log takes about a megabyte.
pub const MOST_PERMITS: u32 = 100_000;

/// The same limit for every resource, shared by all servers with the same Redis and the same rate. In any period of Redis's
/// clock, wherever it begins, at most `limit` permits of a resource are granted.
///
/// Without Redis there are no permits: [`acquire`](Self::acquire) is `UNAVAILABLE` within three seconds. A permit whose reply was
/// lost is taken.
#[derive(Debug)]
pub struct RedisLimiter {
    engine: Scripted,
    limit: u32,
    period: Duration,
}

impl RedisLimiter {
    /// Connects to `redis://USER:PASSWORD@HOST:PORT/DB`; `limit` is at most [`MOST_PERMITS`]. A Redis that does not answer
    /// is `UNAVAILABLE`; one that lacks what is needed, `FAILED_PRECONDITION`.
    pub async fn connect(url: &str, limit: u32, period: Duration) -> Result<Self> {
        if !(1..=MOST_PERMITS).contains(&limit) {
            let most = format!("{limit} permits; a Redis remembers each, 1 to {MOST_PERMITS}");
            return Err(RpcError::invalid_argument(most));
        }
        Ok(Self {
            engine: Scripted::connect(url, "the Redis that counts for the limiter", include_str!("take.lua")).await?,
            limit,
            period,
        })
    }

    /// The engine's address, without a password.
    pub fn engine(&self) -> &str {
        &self.engine.names().address
    }

    /// Takes `permits` of `resource`, all or none.
    pub async fn acquire(&self, resource: &str, permits: u32) -> Result<Permit> {
        check(resource, permits, self.limit)?;
        let (limit, period) = (self.limit, self.period.as_micros());
        let mut call = self.engine.call();
        // Servers with another rate would delete entries that this one needs, so they have a separate log.
        call.key(format!("everywire:limit:{limit}/{period}:{resource}"));
        call.arg(permits).arg(limit).arg(u64::try_from(period).unwrap_or(u64::MAX));
        let (go, remaining, wait): (bool, u32, u64) = self.engine.run(&call).await?;
        Ok(Permit { go, limit, remaining, retry_after_ms: wait.div_ceil(1_000) })
    }
}
