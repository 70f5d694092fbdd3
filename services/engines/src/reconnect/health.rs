//! Whether a connection is still usable, and what happened on it.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use everywire_core::wire::CancellationToken;

/// The health of one connection, shared by its users and the task that replaces it.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    lost: CancellationToken,
    reason: OnceLock<String>,
    /// Whether the connection was lost in a call, rather than while idle.
    failed_a_call: AtomicBool,
    /// Whether a step has succeeded.
    has_served: AtomicBool,
}

impl Health {
    /// Reports that the connection has ended, perhaps before any call has noticed.
    pub fn ended(&self) {
        self.lose("the connection has ended");
    }

    /// Reports that a call has failed and the connection can't be used any more.
    pub(super) fn failed(&self, reason: &str) {
        self.0.failed_a_call.store(true, Relaxed);
        self.lose(reason);
    }

    /// Reports that a step has succeeded.
    pub(super) fn served(&self) {
        self.0.has_served.store(true, Relaxed);
    }

    pub(super) fn is_lost(&self) -> bool {
        self.0.lost.is_cancelled()
    }

    /// Completes when the connection is lost.
    pub(super) async fn lost(&self) {
        self.0.lost.cancelled().await;
    }

    /// Why a call failed, if the connection was lost in a call.
    pub(super) fn failed_call(&self) -> Option<&str> {
        let failed = self.0.failed_a_call.load(Relaxed);
        failed.then(|| self.0.reason.get().map_or("", String::as_str))
    }

    pub(super) fn has_served(&self) -> bool {
        self.0.has_served.load(Relaxed)
    }

    fn lose(&self, reason: &str) {
        self.0.reason.get_or_init(|| reason.to_owned());
        self.0.lost.cancel();
    }
}
