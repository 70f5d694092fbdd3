//! Segments, as in Meituan's Leaf: a server takes a range of numbers from a row of a database, and hands them out without
//! further steps.
//!
//! The next segment is taken when a tenth of the current one is used (a double buffer), so ids continue while the database is
//! unavailable, until the numbers run out. A segment is twice as long as the last one if that lasted less than 15 minutes, and
//! half as long if it lasted more than 30. Ids are unique among the servers on one database. Those of one server ascend; those of
//! several don't sort, and a server that ends wastes the rest of its segments.

mod buffer;
pub(crate) mod ranges;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use everywire_core::{Result, RpcError};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use self::{buffer::Buffer, ranges::Ranges};
use crate::{Database, Guarantees, IdParts};

/// The longest wait of a call for a segment. After it the call is `UNAVAILABLE`.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// The pause after a failed step.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Ids from segments.
#[derive(Debug)]
pub struct Segments<R = Database>(Arc<Inner<R>>);

#[derive(Debug)]
struct Inner<R> {
    ranges: R,
    buffer: Mutex<Buffer>,
    /// The outcome of the last step. Every waiting call checks the buffer again after it.
    taken: watch::Sender<Result<()>>,
}

impl<R: Ranges> Segments<R> {
    /// Guarantees among the servers on one database, as long as the database keeps its data.
    pub const GUARANTEES: Guarantees = Guarantees { unique: true, k_sorted: false, monotonic: false };

    /// Ids from `ranges`. The first call takes the first segment.
    pub fn new(ranges: R) -> Self {
        Self(Inner { ranges, buffer: Mutex::default(), taken: watch::Sender::new(Ok(())) }.into())
    }

    /// The source of the numbers.
    pub fn ranges(&self) -> &R {
        &self.0.ranges
    }

    /// The next `count` ids, ascending. `UNAVAILABLE` if the segment has run out and the database is unavailable.
    pub async fn next_many(&self, count: u32) -> Result<Vec<u64>> {
        let ids = timeout(MAX_WAIT, self.taken(count.into())).await;
        ids.unwrap_or_else(|_| Err(RpcError::unavailable(format!("no segment of ids came within {MAX_WAIT:?}"))))
    }

    /// Decodes an id: its number.
    pub fn decode(&self, id: u64) -> IdParts {
        IdParts { time_ms: None, worker: None, sequence: id }
    }

    async fn taken(&self, count: u64) -> Result<Vec<u64>> {
        // Subscribe before the check, so that no step can end unnoticed between the two.
        let mut taken = self.0.taken.subscribe();
        loop {
            if let Some(ids) = self.take(count) {
                return Ok(ids);
            }
            // It can't fail: the sender is in `self`.
            let _ = taken.changed().await;
            taken.borrow_and_update().clone().map_err(|error| {
                let engine = error.message();
                RpcError::new(error.code(), format!("the segment of ids has run out, and there is no other: {engine}"))
            })?;
        }
    }

    fn take(&self, count: u64) -> Option<Vec<u64>> {
        let (ids, wanted) = {
            let mut buffer = self.0.buffer();
            let ids = buffer.take(count);
            let missing = if ids.is_some() { 0 } else { count };
            (ids, buffer.wanted(missing, Instant::now()))
        };
        if let Some(wanted) = wanted {
            tokio::spawn(Arc::clone(&self.0).refill(wanted));
        }
        ids
    }
}

impl<R: Ranges> Inner<R> {
    async fn refill(self: Arc<Self>, count: u64) {
        let outcome = self.ranges.take(count).await;
        if outcome.is_err() {
            sleep(PAUSE_AFTER_FAILURE).await;
        }
        self.buffer().refilled(outcome.as_ref().ok().copied(), count);
        drop(self.taken.send_replace(outcome.map(drop)));
    }

    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use super::{
        buffer::{LONG, MAX_LENGTH, MIN_LENGTH, SHORT},
        *,
    };

    /// A row that several servers take numbers from, and that can be unavailable.
    #[derive(Debug, Clone, Default)]
    struct Row {
        last: Arc<AtomicU64>,
        away: Arc<AtomicBool>,
        asked: Arc<Mutex<Vec<u64>>>,
    }

