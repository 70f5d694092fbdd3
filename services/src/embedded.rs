//! The toolkit in one process.

use std::time::Duration;

use rpc_core::{Result, RpcError};

use crate::{
    LockGrant, LockState, Permit, Toolkit,
    durable::DataDir,
    id::Snowflake,
    limiter::Limiter,
    lock::{Backend, Locks, MemoryLocks, Request},
};

/// Everything in memory: correct for all clients of this process, and forgotten when it ends, but for what a [`DataDir`]
/// keeps.
#[derive(Debug)]
pub struct Embedded {
    locks: Backend,
    ids: Snowflake,
    limiter: Limiter,
}

impl Embedded {
    /// A toolkit whose ids are those of `ids`, and of which a restart forgets everything; `acquire` gives 5 permits per 0.8 s.
    pub fn new(ids: Snowflake) -> Self {
        Self { locks: Backend::default(), ids, limiter: Limiter::default() }
    }

    /// A toolkit whose fencing tokens and ids never repeat: `dir` keeps their marks.
    pub fn durable(ids: Snowflake, dir: &DataDir) -> Result<Self> {
        Ok(Self { locks: MemoryLocks::durable(dir)?.into(), ids: ids.durable(dir)?, limiter: Limiter::default() })
    }

    /// Sets what `acquire` gives, the same for each resource.
    #[must_use]
    pub fn limiter(self, limiter: impl Into<Limiter>) -> Self {
        Self { limiter: limiter.into(), ..self }
    }

    /// Sets who keeps the locks.
    #[must_use]
    pub fn locks(self, locks: Backend) -> Self {
        Self { locks, ..self }
    }
}

impl Toolkit for Embedded {
    async fn add(&self, a: i64, b: i64) -> Result<i64> {
        a.checked_add(b).ok_or_else(|| RpcError::out_of_range(format!("the sum of {a} and {b} is beyond 64 bits")))
    }

    async fn lock(&self, name: String, ttl_ms: u64, wait_ms: Option<u64>, owner: Option<String>) -> Result<LockGrant> {
        let request = Request::new(name, ttl_ms, owner)?;
        self.locks.lock(request, Duration::from_millis(wait_ms.unwrap_or(0))).await
    }

    async fn unlock(&self, name: String, owner: String) -> Result<bool> {
        self.locks.unlock(&name, &owner).await
    }

    async fn renew(&self, name: String, owner: String, ttl_ms: u64) -> Result<LockGrant> {
        self.locks.renew(Request::new(name, ttl_ms, Some(owner))?).await
    }

    async fn lock_state(&self, name: String) -> Result<LockState> {
        self.locks.state(&name).await
    }

    async fn next_id(&self) -> Result<u64> {
        self.ids.next().await
    }

    async fn next_ids(&self, count: u32) -> Result<Vec<u64>> {
        self.ids.next_many(count).await
    }

    async fn acquire(&self, resource: String, permits: Option<u32>) -> Result<Permit> {
        self.limiter.acquire(&resource, permits.unwrap_or(1)).await
    }
}
