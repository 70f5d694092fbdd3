//! This server's waiting calls in the queues of an engine, and how the engine's messages reach them.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, mpsc},
    time::sleep,
};

/// A session without a heartbeat for this long has ended, and its waiters leave their queues.
pub(super) const SESSION_TTL: Duration = Duration::from_secs(3);

/// This server as the engine sees it: a session and its waiting calls.
#[derive(Debug)]
pub(crate) struct Waiters {
    /// Sixteen hexadecimal digits, unique to this server.
    pub(super) session: String,
    waiting: Mutex<HashMap<u64, Arc<Notify>>>,
    /// Notified by the first call that starts to wait.
    not_empty: Notify,
    last_number: AtomicU64,
    orphans: mpsc::Sender<String>,
}

/// Messages for waiters of this session that no longer exist: a step whose reply was lost left them in a queue, where they
/// block the waiters behind them until they are evicted.
pub(super) type Orphans = mpsc::Receiver<String>;

/// Orphans that wait to be evicted. The message for one more is dropped; the engine sends it again.
const MAX_ORPHANS: usize = 1_024;

/// One call that waits.
#[derive(Debug)]
pub(super) struct Waiter {
    /// Its number in this session.
    pub(super) number: u64,
    /// Its position in the queue, assigned by the engine. 0 before that.
    pub(super) ticket: i64,
    wake: Arc<Notify>,
    waiters: Arc<Waiters>,
}

impl Waiters {
    pub(super) fn new() -> (Arc<Self>, Orphans) {
        let mut session = uuid::Uuid::new_v4().simple().to_string();
        session.truncate(16);
        let (orphans, evicted) = mpsc::channel(MAX_ORPHANS);
        let (waiting, not_empty, last_number) = Default::default();
        (Self { session, waiting, not_empty, last_number, orphans }.into(), evicted)
    }

    /// Registers a call that may wait.
    pub(super) fn register(self: &Arc<Self>) -> Waiter {
        let (number, wake) = (self.last_number.fetch_add(1, Relaxed) + 1, Arc::new(Notify::new()));
        let mut waiting = self.guard();
        if waiting.is_empty() {
            self.not_empty.notify_one();
        }
        waiting.insert(number, Arc::clone(&wake));
        Waiter { number, ticket: 0, wake, waiters: Arc::clone(self) }
    }

    /// Wakes every waiter, because messages may have been lost.
    pub(super) fn wake_all(&self) {
        self.guard().values().for_each(|wake| wake.notify_one());
    }

    /// Wakes the waiter whose number begins the message, or all of them if it begins with none.
    pub(super) fn message(&self, text: &str) {
        let Ok(number) = text.split(' ').next().unwrap_or_default().parse() else { return self.wake_all() };
        match self.guard().get(&number) {
            Some(wake) => wake.notify_one(),
            None => drop(self.orphans.try_send(text.to_owned())),
        }
    }

    /// Wakes the waiters whose turn it is according to the engine; 0 stands for all.
    #[cfg(feature = "sql")]
    pub(super) fn turns(&self, numbers: &[i64]) {
        for number in numbers {
            match number {
                0 => self.wake_all(),
                _ => self.message(&number.to_string()),
            }
        }
    }

    /// Calls `beat` at this interval while calls wait, to tell the engine that this session is alive. The waiters themselves
    /// send nothing.
    pub(super) async fn heartbeat<F: Future<Output = everywire_core::Result<()>>>(
        &self,
        interval: Duration,
        beat: impl Fn() -> F,
    ) {
        loop {
            while self.guard().is_empty() {
                self.not_empty.notified().await;
            }
            sleep(interval).await;
            if let Err(error) = beat().await {
                tracing::debug!("the heartbeat of a lock session failed: {error}");
            }
        }
    }

    fn guard(&self) -> MutexGuard<'_, HashMap<u64, Arc<Notify>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Calls `forget` for each orphan.
pub(super) async fn evict<F: Future<Output = everywire_core::Result<()>>>(
    mut orphans: Orphans,
    forget: impl Fn(String) -> F,
) {
    while let Some(message) = orphans.recv().await {
        if let Err(error) = forget(message).await {
            tracing::debug!("an orphaned waiter can't be evicted from its queue: {error}");
        }
    }
}

impl Waiter {
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.waiters.guard().remove(&self.number);
    }
}
