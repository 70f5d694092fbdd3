//! One connection of a client that many calls share.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use everywire_core::{Result, RpcError};
use tokio::time::{Instant, sleep_until};

/// The least time between two tries to connect.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// A connection that is opened when a call needs it, and again when it was lost.
///
/// A crowd of calls that finds it lost makes one try to connect: one of them tries, and the others share the outcome.
pub struct Shared<L> {
    link: Mutex<Option<Arc<L>>>,
    /// The last try that failed. Held while one runs.
    failed: tokio::sync::Mutex<Option<(Instant, RpcError)>>,
}

impl<L> Default for Shared<L> {
    fn default() -> Self {
        Self { link: Mutex::new(None), failed: tokio::sync::Mutex::default() }
    }
}

impl<L> fmt::Debug for Shared<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl<L> Shared<L> {
    /// The connection if it `is_open`, or else a new one from `open`.
    pub async fn get<F: Future<Output = Result<L>>>(
        &self,
        is_open: impl Fn(&L) -> bool,
        open: impl FnOnce() -> F,
    ) -> Result<Arc<L>> {
        let asked = Instant::now();
        if let Some(link) = self.current(&is_open) {
            return Ok(link);
        }
        let mut failed = self.failed.lock().await;
        if let Some(link) = self.current(&is_open) {
            return Ok(link);
        }
        if let Some((at, error)) = &*failed {
            if *at > asked {
                return Err(error.clone());
            }
            sleep_until(*at + RETRY_PAUSE).await;
        }
        // Connecting is rare and its future large: boxed, it doesn't make every call's future large.
        match Box::pin(open()).await {
            Ok(link) => {
                *failed = None;
                let link = Arc::new(link);
                *self.link.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&link));
                Ok(link)
            }
            Err(error) => {
                *failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Waits for the answer to a call on `link`. If the call is dropped before, no new call gets this connection, and it
    /// is closed with the last call on it: so a server learns of it even where its protocol has no word for it.
    pub async fn answered<T>(&self, link: &Arc<L>, answer: impl Future<Output = T>) -> T {
        let mut call = Call { shared: self, link: Some(link) };
        let answer = answer.await;
        call.link = None;
        answer
    }

    fn current(&self, is_open: impl Fn(&L) -> bool) -> Option<Arc<L>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner).clone().filter(|link| is_open(link))
    }
}

/// A call that has no answer yet, if `link` is there.
struct Call<'a, L> {
    shared: &'a Shared<L>,
    link: Option<&'a Arc<L>>,
}

impl<L> Drop for Call<'_, L> {
    fn drop(&mut self) {
        let Some(link) = self.link else { return };
        let current = &mut *self.shared.link.lock().unwrap_or_else(PoisonError::into_inner);
        // Its last holder closes it, which must not happen under the lock; the call still holds it here.
        current.take_if(|current| Arc::ptr_eq(current, link));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_crowd_makes_one_try_and_shares_its_outcome() {
        let (shared, tries, up) = (Shared::<AtomicBool>::default(), AtomicU32::new(0), AtomicBool::new(false));
        let call = || {
            shared.get(
                |link| link.load(SeqCst),
                async || {
                    tries.fetch_add(1, SeqCst);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    if up.load(SeqCst) { Ok(AtomicBool::new(true)) } else { Err(RpcError::unavailable("away")) }
                },
            )
        };
        let (a, b, c) = tokio::join!(call(), call(), call());
        assert!([a, b, c].iter().all(Result::is_err));
        assert_eq!(tries.load(SeqCst), 1);

        up.store(true, SeqCst);
        let (a, b) = tokio::join!(call(), call());
        let (a, b) = (a.unwrap(), b.unwrap());
        assert!(Arc::ptr_eq(&a, &b));
        assert_eq!(tries.load(SeqCst), 2);

        a.store(false, SeqCst);
        assert!(!Arc::ptr_eq(&a, &call().await.unwrap()), "a lost connection is opened again");
        assert_eq!(tries.load(SeqCst), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_call_takes_its_connection_out_of_use() {
        let shared = Shared::<()>::default();
        let link = || shared.get(|()| true, async || Ok(()));
        let first = link().await.unwrap();
        assert_eq!(shared.answered(&first, async { 7 }).await, 7);
        assert!(Arc::ptr_eq(&first, &link().await.unwrap()), "an answered call leaves it in use");
        let other_call = Arc::clone(&first);
        let dropped = tokio::time::timeout(Duration::ZERO, shared.answered(&first, std::future::pending::<()>()));
        assert!(dropped.await.is_err());
        drop(first);
        let second = link().await.unwrap();
        assert!(!Arc::ptr_eq(&other_call, &second), "the next call opens another");
        assert_eq!(Arc::strong_count(&other_call), 1, "it closes with the other call on it");
        let late = tokio::time::timeout(Duration::ZERO, shared.answered(&other_call, std::future::pending::<()>()));
        assert!(late.await.is_err());
        assert!(Arc::ptr_eq(&second, &link().await.unwrap()), "a call on the old one leaves the new one alone");
    }
}
