//! Snowflake ids: by default 1 bit 0, 41 bits of milliseconds since an epoch, 10 bits of worker, 12 bits of sequence.
//!
//! Source: Twitter's announcement of Snowflake (2010). The promise is *unique* among workers with different worker ids, and
//! *k-sorted*: ids of different workers sort by time to the millisecond. The ids of one worker grow strictly.

#[cfg(test)]
mod tests;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use everywire_core::{Result, RpcError};

use everywire_engines::durable::{DataDir, HighWater};

use super::{Clock, Layout, Promises, Scope, SystemClock, WorkerLease};
use crate::IdParts;

/// 2024-01-01T00:00:00Z in milliseconds of Unix time. 41 bits last until 2093.
pub const DEFAULT_EPOCH_MS: u64 = 1_704_067_200_000;
/// The most ids of one call. With the default layout they take about 25 ms.
pub const MAX_BATCH: u32 = 100_000;

pub(super) fn check_count(count: u32) -> Result<()> {
    if (1..=MAX_BATCH).contains(&count) {
        return Ok(());
    }
    Err(RpcError::invalid_argument(format!("`count` is {count}; it may be 1 to {MAX_BATCH}")))
}

/// How far ids may run ahead of the clock before a call is refused instead of waiting: the clock was set back, or too many
/// ids are asked for at the same time.
const MAX_AHEAD_MS: u64 = 2_000;
/// How far ahead of the ids handed out the mark on disk is raised, and the longest wait of the first id after a restart.
const MARK_AHEAD_MS: u64 = 250;

/// What makes a generator's ids differ from those of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// No other generator of the same epoch and layout may have this worker id at the same time. 0 to 1,023 by default.
    pub worker: u64,
    /// When the time in the ids is 0. It should never change once ids are in use.
    pub epoch: SystemTime,
    /// The widths of the fields. They should never change once ids are in use.
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
/// The position is one number, milliseconds and sequence joined. A call takes as many positions as it needs with one atomic
/// step, beginning at the clock or after the last position taken, whichever is later. If its last position lies in the
/// future, it sleeps until then. So the sequence never wraps, nobody spins, and a clock set back a little is waited for.
#[derive(Debug)]
pub struct Snowflake<C = SystemClock> {
    settings: Settings,
    /// In place of the worker id of the settings.
    lease: Option<WorkerLease>,
    clock: C,
    /// The next free position.
    next: AtomicU64,
    /// The latest time that the clock has shown, in milliseconds since the epoch: it tells a clock set back from ids
    /// asked for too fast.
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
    /// What its ids promise, among the servers of its [`scope`](Self::scope).
    pub const PROMISES: Promises = Promises { unique: true, k_sorted: true, monotonic: false };

    /// A generator on a clock of its own.
    pub fn on_clock(settings: Settings, clock: C) -> Result<Self> {
        let Settings { worker, layout, .. } = settings;
        if worker > layout.max_worker() {
            let most = layout.max_worker();
            return Err(RpcError::invalid_argument(format!("worker id {worker}; it may be 0 to {most}")));
        }
        let (next, seen_ms) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self { settings, lease: None, clock, next, seen_ms, mark: HighWater::default() })
    }

    /// The same generator with a leased worker id. Without a lease that is held, a call is `UNAVAILABLE`.
    #[must_use]
    pub fn leased(self, lease: WorkerLease) -> Self {
        Self { lease: Some(lease), ..self }
    }

    /// Among which servers its ids are unique.
    pub fn scope(&self) -> Scope<'_> {
        self.lease.as_ref().map_or(Scope::Worker(self.settings.worker), WorkerLease::scope)
    }

    /// The widths of its ids' fields.
    pub fn layout(&self) -> Layout {
        self.settings.layout
    }

    /// The same generator with its highest id kept in `dir`: its ids are greater than all that were handed out from there
    /// before. After a crash the first one waits up to a quarter of a second, until the clock has passed the mark.
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
    /// `FAILED_PRECONDITION` if the clock was set back by more than two seconds, `RESOURCE_EXHAUSTED` if ids for more than two
    /// seconds are asked for already, `UNAVAILABLE` if the mark can't be written to disk.
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

    /// What an id of this epoch and layout says.
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

    /// Takes `count` positions and waits until the clock has reached the last; returns the worker and the first.
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
        // Only now, when the id is due, so that the mark never stands further ahead of the clock than its own step.
        self.mark.cover(layout.id(worker, last)).await?;
        // The lease is held at this moment, which is not before the time in the ids, however long this process slept.
        if self.lease.is_some() && self.worker()? != worker {
            return Err(RpcError::unavailable("the worker id has changed meanwhile; try again"));
        }
        Ok((worker, first))
    }

    /// Time since the epoch, exactly and in whole milliseconds.
    fn now(&self) -> Result<(Duration, u64)> {
        let now = self.clock.now().duration_since(self.settings.epoch).map_err(|before| {
            let ms = before.duration().as_millis();
            RpcError::failed_precondition(format!("the clock stands {ms} ms before the epoch of the ids"))
        })?;
        let ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let (layout, end_ms) = (self.settings.layout, self.settings.layout.end_ms());
        if ms.saturating_add(MAX_AHEAD_MS) >= end_ms {
            return Err(RpcError::out_of_range(format!(
                "the clock stands {ms} ms after the epoch of the ids, and the layout {layout} ends at {end_ms} ms"
            )));
        }
        if ms > self.seen_ms.load(Ordering::Relaxed) {
            self.seen_ms.fetch_max(ms, Ordering::Relaxed);
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
