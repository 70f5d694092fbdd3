//! When an engine that is away is tried again.

use std::{
    fmt::Display,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::engine::{FIRST_RETRY, longer};

/// New connections to one engine. After one failed, nobody tries for a while, which is longer each time.
#[derive(Debug, Default)]
pub(super) struct Reconnect(Mutex<Option<Failure>>);

#[derive(Debug, Clone)]
struct Failure {
    why: String,
    pause: Duration,
    until: Instant,
}

impl Reconnect {
    /// Connects; or says why that failed, then or the last time.
    pub(super) async fn attempt<T, E: Display>(
        &self,
        connecting: impl Future<Output = Result<T, E>>,
    ) -> Result<T, String> {
        let last = self.guard().clone();
        if let Some(failure) = last.as_ref().filter(|failure| Instant::now() < failure.until) {
            return Err(failure.why.clone());
        }
        let outcome = connecting.await.map_err(|error| error.to_string());
        *self.guard() = outcome.as_ref().err().map(|why| {
            let pause = last.map_or(FIRST_RETRY, |last| longer(last.pause));
            Failure { why: why.clone(), pause, until: Instant::now() + pause }
        });
        outcome
    }

    fn guard(&self) -> MutexGuard<'_, Option<Failure>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use tokio::time::sleep;

    use super::*;
    use crate::lock::engine::LAST_RETRY;

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_is_away_is_tried_less_and_less_often() {
        let (reconnect, attempts) = (Reconnect::default(), AtomicU32::new(0));
        let away = || async {
            attempts.fetch_add(1, Relaxed);
            Err::<(), _>("away")
        };
        for _ in 0..10_000 {
            assert_eq!(reconnect.attempt(away()).await, Err("away".to_owned()));
            sleep(Duration::from_millis(1)).await;
        }
        // 50, 100, 200, 400, 800 ms, and then once a second.
        assert_eq!(attempts.load(Relaxed), 14);
        sleep(LAST_RETRY).await;
        assert_eq!(reconnect.attempt(async { Ok::<_, String>(1) }).await, Ok(1));
        assert_eq!(reconnect.attempt(away()).await, Err("away".to_owned()));
        sleep(FIRST_RETRY).await;
        assert_eq!(reconnect.attempt(async { Ok::<_, String>(2) }).await, Ok(2));
    }
}
