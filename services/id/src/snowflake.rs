//! Snowflake ids: by default a zero bit, 41 bits of milliseconds since an epoch, 10 bits of worker, 12 bits of sequence.
//!
//! Source: Twitter's announcement of Snowflake (2010). Ids are *unique* among workers with different worker ids, and *k-sorted*:
//! ids of different workers sort by time to the millisecond. The ids of one worker are strictly ascending.

#[cfg(test)]
mod tests;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use everywire_core::{Code, Result, RpcError};

use everywire_engines::durable::{DataDir, HighWater};

use super::{Clock, Guarantees, Layout, Scope, SystemClock, WorkerLease};
use crate::IdParts;

/// 2024-01-01T00:00:00Z in milliseconds of Unix time. 41 bits last until 2093.
pub const DEFAULT_EPOCH_MS: u64 = 1_704_067_200_000;
/// The most ids of one call. With the default layout it takes about 25 ms.
pub const MAX_BATCH: u32 = 100_000;

pub(super) fn check_count(count: u32) -> Result<()> {
    if (1..=MAX_BATCH).contains(&count) {
        return Ok(());
    }
    Err(RpcError::invalid_argument(format!("`count` is {count}; it may be 1 to {MAX_BATCH}")))
}

/// How far ids may run ahead of the clock, because it was set back or too many ids are requested at once. Beyond that a call is
/// rejected instead of waiting.
const MAX_AHEAD_MS: u64 = 2_000;
/// How far the mark on disk is raised ahead of the ids handed out, and the longest wait for the first id after a restart.
const MARK_AHEAD_MS: u64 = 250;

/// The settings that distinguish a generator's ids from those of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The worker id, which no other generator of the same epoch and layout may have at the same time. 0 to 1,023 with the default
    /// layout.
    pub worker: u64,
    /// The instant at which the time in an id is 0. Don't change it once ids are in use.
    pub epoch: SystemTime,
    /// The widths of the fields. Don't change them once ids are in use.
    pub layout: Layout,
}

impl Default for Settings {
    fn default() -> Self {
        let epoch = UNIX_EPOCH + Duration::from_millis(DEFAULT_EPOCH_MS);
        Self { worker: 0, epoch, layout: Layout::default() }
    }
}

/// A generator with one worker id.
///
/// A position is one number that combines milliseconds and sequence. A call takes as many positions as it needs in one atomic
/// operation, beginning at the clock or after the last position taken, whichever is later. If its last position is in the
/// future, it sleeps until then. So the sequence never wraps, no call spins, and calls wait for a clock that is set back a little.
#[derive(Debug)]
pub struct Snowflake<C = SystemClock> {
    settings: Settings,
    /// Replaces the worker id of the settings.
    lease: Option<WorkerLease>,
    clock: C,
    /// The next free position.
    next: AtomicU64,
    /// The latest time of the clock so far, in milliseconds since the epoch. It distinguishes a clock that was set back from ids
    /// that are requested too fast.
    seen_ms: AtomicU64,
    /// No id beyond it leaves the process.
    mark: HighWater,
}

impl Snowflake {
    /// A generator for `worker` (0 to 1,023) with the default epoch and layout, kept in memory.
    pub fn new(worker: u64) -> Result<Self> {
        Self::with(Settings { worker, ..Settings::default() })
    }

    /// A generator kept in memory: if the clock is set back across a restart, it can repeat ids.
    pub fn with(settings: Settings) -> Result<Self> {
        Self::on_clock(settings, SystemClock::default())
    }
}

impl<C: Clock> Snowflake<C> {
    /// Guarantees among the servers of its [`scope`](Self::scope).
    pub const GUARANTEES: Guarantees = Guarantees { unique: true, k_sorted: true, monotonic: false };

    /// A generator with the given clock. `OUT_OF_RANGE` if the time of its layout is over already.
    pub fn on_clock(settings: Settings, clock: C) -> Result<Self> {
        let Settings { worker, layout, .. } = settings;
        if worker > layout.max_worker() {
            let most = layout.max_worker();
            return Err(RpcError::invalid_argument(format!("worker id {worker}; it may be 0 to {most}")));
        }
        let (next, seen_ms) = (AtomicU64::new(0), AtomicU64::new(0));
        let ids = Self { settings, lease: None, clock, next, seen_ms, mark: HighWater::default() };
        // A clock before the epoch is set right in time; one after the end stays there.
        match ids.since_epoch() {
            Err(over) if over.code() == Code::OutOfRange => Err(over),
            _ => Ok(ids),
        }
    }

    /// Uses a leased worker id. While the lease is not held, calls are `UNAVAILABLE`.
    #[must_use]
    pub fn leased(self, lease: WorkerLease) -> Self {
        Self { lease: Some(lease), ..self }
    }

