//! Snowflake ids: by default 1 bit 0, 41 bits of milliseconds since an epoch, 10 bits of worker, 12 bits of sequence.
//!
//! Source: Twitter's announcement of Snowflake (2010). The promise is *unique* among workers with different worker ids, and
//! *k-sorted*: ids of different workers sort by time to the millisecond. The ids of one worker grow strictly.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rpc_core::{Result, RpcError};

use super::{Clock, Layout, SystemClock};
use crate::durable::{DataDir, HighWater};

/// 2024-01-01T00:00:00Z in milliseconds of Unix time. 41 bits last until 2093.
pub const DEFAULT_EPOCH_MS: u64 = 1_704_067_200_000;
/// The most ids of one call. With the default layout they take about 25 ms.
pub const MAX_BATCH: u32 = 100_000;

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
    /// A generator on a clock of its own.
    pub fn on_clock(settings: Settings, clock: C) -> Result<Self> {
        let Settings { worker, layout, .. } = settings;
        if worker > layout.max_worker() {
            let most = layout.max_worker();
            return Err(RpcError::invalid_argument(format!("worker id {worker}; it may be 0 to {most}")));
        }
        let (next, seen_ms) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self { settings, clock, next, seen_ms, mark: HighWater::default() })
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
        let position = self.take(1).await?;
        Ok(self.id(position))
    }

    /// The next `count` ids, 1 to [`MAX_BATCH`]. Errors are those of [`next`](Self::next).
    pub async fn next_many(&self, count: u32) -> Result<Vec<u64>> {
        if !(1..=MAX_BATCH).contains(&count) {
            return Err(RpcError::invalid_argument(format!("`count` is {count}; it may be 1 to {MAX_BATCH}")));
        }
        let first = self.take(count.into()).await?;
        Ok((first..first + u64::from(count)).map(|position| self.id(position)).collect())
    }

    fn id(&self, position: u64) -> u64 {
        self.settings.layout.id(self.settings.worker, position)
    }

    /// Takes `count` positions and waits until the clock has reached the last; returns the first.
    async fn take(&self, count: u64) -> Result<u64> {
        let layout = self.settings.layout;
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
        self.mark.cover(self.id(last)).await?;
        Ok(first)
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

#[cfg(test)]
mod tests {
    use std::{
        collections::HashSet,
        path::Path,
        sync::{Arc, atomic::AtomicI64},
    };

    use rpc_core::Code;
    use tokio::time::{Instant, advance};

    use super::*;
    use crate::durable::life;

    const DAY_MS: u64 = 86_400_000;

    /// A clock on tokio's paused time that can be set: it shows the epoch and so many milliseconds when the test begins.
    struct TestClock {
        began: Instant,
        shows_ms: AtomicI64,
    }

    impl TestClock {
        fn set_ms(&self, by: i64) {
            self.shows_ms.fetch_add(by, Ordering::Relaxed);
        }
    }

    impl Clock for TestClock {
        fn now(&self) -> SystemTime {
            let shows = self.shows_ms.load(Ordering::Relaxed);
            let set = Duration::from_millis(shows.unsigned_abs());
            let began = if shows < 0 { UNIX_EPOCH - set } else { UNIX_EPOCH + set };
            began + self.began.elapsed()
        }

        fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send {
            tokio::time::sleep(time)
        }
    }

    fn ids(layout: &str, worker: u64, shows_ms: i64) -> Snowflake<TestClock> {
        let settings = Settings { worker, epoch: UNIX_EPOCH, layout: layout.parse().unwrap() };
        Snowflake::on_clock(settings, TestClock { began: Instant::now(), shows_ms: shows_ms.into() }).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn ids_carry_time_worker_and_sequence() {
        for (layout, worker, expected) in [
            ("41/10/12", 1_023, [DAY_MS << 22 | 1_023 << 12, DAY_MS << 22 | 1_023 << 12 | 1]),
            ("41/5/7", 3, [DAY_MS << 12 | 3 << 7, DAY_MS << 12 | 3 << 7 | 1]),
            ("62/0/1", 0, [DAY_MS << 1, DAY_MS << 1 | 1]),
            ("60/2/0", 3, [DAY_MS << 2 | 3, (DAY_MS + 1) << 2 | 3]),
        ] {
            let ids = ids(layout, worker, DAY_MS.cast_signed());
            assert_eq!([ids.next().await.unwrap(), ids.next().await.unwrap()], expected, "{layout}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_used_up_millisecond_parks_until_the_next() {
        let ids = ids("41/10/12", 0, 5);
        let start = Instant::now();
        let batch = ids.next_many(4_096).await.unwrap();
        assert_eq!((batch[0], batch[4_095], start.elapsed()), (5 << 22, 5 << 22 | 4_095, Duration::ZERO));
        assert_eq!(ids.next().await.unwrap(), 6 << 22);
        assert_eq!(start.elapsed().as_millis(), 1);
        let batch = ids.next_many(3 * 4_096).await.unwrap();
        assert_eq!((batch[0], batch[3 * 4_096 - 1]), (6 << 22 | 1, 9 << 22));
        assert_eq!(start.elapsed().as_millis(), 4, "no id comes from the future");
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_set_back_a_little_is_waited_for() {
        let ids = ids("41/10/12", 0, 10_000);
        let before = ids.next().await.unwrap();
        ids.clock.set_ms(-1_999);
        let start = Instant::now();
        let after = ids.next().await.unwrap();
        assert_eq!((after, start.elapsed().as_millis()), (before + 1, 1_999));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_set_back_far_is_an_error_until_it_has_caught_up() {
        let ids = ids("41/10/12", 0, DAY_MS.cast_signed());
        let before = ids.next().await.unwrap();
        ids.clock.set_ms(-3_600_000);
        let error = ids.next().await.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition);
        let expected = "the clock was set back by 3600000 ms; ids wait for it up to 2000 ms and never repeat";
        assert_eq!(error.message(), expected);
        advance(Duration::from_millis(3_600_000 - 2_000 + 1)).await;
        assert_eq!(ids.next().await.unwrap(), before + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_ids_at_once_are_an_error() {
        let ids = Arc::new(ids("41/10/12", 0, 0));
        let mut calls: Vec<_> = (0..82)
            .map(|_| {
                let ids = Arc::clone(&ids);
                tokio::spawn(async move { ids.next_many(MAX_BATCH).await })
            })
            .collect();
        let error = calls.pop().unwrap().await.unwrap().unwrap_err();
        assert_eq!(error.code(), Code::ResourceExhausted);
        let expected =
            "ids are asked for 1977 ms ahead of the clock, at most 2000: one worker has 4096 per millisecond";
        assert_eq!(error.message(), expected);
        for call in calls {
            assert!(call.await.unwrap().is_ok());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_outside_the_layout_is_an_error() {
        let before = ids("41/10/12", 0, -7);
        let error = before.next().await.unwrap_err();
        assert_eq!(error.message(), "the clock stands 7 ms before the epoch of the ids");
        assert_eq!(error.code(), Code::FailedPrecondition);
        let after = ids("20/1/1", 0, 1 << 20);
        let error = after.next().await.unwrap_err();
        let expected =
            "the clock stands 1048576 ms after the epoch of the ids, and the layout 20/1/1 ends at 1048576 ms";
        assert_eq!((error.code(), error.message()), (Code::OutOfRange, expected));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn ids_of_many_tasks_are_unique_and_never_early() {
        let ids = Arc::new(Snowflake::new(7).unwrap());
        let tasks: Vec<_> = (0..8_u32)
            .map(|task| {
                let ids = Arc::clone(&ids);
                tokio::spawn(async move {
                    let mut all = Vec::new();
                    for round in 0..50 {
                        let batch = ids.next_many(1 + (task * 131 + round * 17) % 900).await.unwrap();
                        let newest = batch.iter().max().unwrap() >> 22;
                        assert!(newest <= ids.now().unwrap().1, "an id from the future");
                        assert!(batch.is_sorted());
                        all.extend(batch);
                    }
                    all
                })
            })
            .collect();
        let (mut seen, mut count) = (HashSet::new(), 0);
        for task in tasks {
            let all = task.await.unwrap();
            assert!(all.is_sorted(), "the ids that one caller gets grow");
            count += all.len();
            seen.extend(all);
        }
        assert_eq!(seen.len(), count);
    }

    #[test]
    fn ids_of_a_data_directory_go_on_after_all_before() {
        let home = tempfile::tempdir().unwrap();
        let mut last = 0;
        for worker in [5, 0, 1_023] {
            last = life(next_of_a_life(home.path(), worker, last));
        }
    }

    async fn next_of_a_life(home: &Path, worker: u64, last: u64) -> u64 {
        let began = Instant::now();
        let dir = DataDir::open(home).unwrap();
        let ids = Snowflake::new(worker).unwrap().durable(&dir).unwrap();
        let next = ids.next().await.unwrap();
        assert!(next > last, "worker {worker}: {next} after {last}");
        assert!(next >> 22 <= ids.now().unwrap().1, "worker {worker}: an id from the future");
        let mark = dir.high_water("ids", 0).unwrap().last_before();
        assert!(mark >= next, "worker {worker}: the mark is written ahead");
        assert!(mark >> 22 <= (next >> 22) + MARK_AHEAD_MS, "worker {worker}");
        assert!(began.elapsed() < Duration::from_secs(5), "worker {worker}: {:?}", began.elapsed());
        next
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_set_back_across_a_restart_is_an_error() {
        let home = tempfile::tempdir().unwrap();
        let dir = DataDir::open(home.path()).unwrap();
        let before = ids("41/10/12", 0, 10_000_000).durable(&dir).unwrap();
        before.next().await.unwrap();
        let after = ids("41/10/12", 0, 9_000_000).durable(&dir).unwrap();
        let error = after.next().await.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition);
        let expected = "the clock was set back by 1000250 ms; ids wait for it up to 2000 ms and never repeat";
        assert_eq!(error.message(), expected);
    }

    #[tokio::test]
    async fn bad_arguments_say_what_is_allowed() {
        assert_eq!(Snowflake::new(1_024).unwrap_err().message(), "worker id 1024; it may be 0 to 1023");
        let ids = Snowflake::new(0).unwrap();
        for count in [0, MAX_BATCH + 1] {
            let error = ids.next_many(count).await.unwrap_err();
            assert_eq!(error.message(), format!("`count` is {count}; it may be 1 to 100000"));
        }
    }
}
