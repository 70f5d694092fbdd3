//! A limit on the numbers handed out, raised ahead of them.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use everywire_core::{Result, RpcError};
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{sleep, timeout},
};

/// The longest wait of a call for the mark to be raised. After it the call is `UNAVAILABLE`.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// The pause after a failed write.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// The highest number that may be handed out at the moment.
///
/// The default mark is not stored and has no limit. A mark of a [`DataDir`](super::DataDir) takes effect once it is on disk.
#[derive(Clone)]
pub struct HighWater(Arc<Inner>);

type Write = Box<dyn Fn(u64) -> Result<()> + Send + Sync>;

struct Inner {
    /// The mark in force.
    mark: AtomicU64,
    last_before: u64,
    /// How far the mark is raised beyond the requested number.
    block: u64,
    write: Write,
    /// Whether a task is raising the mark. There is one at a time.
    raising: AtomicBool,
    /// The outcome of the last write. Every waiter checks the mark again after it.
    written: watch::Sender<Result<()>>,
}

impl HighWater {
    /// A mark that was at `last` when its store was opened. `write`, which may block, stores a new value; each is `block` higher
    /// than needed.
    #[doc(hidden)]
    pub fn stored(last: u64, block: u64, write: impl Fn(u64) -> Result<()> + Send + Sync + 'static) -> Self {
        Self::new(last, last, block, Box::new(write))
    }

    fn new(mark: u64, last_before: u64, block: u64, write: Write) -> Self {
        let (raising, written) = (AtomicBool::new(false), watch::Sender::new(Ok(())));
        Self(Arc::new(Inner { mark: mark.into(), last_before, block, write, raising, written }))
    }

    /// The highest number that an earlier process may have handed out. This process begins after it.
    pub fn last_before(&self) -> u64 {
        self.0.last_before
    }

    /// Whether numbers up to `value` may be handed out. It costs one atomic load. When half of the block is used, the next one is
    /// reserved in the background. Must be called in a tokio runtime.
    pub fn covers(&self, value: u64) -> bool {
        let mark = self.0.mark.load(Ordering::Acquire);
        if value > mark.saturating_sub(self.0.block / 2) {
            self.raise(value);
        }
        value <= mark
    }

    /// Waits until numbers up to `value` may be handed out; `UNAVAILABLE` if the mark can't be raised.
    pub async fn cover(&self, value: u64) -> Result<()> {
        if self.covers(value) {
            return Ok(());
        }
        timeout(MAX_WAIT, self.covered(value)).await.unwrap_or_else(|_| {
            Err(RpcError::unavailable(format!("the data directory took no write for {MAX_WAIT:?}; try again later")))
        })
    }

    async fn covered(&self, value: u64) -> Result<()> {
        // Subscribe before the check, so that no write can end unnoticed between the two.
        let mut written = self.0.written.subscribe();
        while !self.covers(value) {
            // It can't fail: the sender is in `self`.
            let _ = written.changed().await;
            written.borrow_and_update().clone()?;
        }
        Ok(())
    }

    fn raise(&self, value: u64) {
        // The load before the swap keeps the cache line shared while a write is in progress.
        if self.0.raising.load(Ordering::Relaxed) || self.0.raising.swap(true, Ordering::AcqRel) {
            return;
        }
        let this = self.clone();
        tokio::spawn(async move {
            let outcome = this.raise_beyond(value).await;
            if outcome.is_err() {
                sleep(PAUSE_AFTER_FAILURE).await;
            }
            this.0.raising.store(false, Ordering::Release);
            drop(this.0.written.send_replace(outcome));
        });
    }

    async fn raise_beyond(&self, value: u64) -> Result<()> {
        // The mark may have passed `value` meanwhile, and it never falls.
        let mark = value.saturating_add(self.0.block).max(self.0.mark.load(Ordering::Acquire));
        let this = self.clone();
        spawn_blocking(move || (this.0.write)(mark)).await.map_err(RpcError::internal)??;
        self.0.mark.store(mark, Ordering::Release);
        Ok(())
    }
}

impl Default for HighWater {
    fn default() -> Self {
        Self::new(u64::MAX, 0, 0, Box::new(|_| Ok(())))
    }
}

