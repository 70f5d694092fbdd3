//! The trait that every wire serves.

use everywire_core::Result;
use everywire_id::IdParts;
use everywire_limiter::Permit;
use everywire_lock::{LockGrant, LockState};

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
}
