//! How a client makes its calls.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use everywire_core::{
    DEFAULT_TIMEOUT, Result,
    descriptor::Method,
    wire::{CallSlots, response_within},
};

/// How many calls a client makes at a time, and how long each may take. Clones share the slots.
#[derive(Debug, Clone)]
pub struct Calls {
    server: Arc<str>,
    timeout: Duration,
    slots: Arc<CallSlots>,
}

impl Calls {
    /// At most `most` calls in flight, and as many again of methods that [wait](Method::waits). Further calls wait for a slot;
    /// the wait counts towards their timeout. Each call has [`DEFAULT_TIMEOUT`]. `server` is the name of the server in
    /// messages.
    pub fn new(server: impl Into<Arc<str>>, most: usize) -> Self {
        Self { server: server.into(), timeout: DEFAULT_TIMEOUT, slots: Arc::new(CallSlots::new(most)) }
    }

    /// Sets how many calls are in flight at a time, at least one.
    #[must_use]
    pub fn at_most(self, most: usize) -> Self {
        Self { slots: Arc::new(CallSlots::new(most)), ..self }
    }

    /// Sets how long a call may take, the wait for a slot included.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// The time left for a call that began at `start`.
    pub fn remaining(&self, start: Instant) -> Duration {
        self.timeout.saturating_sub(start.elapsed())
    }

    /// Begins a `call` of `method` once it has a slot. After the timeout the call is dropped and is `DEADLINE_EXCEEDED`.
    pub async fn run<T, F>(&self, method: &Method, call: impl FnOnce() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let call = async {
            let _slot = self.slots.take(method).await?;
            call().await
        };
        response_within(self.timeout, &self.server, method, call).await
    }
}
