//! What layers do with calls, whatever their wire.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use everywire_core::{
    Budget, Code, Context, Limits, Result, RpcError, Service,
    layer::{AtMostOnce, Limited},
    wire::{Call, CancellationToken},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

#[everywire_core::service(package = "demo.v1")]
trait Counter {
    /// Counts its runs.
    async fn count(&self) -> Result<u64>;
    /// Counts too, and says that this does no harm.
    #[idempotent]
    async fn count_again(&self) -> Result<u64>;
    /// Counts, and may wait.
    #[waits]
    async fn count_when_asked(&self) -> Result<u64>;
}

#[derive(Default)]
struct Counted(AtomicU64);

impl Counter for Counted {
    async fn count(&self) -> Result<u64> {
        Ok(self.0.fetch_add(1, Relaxed) + 1)
    }

    async fn count_again(&self) -> Result<u64> {
        self.count().await
    }

    async fn count_when_asked(&self) -> Result<u64> {
        self.count().await
    }
}

/// A call without arguments, which may have been at a server before, and which has long headers.
struct Delivered {
    is_redelivered: bool,
    header_bytes: usize,
    context: Context,
}

impl Call for Delivered {
    type Reply = Result<Value>;

    fn args<A: DeserializeOwned>(&mut self) -> Result<A> {
        A::deserialize(json!({})).map_err(RpcError::internal)
    }

    fn is_redelivered(&self) -> bool {
        self.is_redelivered
    }

    fn header_bytes(&self) -> usize {
        self.header_bytes
    }

    fn context(&mut self) -> Result<&mut Context> {
        Ok(&mut self.context)
    }

    fn reply<R: Serialize>(&mut self, outcome: Result<R>) -> Self::Reply {
        serde_json::to_value(outcome?).map_err(RpcError::internal)
    }
}

#[tokio::test]
async fn a_redelivered_call_runs_only_if_that_does_no_harm() {
    let service = AtMostOnce::new(CounterService::new(Counted::default()));
    let cases = [
        ("count", false, Ok(json!(1))),
        ("count", true, Err(Code::Aborted)),
        ("count_again", true, Ok(json!(2))),
        ("count", false, Ok(json!(3))),
    ];
    for (name, is_redelivered, expected) in cases {
        let method = service.services().find(name).unwrap();
        let mut call = Delivered { is_redelivered, header_bytes: 0, context: Context::new() };
        let reply = service.dispatch(method, &mut call).await;
        assert_eq!(reply.map_err(|error| error.code()), expected, "{name}, redelivered: {is_redelivered}");
    }
}

#[tokio::test]
async fn the_headers_of_a_call_that_waits_count_as_buffered() {
    let limits = Limits { buffered_bytes: 1_000, ..Limits::default() };
    let service = Arc::new(CounterService::new(Counted::default()));
    let service = Limited::new(service, Budget::new(limits), CancellationToken::new());
    let cases = [
        ("count", 1_001, Ok(json!(1))),
        ("count_when_asked", 1_000, Ok(json!(2))),
        ("count_when_asked", 1_001, Err(Code::ResourceExhausted)),
    ];
    for (name, header_bytes, expected) in cases {
        let method = service.services().find(name).unwrap();
        let mut call = Delivered { is_redelivered: false, header_bytes, context: Context::new() };
        let reply = service.dispatch(method, &mut call).await;
        assert_eq!(reply.map_err(|error| error.code()), expected, "{name} with {header_bytes} bytes");
    }
}
