//! Finds out whether the callers of long calls are still there.

use std::{
    collections::HashMap,
    future::pending,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use everywire_core::wire::CancellationToken;
use lapin::types::ShortString;
use tokio::time::{Instant, sleep};

use crate::{
    probe::{Failure, Probe},
    queue::{Presence, look},
};

/// How long a call runs before its caller is looked for, and the pause between two looks.
const PERIOD: Duration = Duration::from_secs(5);

/// The longest pause between two looks that the broker logs as errors, or does not answer. The pauses double up to this.
const LONGEST_PERIOD: Duration = Duration::from_mins(5);

/// How often due callers are looked for.
const TICK: Duration = Duration::from_millis(250);

/// The most callers without long calls whose pause is remembered.
const REMEMBERED: usize = 1_024;

/// The callers of long calls, by the queue of their replies. A look at a queue that is missing, or that belongs to another
/// connection, is a line in the broker's log each time, so there is one look for all calls of a caller.
#[derive(Default)]
pub(crate) struct Callers(Mutex<HashMap<ShortString, Caller>>);

struct Caller {
    long_calls: usize,
    gone: CancellationToken,
    pause: Duration,
    due: Instant,
}

/// A long call.
struct LongCall<'a> {
    callers: &'a Callers,
    caller: &'a ShortString,
    gone: CancellationToken,
}

impl Callers {
    /// Completes once the call has taken long and the queue of `caller` is gone. Never completes for a caller that wants no
    /// reply.
    pub(crate) async fn gone(&self, caller: Option<&ShortString>) {
        let Some(caller) = caller else { return pending().await };
        sleep(PERIOD).await;
        self.enter(caller).gone.cancelled().await;
    }

    /// Looks for the callers that are due, again and again.
    pub(crate) async fn look(&self, probe: &Probe) -> ! {
        loop {
            sleep(TICK).await;
            for caller in self.due() {
                let presence = match probe.run(|channel| look(channel, &caller)).await {
                    Ok(presence) => presence,
                    // The broker can't read the address, so it didn't make it.
                    Err(Failure::Closed) => Presence::Missing,
                    Err(Failure::Unavailable) => Presence::Unknown,
                };
                self.found(&caller, &presence);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ShortString, Caller>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter<'a>(&'a self, caller: &'a ShortString) -> LongCall<'a> {
        let mut callers = self.lock();
        let entry = callers.entry(caller.clone()).or_insert_with(|| Caller {
            long_calls: 0,
            gone: CancellationToken::new(),
            pause: PERIOD,
            due: Instant::now(),
        });
        entry.long_calls += 1;
        LongCall { callers: self, caller, gone: entry.gone.clone() }
    }

    /// The callers to look for now. Forgets those whose last long call ended a while ago.
    fn due(&self) -> Vec<ShortString> {
        let (now, mut callers) = (Instant::now(), self.lock());
        callers.retain(|_, caller| caller.long_calls > 0 || now < caller.due + LONGEST_PERIOD);
        callers.iter().filter(|(_, it)| it.long_calls > 0 && it.due <= now).map(|(name, _)| name.clone()).collect()
    }

    fn found(&self, caller: &ShortString, presence: &Presence) {
        let mut callers = self.lock();
        let Some(entry) = callers.get_mut(caller) else { return };
        entry.due = Instant::now() + entry.pause;
        match presence {
            Presence::Here => {}
            Presence::Locked | Presence::Unknown => entry.pause = LONGEST_PERIOD.min(entry.pause * 2),
            Presence::Missing => {
                tracing::debug!(%caller, calls = entry.long_calls, "calls are given up: their caller is gone");
                entry.gone.cancel();
                callers.remove(caller);
            }
        }
    }
}

impl Drop for LongCall<'_> {
    fn drop(&mut self) {
        let mut callers = self.callers.lock();
        let is_full = callers.len() > REMEMBERED;
        // Once the caller is gone, another one may have its name.
        let Some(entry) = callers.get_mut(self.caller).filter(|_| !self.gone.is_cancelled()) else { return };
        entry.long_calls -= 1;
        if entry.long_calls == 0 && (entry.pause == PERIOD || is_full) {
            callers.remove(self.caller);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_look_is_for_all_calls_of_a_caller() {
        let (callers, name) = (Callers::default(), ShortString::from("caller"));
        let (one, two) = (callers.enter(&name), callers.enter(&name));
        assert_eq!(callers.due(), std::slice::from_ref(&name));
        callers.found(&name, &Presence::Here);
        assert_eq!(callers.due(), []);
        tokio::time::advance(PERIOD).await;
        assert_eq!(callers.due(), std::slice::from_ref(&name));
        callers.found(&name, &Presence::Missing);
        assert!(one.gone.is_cancelled() && two.gone.is_cancelled());
        let three = callers.enter(&name);
        drop((one, two));
        assert!(!three.gone.is_cancelled());
        assert_eq!(callers.due(), std::slice::from_ref(&name), "the name is another caller's");
    }

    #[tokio::test(start_paused = true)]
    async fn looks_that_the_broker_logs_become_rare() {
        let (callers, name) = (Callers::default(), ShortString::from("caller"));
        let (mut looks, start) = (Vec::new(), Instant::now());
        // Calls of a minute, one after the other.
        for _ in 0..20 {
            let _call = callers.enter(&name);
            for _ in 0..60 {
                for due in callers.due() {
                    looks.push(start.elapsed().as_secs());
                    callers.found(&due, &Presence::Locked);
                }
                tokio::time::advance(Duration::from_secs(1)).await;
            }
        }
        assert_eq!(looks, [0, 5, 15, 35, 75, 155, 315, 615, 915]);
        tokio::time::advance(2 * LONGEST_PERIOD).await;
        callers.due();
        assert!(callers.lock().is_empty());
    }
}