impl fmt::Debug for HighWater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HighWater").field(&self.0.mark).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        mpsc::{Sender, channel},
    };

    use super::*;

    const BLOCK: u64 = 100;

    type Log = Arc<Mutex<Vec<u64>>>;

    /// A mark at 1,000 whose writes end as they are told to, and the marks that they wrote.
    fn gated() -> (HighWater, Sender<Result<()>>, Log) {
        let (gate, outcomes) = channel();
        let (written, outcomes) = (Log::default(), Mutex::new(outcomes));
        let log = Arc::clone(&written);
        let mark = HighWater::stored(1_000, BLOCK, move |mark| {
            outcomes.lock().unwrap().recv().unwrap()?;
            log.lock().unwrap().push(mark);
            Ok(())
        });
        (mark, gate, written)
    }

    async fn deadline<T>(what: &str, future: impl Future<Output = T>) -> T {
        timeout(Duration::from_secs(5), future).await.unwrap_or_else(|_| panic!("{what}: no end"))
    }

    #[tokio::test]
    async fn a_number_waits_for_its_write() {
        let (mark, gate, written) = gated();
        assert_eq!(mark.last_before(), 1_000);
        let waiting = tokio::spawn({
            let mark = mark.clone();
            async move { mark.cover(1_001).await }
        });
        while !mark.0.raising.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
        assert!(!mark.covers(1_001) && !waiting.is_finished(), "nothing is on disk yet");
        gate.send(Ok(())).unwrap();
        deadline("the wait", waiting).await.unwrap().unwrap();
        assert_eq!(*written.lock().unwrap(), [1_001 + BLOCK]);
        assert!(mark.covers(1_040), "no write is due before half of the block is used");
        assert!(!mark.0.raising.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn the_next_block_is_written_while_the_present_one_lasts() {
        let (mark, gate, written) = gated();
        gate.send(Ok(())).unwrap();
        deadline("the first block", mark.cover(1_001)).await.unwrap();
        assert!(mark.covers(1_060), "the second half");
        assert!(mark.0.raising.load(Ordering::Relaxed));
        assert!(mark.covers(1_101) && !mark.covers(1_102), "the first block is in force until the second is written");
        gate.send(Ok(())).unwrap();
        deadline("the second block", mark.cover(1_102)).await.unwrap();
        assert_eq!(*written.lock().unwrap(), [1_101, 1_160]);
    }

    #[tokio::test]
    async fn a_write_that_fails_or_panics_is_an_error_and_the_next_one_counts() {
        let (mark, gate, written) = gated();
        gate.send(Err(RpcError::unavailable("full"))).unwrap();
        assert_eq!(deadline("the failure", mark.cover(1_001)).await.unwrap_err().message(), "full");
        gate.send(Ok(())).unwrap();
        deadline("the second try", mark.cover(1_001)).await.unwrap();
        assert_eq!(*written.lock().unwrap(), [1_101]);
        drop(gate);
        let error = deadline("the panic", mark.cover(5_000)).await.unwrap_err();
        assert_eq!(error.code(), everywire_core::Code::Internal);
        assert!(mark.covers(1_101) && !mark.covers(1_102));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_callers_are_covered_and_the_mark_never_falls() {
        let disk = Arc::new(AtomicU64::new(0));
        let mark = HighWater::stored(0, 8, {
            let disk = Arc::clone(&disk);
            move |mark| {
                assert!(disk.swap(mark, Ordering::SeqCst) <= mark, "the mark fell");
                Ok(())
            }
        });
        let next = Arc::new(AtomicU64::new(1));
        let callers: Vec<_> = (0..8)
            .map(|_| {
                let (mark, next, disk) = (mark.clone(), Arc::clone(&next), Arc::clone(&disk));
                tokio::spawn(async move {
                    for _ in 0..500 {
                        let value = next.fetch_add(1, Ordering::SeqCst);
                        mark.cover(value).await.unwrap();
                        assert!(value <= disk.load(Ordering::SeqCst), "{value} was covered and is not written");
                    }
                })
            })
            .collect();
        for caller in callers {
            deadline("a caller", caller).await.unwrap();
        }
    }

    #[tokio::test]
    async fn without_a_disk_there_is_no_limit() {
        let mark = HighWater::default();
        assert_eq!(mark.last_before(), 0);
        assert!(mark.covers(u64::MAX) && !mark.0.raising.load(Ordering::Relaxed));
    }
}
