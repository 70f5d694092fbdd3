//! The trait that every wire serves.

use everywire_core::{Result, Streaming};
use everywire_id::IdParts;
use everywire_limiter::Permit;
use everywire_lock::{LockChange, LockGrant, LockState};

/// A distributed lock, distributed ids, a rate limiter, and an adder to begin with.
#[everywire_core::service(package = "everywire.v1")]
pub trait Toolkit {
    /// Adds two integers. A sum beyond 64 bits is `OUT_OF_RANGE`.
    #[idempotent]
    async fn add(&self, a: i64, b: i64) -> Result<i64>;

    /// Takes the lock `name` for `ttl_ms` milliseconds (1 to 86,400,000), waiting up to `wait_ms` milliseconds (absent or
    /// 0: try once; at most 3,600,000) in the order of arrival. An absent `owner` is made up and returned. The owner may
    /// take it again: each grant adds one hold.
    #[waits]
    async fn lock(&self, name: String, ttl_ms: u64, wait_ms: Option<u64>, owner: Option<String>) -> Result<LockGrant>;

    /// Gives one hold of the lock back; true if `owner` had it. The last hold frees the lock.
    async fn unlock(&self, name: String, owner: String) -> Result<bool>;

    /// Lets `owner` keep the lock for `ttl_ms` milliseconds (1 to 86,400,000) from now on; granted only if it still has it.
    #[idempotent]
    async fn renew(&self, name: String, owner: String, ttl_ms: u64) -> Result<LockGrant>;

    /// Looks at a lock.
    #[idempotent]
    async fn lock_state(&self, name: String) -> Result<LockState>;

    /// The next id, of at most 63 bits. What it promises, and among which servers, depends on the server's `--id`. All of
    /// them need the same epoch, layout and secret.
    ///
    /// Snowflake, the default (41 bits of milliseconds, 10 of worker, 12 of sequence): unique among servers with different
    /// worker ids, and k-sorted, which means by time to the millisecond. With `--lock URL` worker ids are leased, and differ
    /// as long as the servers' clocks differ by less than 40 s; without, a server is worker 0 unless `--worker` says otherwise.
    /// Segments of a database: unique among the servers on that database; those of one server ascend. Redis, and a
    /// database's counter: unique, k-sorted and globally monotonic among the servers on that engine, which means that a later
    /// call gets a greater id at any of them. An engine's promises hold as long as it keeps what it wrote. With
    /// `--id-secret` ids are only unique.
    async fn next_id(&self) -> Result<u64>;

    /// The next `count` ids (1 to 100,000), with the promises of `next_id`, among the same servers. They ascend, unless the
    /// server runs with `--id-secret`.
    async fn next_ids(&self, count: u32) -> Result<Vec<u64>>;

    /// Takes `permits` (absent: 1) of what `resource` allows in a time, all or none: go or sorry.
    async fn acquire(&self, resource: String, permits: Option<u32>) -> Result<Permit>;

    /// What an id of `next_id` says. One that this server's ids can't be is `INVALID_ARGUMENT`.
    #[idempotent]
    async fn decode_id(&self, id: u64) -> Result<IdParts>;

    /// The next UUID of `version` 7 (or absent) or 1. Version 7 is unique among all servers by 74 random bits, and sorted by
    /// time to the millisecond and the clocks of the servers. Version 1 is unique by the time and 47 random bits of each
    /// server's start. It is text, because its 128 bits are no number on most wires.
    async fn next_uuid(&self, version: Option<u32>) -> Result<String>;

    /// Watches the lock `name`: first the lock as it is now (`found`), then each change. Renewals and further holds of the owner
    /// are no changes. A lock that passes from one owner to the next may be seen free in between.
    ///
    /// The latest change always arrives. Earlier ones are skipped if they come faster than the caller reads them, or than the
    /// server looks at the lock; one that it never saw taken is no change when it is free again. The server looks when the
    /// engine reports a change and at the end of the lease, and every 5 s in case a report was lost or somebody removed
    /// the lock in the engine. With a MariaDB or a Redlock, which report nothing, it looks 5 times a second. If a look fails,
    /// the stream ends with `UNAVAILABLE`; watch again.
    async fn watch_lock(&self, name: String) -> Result<Streaming<LockChange>>;

    /// Takes the lock `name` as `lock` does, and holds it as long as the stream is open: the server renews it every 10 s, or
    /// every third of `ttl_ms` (1,000 to 86,400,000) if that is sooner. The first item is the grant, and there is another for
    /// each renewal; a caller that reads slowly gets the latest. If the lock is not granted, the only item says so.
    ///
    /// When the stream ends at the caller, because it is dropped, cancelled, past its deadline or disconnected, the lock is
    /// released at once. When the server dies, it expires. If renewals fail, the stream ends with `ABORTED` a tenth of the TTL
    /// before another can have the lock; if it was taken away in the engine, with the next renewal. A caller that is cut off is
    /// not told: if the stream breaks off, or no item comes for `ttl_ms`, count the lock as lost. Send the token with each write.
    ///
    /// A hold is the only one of its `owner`: if the owner has the lock already, it is `FAILED_PRECONDITION`.
    #[waits]
    async fn hold(
        &self,
        name: String,
        ttl_ms: u64,
        wait_ms: Option<u64>,
        owner: Option<String>,
    ) -> Result<Streaming<LockGrant>>;

    /// The next `count` ids, however many, with the promises of `next_ids`. They are made as they are read, up to 4,096 at a
    /// time; those of the last batch that are not read are lost.
    async fn ids(&self, count: u64) -> Result<Streaming<u64>>;
}
