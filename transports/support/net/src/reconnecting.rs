//! A connection that the calls of a client share.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use everywire_core::{Result, RpcError};
use tokio::time::{Instant, sleep_until};

/// The shortest time between two attempts to connect.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// A connection that is opened when a call needs it, and again after it is lost.
///
/// Calls that find it lost at the same time make one attempt to connect and share its outcome. Clones share the connection.
pub struct Reconnecting<C>(Arc<State<C>>);

struct State<C> {
    connection: Mutex<Option<Arc<C>>>,
    /// The last attempt, if it failed. Locked during an attempt.
    failed: tokio::sync::Mutex<Option<(Instant, RpcError)>>,
}

impl<C> State<C> {
    fn connection(&self) -> MutexGuard<'_, Option<Arc<C>>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C> Default for Reconnecting<C> {
    fn default() -> Self {
        Self(Arc::new(State { connection: Mutex::new(None), failed: tokio::sync::Mutex::default() }))
    }
}

impl<C> Clone for Reconnecting<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C> fmt::Debug for Reconnecting<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reconnecting").finish_non_exhaustive()
    }
}

impl<C> Reconnecting<C> {
    /// Returns the connection if it `is_open`, or else a new one from `open`.
    pub async fn get<F: Future<Output = Result<C>>>(
        &self,
        is_open: impl Fn(&C) -> bool,
        open: impl FnOnce() -> F,
    ) -> Result<Arc<C>> {
        let asked = Instant::now();
        if let Some(connection) = self.current(&is_open) {
            return Ok(connection);
        }
        let mut failed = self.0.failed.lock().await;
        if let Some(connection) = self.current(&is_open) {
            return Ok(connection);
        }
        if let Some((at, error)) = &*failed {
            if *at > asked {
                return Err(error.clone());
            }
            sleep_until(*at + RETRY_PAUSE).await;
        }
        // Connecting is rare and its future is large, so it is boxed and does not enlarge the future of each call.
        let opened = Box::pin(open()).await.map(Arc::new);
        *failed = opened.as_ref().err().map(|error| (Instant::now(), error.clone()));
        if let Ok(connection) = &opened {
            *self.0.connection() = Some(Arc::clone(connection));
        }
        opened
    }

    /// Waits for the response to a call on `connection`. If the call is dropped first, no new call gets this connection, and it
    /// is closed with the last call on it. This is how a server learns of a dropped call where the protocol has no message for
    /// that.
    pub async fn until_answered<T>(&self, connection: &Arc<C>, response: impl Future<Output = T>) -> T {
        self.until_answered_or(connection, response, |_| false).await
    }

    /// Does the same, unless `cancel` returns that the server is notified of the dropped call: then the connection remains in use.
    pub async fn until_answered_or<T>(
        &self,
        connection: &Arc<C>,
        response: impl Future<Output = T>,
        cancel: impl FnOnce(&Arc<C>) -> bool,
    ) -> T {
        let mut call = Call { reconnecting: self, connection, cancel: Some(cancel) };
        let response = response.await;
        call.cancel = None;
        response
    }

    fn current(&self, is_open: impl Fn(&C) -> bool) -> Option<Arc<C>> {
        self.0.connection().clone().filter(|connection| is_open(connection))
    }
}

/// A call. It has no response yet while `cancel` is there.
struct Call<'a, C, F: FnOnce(&Arc<C>) -> bool> {
    reconnecting: &'a Reconnecting<C>,
    connection: &'a Arc<C>,
    cancel: Option<F>,
}

impl<C, F: FnOnce(&Arc<C>) -> bool> Drop for Call<'_, C, F> {
    fn drop(&mut self) {
        let Some(cancel) = self.cancel.take() else { return };
        if !cancel(self.connection) {
            let current = &mut *self.reconnecting.0.connection();
            // Its last holder closes it, which must not happen under the lock; the call still holds it here.
            current.take_if(|current| Arc::ptr_eq(current, self.connection));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_crowd_makes_one_try_and_shares_its_outcome() {
        let (reconnecting, tries, up) =
            (Reconnecting::<AtomicBool>::default(), AtomicU32::new(0), AtomicBool::new(false));
        let call = || {
            reconnecting.get(
                |connection| connection.load(SeqCst),
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
        let reconnecting = Reconnecting::<()>::default();
        let connection = || reconnecting.get(|()| true, async || Ok(()));
        let first = connection().await.unwrap();
        assert_eq!(reconnecting.until_answered(&first, async { 7 }).await, 7);
        assert!(Arc::ptr_eq(&first, &connection().await.unwrap()), "an answered call leaves it in use");
        let other_call = Arc::clone(&first);
        let dropped =
            tokio::time::timeout(Duration::ZERO, reconnecting.until_answered(&first, std::future::pending::<()>()));
        assert!(dropped.await.is_err());
        drop(first);
        let second = connection().await.unwrap();
        assert!(!Arc::ptr_eq(&other_call, &second), "the next call opens another");
        assert_eq!(Arc::strong_count(&other_call), 1, "it closes with the other call on it");
        let never = std::future::pending::<()>;
        let late = tokio::time::timeout(Duration::ZERO, reconnecting.until_answered(&other_call, never()));
        assert!(late.await.is_err());
        assert!(Arc::ptr_eq(&second, &connection().await.unwrap()), "a call on the old one leaves the new one alone");
        let cancelled =
            tokio::time::timeout(Duration::ZERO, reconnecting.until_answered_or(&second, never(), |_| true));
        assert!(cancelled.await.is_err());
        assert!(Arc::ptr_eq(&second, &connection().await.unwrap()), "the server is notified, so it stays in use");
    }
}
