//! The toolkit in one process.

use std::{sync::Arc, time::Duration};

use everywire_core::{Result, RpcError, Streaming};
use everywire_engines::durable::DataDir;
use everywire_id::{Ids, Uuids, WORKER_LOCKS};
use everywire_limiter::Limiter;
use everywire_lock::{Backend, Holds, Locks, MemoryLocks, Request};

use crate::{IdParts, LockChange, LockGrant, LockState, Permit, Toolkit};

/// Everything in memory: consistent for all clients of this process, and lost when it ends, except for the marks in a
/// [`DataDir`].
#[derive(Debug)]
pub struct Embedded {
    locks: Arc<Backend>,
    holds: Arc<Holds>,
    ids: Arc<Ids>,
    uuids: Uuids,
    limiter: Limiter,
}

impl Embedded {
    /// A toolkit with these ids. A restart forgets everything. `acquire` grants 5 permits per 0.8 s.
    pub fn new(ids: impl Into<Ids>) -> Self {
        let (locks, ids) = (Arc::<Backend>::default(), Arc::new(ids.into()));
        let holds = Holds::new(Arc::clone(&locks)).into();
        Self { locks, holds, ids, uuids: Uuids::default(), limiter: Limiter::default() }
    }

    /// A toolkit whose fencing tokens and ids never repeat after a restart: `dir` stores their marks. [`Ids::scope`] tells among
    /// which servers ids are unique.
    pub fn durable(ids: impl Into<Ids>, dir: &DataDir) -> Result<Self> {
        let locks = Backend::from(MemoryLocks::durable(dir)?);
        Ok(Self::new(ids.into().durable(dir)?).locks(locks))
    }

    /// Sets the limiter behind `acquire`, the same for each resource.
    #[must_use]
    pub fn limiter(self, limiter: impl Into<Limiter>) -> Self {
        Self { limiter: limiter.into(), ..self }
    }

    /// Sets the backend of the locks.
    #[must_use]
    pub fn locks(self, locks: impl Into<Arc<Backend>>) -> Self {
        let locks = locks.into();
        Self { holds: Holds::new(Arc::clone(&locks)).into(), locks, ..self }
    }

    /// The locks that are held by streams, to release them at a [shutdown](Holds::shut_down).
    pub fn holds(&self) -> Arc<Holds> {
        Arc::clone(&self.holds)
    }
}

/// Rejects locks of worker ids: if a client released one, two servers would soon have the same worker id.
fn check_not_reserved(name: &str) -> Result<()> {
    if name.starts_with(WORKER_LOCKS) {
        return Err(RpcError::permission_denied(format!("`name` begins with {WORKER_LOCKS}: the servers' own locks")));
    }
    Ok(())
}

impl Toolkit for Embedded {
    async fn add(&self, a: i64, b: i64) -> Result<i64> {
        a.checked_add(b).ok_or_else(|| RpcError::out_of_range(format!("the sum of {a} and {b} is beyond 64 bits")))
    }

    async fn lock(&self, name: String, ttl_ms: u64, wait_ms: Option<u64>, owner: Option<String>) -> Result<LockGrant> {
        check_not_reserved(&name)?;
        let request = Request::new(name, ttl_ms, owner)?;
        self.locks.lock(request, Duration::from_millis(wait_ms.unwrap_or(0))).await
    }

    async fn unlock(&self, name: String, owner: String) -> Result<bool> {
        check_not_reserved(&name)?;
        self.locks.unlock(&name, &owner).await
    }

    async fn renew(&self, name: String, owner: String, ttl_ms: u64) -> Result<LockGrant> {
        check_not_reserved(&name)?;
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

    async fn decode_id(&self, id: u64) -> Result<IdParts> {
        self.ids.decode(id)
    }

    async fn next_uuid(&self, version: Option<u32>) -> Result<String> {
        self.uuids.next(version.unwrap_or(7))
    }

    async fn watch_lock(&self, name: String) -> Result<Streaming<LockChange>> {
        self.locks.watch(name).await
    }

    async fn hold(
        &self,
        name: String,
        ttl_ms: u64,
        wait_ms: Option<u64>,
        owner: Option<String>,
    ) -> Result<Streaming<LockGrant>> {
        check_not_reserved(&name)?;
        let request = Request::new(name, ttl_ms, owner)?;
        self.holds.hold(request, Duration::from_millis(wait_ms.unwrap_or(0))).await
    }

    async fn ids(&self, count: u64) -> Result<Streaming<u64>> {
        Ok(self.ids.stream(count))
    }
}
