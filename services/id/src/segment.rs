//! Segments, as in Meituan's Leaf: a server takes a range of numbers from a row of a database, and gives them out without it.
//!
//! The next segment is taken when a tenth of the present one is used (a double buffer), so a database may be away for as long
//! as the numbers last. A segment is twice as long as the last one if that lasted less than 15 minutes, and half as long if
//! it lasted more than 30. Ids are unique among the servers on one database, and those of one server ascend; those of several
//! don't sort, and a server that ends skips what it has left.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use everywire_core::{Result, RpcError};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::{Database, Promises};
use crate::IdParts;

/// Numbers in a segment, at first and at least.
const LEAST: u64 = 1_000;
/// And at most.
const MOST: u64 = 1_000_000;
const SHORT: Duration = Duration::from_mins(15);
const LONG: Duration = Duration::from_mins(30);
/// How long a call waits for segments before it is `UNAVAILABLE`.
const PATIENCE: Duration = Duration::from_secs(10);
/// A step that failed is not repeated sooner.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Where numbers come from.
pub trait Ranges: Send + Sync + 'static {
    /// Takes the next `count` numbers: the last of them.
    fn take(&self, count: u64) -> impl Future<Output = Result<u64>> + Send;
}

/// Ids of segments.
#[derive(Debug)]
pub struct Segments<R = Database>(Arc<Inner<R>>);

#[derive(Debug)]
struct Inner<R> {
    ranges: R,
    buffer: Mutex<Buffer>,
    /// How the last step ended. Every call that waits looks again then.
    taken: watch::Sender<Result<()>>,
}

impl<R: Ranges> Segments<R> {
    /// What its ids promise among the servers on one database, as long as the database keeps what it wrote.
    pub const PROMISES: Promises = Promises { unique: true, k_sorted: false, monotonic: false };

    /// Ids from `ranges`, which are first asked by the first call.
    pub fn new(ranges: R) -> Self {
        Self(Inner { ranges, buffer: Mutex::default(), taken: watch::Sender::new(Ok(())) }.into())
    }

    /// Where the numbers come from.
    pub fn ranges(&self) -> &R {
        &self.0.ranges
    }

    /// The next `count` ids, growing. `UNAVAILABLE` if the segment has run out while the database is away.
    pub async fn next_many(&self, count: u32) -> Result<Vec<u64>> {
        let ids = timeout(PATIENCE, self.taken(count.into())).await;
        ids.unwrap_or_else(|_| Err(RpcError::unavailable(format!("no segment of ids came within {PATIENCE:?}"))))
    }

    /// What an id says: which number it is.
    pub fn decode(&self, id: u64) -> IdParts {
        IdParts { time_ms: None, worker: None, sequence: id }
    }

    async fn taken(&self, count: u64) -> Result<Vec<u64>> {
        // Subscribed before the look, so that no step can end unseen between the two.
        let mut taken = self.0.taken.subscribe();
        loop {
            if let Some(ids) = self.take(count) {
                return Ok(ids);
            }
            // The sender lives in `self`.
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

/// The segments that this server has: the present one, and the next.
#[derive(Debug)]
struct Buffer {
    segments: VecDeque<Segment>,
    /// Numbers of the next one.
    length: u64,
    /// When the last one was asked for.
    asked: Option<Instant>,
    /// One step at a time.
    asking: bool,
}

#[derive(Debug)]
struct Segment {
    next: u64,
    last: u64,
    /// With fewer numbers left, the next segment is asked for.
    low: u64,
}

impl Default for Buffer {
    fn default() -> Self {
        Self { segments: VecDeque::new(), length: LEAST, asked: None, asking: false }
    }
}

impl Segment {
    fn left(&self) -> u64 {
        self.last + 1 - self.next
    }
}

impl Buffer {
    fn left(&self) -> u64 {
        self.segments.iter().map(Segment::left).sum()
    }

    /// All or nothing.
    fn take(&mut self, count: u64) -> Option<Vec<u64>> {
        if self.left() < count {
            return None;
        }
        let mut ids = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
        let mut rest = count;
        while rest > 0 {
            let segment = self.segments.front_mut()?;
            let some = rest.min(segment.left());
            ids.extend(segment.next..segment.next + some);
            (segment.next, rest) = (segment.next + some, rest - some);
            if segment.left() == 0 {
                self.segments.pop_front();
            }
        }
        Some(ids)
    }

    /// How many numbers are to be asked for now, if a call misses `missing` ids.
    fn wanted(&mut self, missing: u64, now: Instant) -> Option<u64> {
        let low = match *self.segments.make_contiguous() {
            [] => true,
            [ref present] => present.left() < present.low,
            _ => false,
        };
        if self.asking || !low && missing == 0 {
            return None;
        }
        match self.asked.map(|asked| now - asked) {
            Some(lasted) if lasted < SHORT => self.length = (2 * self.length).min(MOST),
            Some(lasted) if lasted > LONG => self.length = (self.length / 2).max(LEAST),
            _ => {}
        }
        (self.asked, self.asking) = (Some(now), true);
        Some(self.length.max(missing))
    }

    /// Puts a segment of `length` numbers behind the others.
    fn refilled(&mut self, last: Option<u64>, length: u64) {
        self.asking = false;
        match last {
            Some(last) => {
                self.segments.push_back(Segment { next: last + 1 - length, last, low: length - length / 10 });
            }
            // How soon it is asked for again says nothing about how long a segment lasts.
            None => self.asked = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use super::*;

    /// A row that is asked by several servers, and can be away.
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
        assert!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1), "they follow on each other: {ids:?}");
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
    async fn a_segment_is_as_long_as_it_takes() {
        let row = Row::default();
        let segments = Segments::new(row.clone());
        for _ in 0..2_000 {
            ids(&segments, 1_000).await;
        }
        let asked = row.asked();
        assert!(
            asked.is_sorted() && asked[1] == 2_000 && *asked.last().unwrap() == MOST && asked.len() < 20,
            "{asked:?}"
        );
        let mut shorter = Vec::new();
        while shorter.last() != Some(&LEAST) {
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
    async fn a_database_that_is_away_is_missed_when_the_segment_runs_out() {
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
                assert!(all.is_sorted(), "the ids that one caller gets grow");
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
