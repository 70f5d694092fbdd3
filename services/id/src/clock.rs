//! The clock of an id generator.

use std::{
    thread,
    time::{Duration, Instant, SystemTime},
};

use tokio::{sync::Semaphore, task::spawn_blocking, time::sleep};

/// A clock that can also sleep. Tests implement their own.
pub trait Clock: Send + Sync + 'static {
    /// The time of day, which may be set back.
    fn now(&self) -> SystemTime;

    /// Sleeps for at least this time, without spinning.
    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send;
}

/// tokio's timer counts whole milliseconds and rounds up twice, so it may be late by this much.
const TIMER_LATE: Duration = Duration::from_millis(3);

/// The clock of this machine.
///
/// It sleeps accurately to a fraction of a millisecond, for one caller at a time: a generator whose only caller wakes a
/// millisecond late wastes the ids of that millisecond, half of all. tokio's timer is too coarse for that, so a blocking thread
/// sleeps the last part. Other callers may wake late, but the ids that they have taken are not lost.
#[derive(Debug)]
pub struct SystemClock {
    precise: Semaphore,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { precise: Semaphore::new(1) }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    async fn sleep(&self, time: Duration) {
        match self.precise.try_acquire() {
            Ok(_turn) => precise_sleep(time).await,
            Err(_) => sleep(time).await,
        }
    }
}

async fn precise_sleep(time: Duration) {
    let end = Instant::now() + time;
    if let Some(most) = time.checked_sub(TIMER_LATE) {
        sleep(most).await;
    }
    let rest = end.saturating_duration_since(Instant::now());
    if !rest.is_zero() {
        // It fails only while the runtime shuts down.
        let _ = spawn_blocking(move || thread::sleep(rest)).await;
    }
}
