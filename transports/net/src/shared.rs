//! One connection of a client that many calls share.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rpc_core::{Result, RpcError};
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

    fn current(&self, is_open: impl Fn(&L) -> bool) -> Option<Arc<L>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner).clone().filter(|link| is_open(link))
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
}