    /// The servers among which its ids are unique.
    pub fn scope(&self) -> Scope<'_> {
        self.lease.as_ref().map_or(Scope::Worker(self.settings.worker), WorkerLease::scope)
    }

    /// The widths of its ids' fields.
    pub fn layout(&self) -> Layout {
        self.settings.layout
    }

    /// Stores a mark of its highest id in `dir`: its ids are greater than all that were handed out with `dir` before. After a crash
    /// the first id waits up to a quarter of a second, until the clock has passed the mark.
    pub fn durable(self, dir: &DataDir) -> Result<Self> {
        let layout = self.settings.layout;
        let mark = dir.high_water("ids", MARK_AHEAD_MS.saturating_mul(layout.ids_of_all_per_ms()))?;
        if mark.last_before() > 0 {
            let ms = layout.ms_of_id(mark.last_before());
            self.next.store(layout.position(ms + 1), Ordering::Relaxed);
            self.seen_ms.store(ms, Ordering::Relaxed);
        }
        Ok(Self { mark, ..self })
    }

    /// The next id.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` if the clock was set back by more than two seconds, `RESOURCE_EXHAUSTED` if the ids of the next two
    /// seconds are taken already, `UNAVAILABLE` if the mark can't be written to disk.
    pub async fn next(&self) -> Result<u64> {
        let (worker, position) = self.take(1).await?;
        Ok(self.settings.layout.id(worker, position))
    }

    /// The next `count` ids, 1 to [`MAX_BATCH`]. Errors are those of [`next`](Self::next).
    pub async fn next_many(&self, count: u32) -> Result<Vec<u64>> {
        check_count(count)?;
        let (worker, first) = self.take(count.into()).await?;
        let layout = self.settings.layout;
        Ok((first..first + u64::from(count)).map(|position| layout.id(worker, position)).collect())
    }

    /// Decodes an id of this epoch and layout.
    pub fn decode(&self, id: u64) -> IdParts {
        let Settings { epoch, layout, .. } = self.settings;
        IdParts {
            time_ms: Some(unix_ms(epoch).saturating_add(layout.ms_of_id(id))),
            worker: Some(layout.worker_of_id(id)),
            sequence: layout.sequence_of_id(id),
        }
    }

    fn worker(&self) -> Result<u64> {
        self.lease.as_ref().map_or(Ok(self.settings.worker), WorkerLease::worker)
    }

    /// Takes `count` positions and sleeps until the clock has reached the last. Returns the worker id and the first position.
    async fn take(&self, count: u64) -> Result<(u64, u64)> {
        let layout = self.settings.layout;
        let worker = self.worker()?;
        let (now, now_ms) = self.now()?;
        let clock = layout.position(now_ms);
        let beyond = layout.position(now_ms + MAX_AHEAD_MS);
        let first = self
            .next
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
                let end = next.max(clock) + count;
                (end <= beyond).then_some(end)
            })
            .map_err(|next| self.too_far_ahead(layout.ms(next), now_ms))?
            .max(clock);
        let last = first + count - 1;
        let wait = Duration::from_millis(layout.ms(last)).saturating_sub(now);
        if !wait.is_zero() {
            self.clock.sleep(wait).await;
        }
        // Only now, when the id is due, so that the mark is never further ahead of the clock than one block.
        self.mark.cover(layout.id(worker, last)).await?;
        // The lease must be held now, which is not before the time in the ids, no matter how long this process was suspended.
        if self.lease.is_some() && self.worker()? != worker {
            return Err(RpcError::unavailable("the worker id has changed meanwhile; try again"));
        }
        Ok((worker, first))
    }

    /// The time since the epoch, exact and in whole milliseconds. It is recorded as the latest of the clock.
    fn now(&self) -> Result<(Duration, u64)> {
        let (now, ms) = self.since_epoch()?;
        if ms > self.seen_ms.load(Ordering::Relaxed) {
            self.seen_ms.fetch_max(ms, Ordering::Relaxed);
        }
        Ok((now, ms))
    }

    fn since_epoch(&self) -> Result<(Duration, u64)> {
        let now = self.clock.now().duration_since(self.settings.epoch).map_err(|before| {
            let ms = before.duration().as_millis();
            RpcError::failed_precondition(format!("the clock is {ms} ms before the epoch of the ids"))
        })?;
        let ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let (layout, end_ms) = (self.settings.layout, self.settings.layout.end_ms());
        if ms.saturating_add(MAX_AHEAD_MS) >= end_ms {
            return Err(RpcError::out_of_range(format!(
                "the clock is {ms} ms after the epoch of the ids, and the layout {layout} ends at {end_ms} ms"
            )));
        }
        Ok((now, ms))
    }

    fn too_far_ahead(&self, next_ms: u64, now_ms: u64) -> RpcError {
        let set_back = self.seen_ms.load(Ordering::Relaxed).saturating_sub(now_ms);
        let ahead = next_ms.saturating_sub(now_ms);
        if set_back > ahead.saturating_sub(set_back) {
            return RpcError::failed_precondition(format!(
                "the clock was set back by {set_back} ms; ids wait for it up to {MAX_AHEAD_MS} ms and never repeat"
            ));
        }
        let per_ms = self.settings.layout.ids_per_ms();
        RpcError::resource_exhausted(format!(
            "ids are asked for {ahead} ms ahead of the clock, at most {MAX_AHEAD_MS}: one worker has {per_ms} per millisecond"
        ))
    }
}

/// A time before 1970 counts as 1970.
pub(super) fn unix_ms(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
