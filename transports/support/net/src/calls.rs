//! How a client makes its calls.

use std::{pin::pin, sync::Arc, time::Duration};

use everywire_core::{
    Context, DEFAULT_TIMEOUT, Result,
    descriptor::Method,
    wire::{CallSlots, Outgoing, response_within},
};

/// How many calls a client makes at a time, and how long each may take. Clones share the slots.
#[derive(Debug, Clone)]
pub struct Calls {
    server: Arc<str>,
    /// The default if it is not set.
    timeout: Option<Duration>,
    is_qualified: bool,
    slots: Arc<CallSlots>,
}

impl Calls {
    /// At most `most` calls in flight, and as many again of methods that [wait](Method::waits). Further calls wait for a slot;
    /// the wait counts towards their timeout. Each call has [`DEFAULT_TIMEOUT`]. `server` is the name of the server in
    /// messages.
    pub fn new(server: impl Into<Arc<str>>, most: usize) -> Self {
        Self { server: server.into(), timeout: None, is_qualified: false, slots: Arc::new(CallSlots::new(most)) }
    }

    /// Sets how many calls are in flight at a time, at least one.
    #[must_use]
    pub fn at_most(self, most: usize) -> Self {
        Self { slots: Arc::new(CallSlots::new(most)), ..self }
    }

    /// Sets how long a call may take, the wait for a slot included.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }

    /// Has [`name`](Self::name) return the whole names of methods.
    #[must_use]
    pub fn qualified(self) -> Self {
        Self { is_qualified: true, ..self }
    }

    /// The name to send for `method`: `take`, or `shop.v1.Stock.take`.
    pub fn name(&self, method: &'static Method) -> &'static str {
        if self.is_qualified { method.qualified_name() } else { method.name() }
    }

    /// Begins a `call` of `method` once it has a slot; it is told what it has to send of `cx`. After the timeout, or at the
    /// deadline of `cx`, the call is dropped and is `DEADLINE_EXCEEDED`.
    pub async fn run<'a, T, F>(
        &self,
        method: &Method,
        cx: &'a Context,
        call: impl FnOnce(Outgoing<'a>) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let timeout = self.timeout.unwrap_or(DEFAULT_TIMEOUT);
        let outgoing = Outgoing::new(cx, timeout);
        let call = pin!(async {
            let _slot = self.slots.take(method).await?;
            call(outgoing).await
        });
        response_within(timeout, cx, &self.server, method, call).await
    }
}