    impl Ranges for Row {
        async fn take(&self, count: u64) -> Result<u64> {
            if self.away.load(Ordering::Relaxed) {
                return Err(RpcError::unavailable("row: away"));
            }
            self.asked.lock().unwrap().push(count);
            Ok(self.last.fetch_add(count, Ordering::Relaxed) + count)
        }
    }

    impl Row {
        fn asked(&self) -> Vec<u64> {
            std::mem::take(&mut self.asked.lock().unwrap())
        }
    }

    async fn ids(segments: &Segments<Row>, count: u32) -> std::ops::RangeInclusive<u64> {
        let ids = segments.next_many(count).await.unwrap();
        assert!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1), "consecutive: {ids:?}");
        assert_eq!(ids.len(), count as usize);
        tokio::task::yield_now().await;
        ids[0]..=ids[ids.len() - 1]
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_segment_is_asked_for_when_a_tenth_is_used() {
        let row = Row::default();
        let segments = Segments::new(row.clone());
        assert_eq!(ids(&segments, 100).await, 1..=100);
        assert_eq!(row.asked(), [1_000]);
        sleep(SHORT + Duration::from_secs(1)).await;
        assert_eq!(ids(&segments, 1).await, 101..=101);
        assert_eq!(row.asked(), [1_000], "the first one lasted long enough");
        assert_eq!(ids(&segments, 1_500).await, 102..=1_601);
        assert_eq!(row.asked(), [2_000], "the second one did not");
    }

    #[tokio::test(start_paused = true)]
    async fn the_length_of_a_segment_follows_the_load() {
        let row = Row::default();
        let segments = Segments::new(row.clone());
        for _ in 0..2_000 {
            ids(&segments, 1_000).await;
        }
        let asked = row.asked();
        assert!(
            asked.is_sorted() && asked[1] == 2_000 && *asked.last().unwrap() == MAX_LENGTH && asked.len() < 20,
            "{asked:?}"
        );
        let mut shorter = Vec::new();
        while shorter.last() != Some(&MIN_LENGTH) {
            sleep(LONG + Duration::from_secs(1)).await;
            let rest = segments.0.buffer().left();
            ids(&segments, u32::try_from(rest).unwrap()).await;
            shorter.extend(row.asked());
        }
        assert!(shorter.is_sorted_by(|one, next| one >= next), "{shorter:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_may_be_longer_than_a_segment() {
        let row = Row::default();
        let segments = Segments::new(row.clone());
        assert_eq!(ids(&segments, 100_000).await, 1..=100_000);
    }

    #[tokio::test(start_paused = true)]
    async fn an_unavailable_database_is_an_error_once_the_segment_has_run_out() {
        let row = Row::default();
        let segments = Segments::new(row.clone());
        ids(&segments, 10).await;
        row.away.store(true, Ordering::Relaxed);
        ids(&segments, 990).await;
        for _ in 0..20 {
            let error = segments.next_many(1).await.unwrap_err();
            assert_eq!(error.code(), everywire_core::Code::Unavailable);
            assert_eq!(error.message(), "the segment of ids has run out, and there is no other: row: away");
        }
        row.away.store(false, Ordering::Relaxed);
        // A step that had failed before may end yet.
        let again = segments.next_many(1).await;
        assert_eq!(if again.is_err() { segments.next_many(1).await } else { again }, Ok(vec![1_001]));
        assert_eq!(row.asked(), [1_000, 2_000], "no segment is longer because the database was away");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn ids_of_many_tasks_and_servers_are_unique() {
        let row = Row::default();
        let servers = [(); 3].map(|()| Arc::new(Segments::new(row.clone())));
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..12_u32 {
            let segments = Arc::clone(&servers[task as usize % 3]);
            tasks.spawn(async move {
                let mut all = Vec::new();
                for round in 0..100 {
                    all.extend(segments.next_many(1 + (task * 131 + round * 17) % 900).await.unwrap());
                }
                assert!(all.is_sorted(), "the ids of one caller ascend");
                all
            });
        }
        let mut all = tasks.join_all().await.concat();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
