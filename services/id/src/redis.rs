//! Ids from Redis: its clock and a counter in each millisecond, combined by one script.
//!
//! A single Redis makes all ids, so they are in one order, and a clock that is set back does no harm as long as the Redis keeps
//! its data. If it loses the data, ids continue at its clock.

use everywire_core::{Code, Result, RpcError};

use everywire_engines::redis::Scripted;

use super::{Guarantees, Layout, Settings, snowflake::unix_ms};
use crate::IdParts;

const KEY: &str = "everywire:ids";
/// The limit of ids per millisecond, because the script counts in floating-point numbers.
const MAX_PER_MS: u64 = 1 << 32;

/// Ids from a Redis.
#[derive(Debug)]
pub struct RedisIds {
    engine: Scripted,
    epoch_ms: u64,
    layout: Layout,
}

impl RedisIds {
    /// Guarantees among the servers on one Redis with one epoch and layout, as long as the Redis keeps its data.
    pub const GUARANTEES: Guarantees = Guarantees { unique: true, k_sorted: true, monotonic: true };

    /// Connects to `redis://USER:PASSWORD@HOST:PORT/DB`. The ids have the epoch and the layout of the settings; the bits of
    /// the worker id extend the sequence. `OUT_OF_RANGE` if the time of the layout is over already.
    pub async fn connect(url: &str, settings: &Settings) -> Result<Self> {
        let engine = Scripted::connect(url, "the Redis that makes the ids", include_str!("redis.lua")).await?;
        let (epoch_ms, layout) = (unix_ms(settings.epoch), settings.layout.without_worker());
        let ids = Self { engine, epoch_ms, layout };
        match ids.next_many(1).await {
            Err(over) if over.code() == Code::OutOfRange => Err(over),
            _ => Ok(ids),
        }
    }

    /// The engine's address, without a password.
    pub fn name(&self) -> &str {
        &self.engine.names().address
    }

    /// Bits of an id.
    pub fn bits(&self) -> u32 {
        self.layout.bits()
    }

    /// The next `count` ids, ascending. `UNAVAILABLE` if the Redis is; `FAILED_PRECONDITION` if its clock is before the epoch;
    /// `OUT_OF_RANGE` if it is past the end of the layout.
    pub async fn next_many(&self, count: u32) -> Result<Vec<u64>> {
        let most = self.layout.ids_per_ms().min(MAX_PER_MS);
        let mut call = self.engine.call();
        call.key(KEY).arg(count).arg(self.epoch_ms).arg(most);
        let (ms, first): (i64, u64) = self.engine.run(&call).await?;
        let ms = u64::try_from(ms).map_err(|_| {
            RpcError::failed_precondition(format!(
                "the clock of {} is before the epoch of the ids",
                self.engine.names().role
            ))
        })?;
        let numbers = first..first + u64::from(count);
        if ms + numbers.end / most >= self.layout.end_ms() {
            let (role, layout) = (&self.engine.names().role, self.layout);
            return Err(RpcError::out_of_range(format!("the clock of {role} is past the end of the layout {layout}")));
        }
        Ok(numbers.map(|number| self.layout.position(ms + number / most) + number % most).collect())
    }

    /// Decodes an id.
    pub fn decode(&self, id: u64) -> IdParts {
        let time_ms = Some(self.epoch_ms.saturating_add(self.layout.ms_of_id(id)));
        IdParts { time_ms, worker: None, sequence: self.layout.sequence_of_id(id) }
    }
}
