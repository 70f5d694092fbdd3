//! Who of this server waits in the queues of an engine, and how the engine's messages find them.

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

/// A session that was not heard of for so long has ended, and its places with it.
pub(super) const SESSION_TTL: Duration = Duration::from_secs(3);

/// This server to an engine: a session, and the calls of it that wait.
#[derive(Debug)]
pub(crate) struct Wakes {
    /// Sixteen digits that no other server has.
    pub(super) session: String,
    places: Mutex<HashMap<u64, Arc<Notify>>>,
    /// Somebody waits, who was the first.
    some: Notify,
    last_place: AtomicU64,
    strays: mpsc::Sender<String>,
}

/// Messages for places of this session that are nobody's: a step whose answer was lost left them in a queue. They stand in
/// the way of others until they are taken out.
pub(super) type Strays = mpsc::Receiver<String>;

/// Strays that wait to be taken out; one more is sent for again.
const MOST_STRAYS: usize = 1_024;

/// A call's place.
#[derive(Debug)]
pub(super) struct Place {
    /// Its number in this session.
    pub(super) number: u64,
    /// Its position, given by the engine. 0 before that.
    pub(super) ticket: i64,
    wake: Arc<Notify>,
    wakes: Arc<Wakes>,
}

impl Wakes {
    pub(super) fn new() -> (Arc<Self>, Strays) {
        let mut session = uuid::Uuid::new_v4().simple().to_string();
        session.truncate(16);
        let (strays, taken_out) = mpsc::channel(MOST_STRAYS);
        let (places, some, last_place) = Default::default();
        (Self { session, places, some, last_place, strays }.into(), taken_out)
    }

    pub(super) fn place(self: &Arc<Self>) -> Place {
        let (number, wake) = (self.last_place.fetch_add(1, Relaxed) + 1, Arc::new(Notify::new()));
        let mut places = self.guard();
        if places.is_empty() {
            self.some.notify_one();
        }
        places.insert(number, Arc::clone(&wake));
        Place { number, ticket: 0, wake, wakes: Arc::clone(self) }
    }

    /// After messages may have been lost.
    pub(super) fn wake_all(&self) {
        self.guard().values().for_each(|wake| wake.notify_one());
    }

    /// Wakes the place of a message, which begins with its number, or all.
    pub(super) fn message(&self, text: &str) {
        let Ok(number) = text.split(' ').next().unwrap_or_default().parse() else { return self.wake_all() };
        match self.guard().get(&number) {
            Some(wake) => wake.notify_one(),
            None => drop(self.strays.try_send(text.to_owned())),
        }
    }

    /// Wakes the places whose turn it is according to the engine; 0 stands for all.
    #[cfg(feature = "sql")]
    pub(super) fn turns(&self, places: &[i64]) {
        for place in places {
            match place {
                0 => self.wake_all(),
                _ => self.message(&place.to_string()),
            }
        }
    }

    /// Runs `beat` every so often as long as somebody waits: it tells the engine that this session lives. The waiters are
    /// silent.
    pub(super) async fn beat<F: Future<Output = everywire_core::Result<()>>>(
        &self,
        every: Duration,
        beat: impl Fn() -> F,
    ) {
        loop {
            while self.guard().is_empty() {
                self.some.notified().await;
            }
            sleep(every).await;
            if let Err(error) = beat().await {
                tracing::debug!("a session of locks was not heard of: {error}");
            }
        }
    }

    fn guard(&self) -> MutexGuard<'_, HashMap<u64, Arc<Notify>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets `forget` take out each stray as long as messages come.
pub(super) async fn take_out<F: Future<Output = everywire_core::Result<()>>>(
    mut strays: Strays,
    forget: impl Fn(String) -> F,
) {
    while let Some(message) = strays.recv().await {
        if let Err(error) = forget(message).await {
            tracing::debug!("a place that is nobody's stands in a queue: {error}");
        }
    }
}

impl Place {
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.wakes.guard().remove(&self.number);
    }
}
