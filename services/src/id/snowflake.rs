//! Snowflake ids: 1 bit 0, 41 bits of milliseconds since an epoch, 10 bits of worker, 12 bits of sequence.
//!
//! Source: Twitter's announcement of Snowflake (2010). The promise is *unique* among workers with different worker ids, and
//! *k-sorted*: ids of different workers sort by time to the millisecond. The ids of one worker grow strictly.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rpc_core::{Result, RpcError};

/// 2024-01-01T00:00:00Z in milliseconds of Unix time. 41 bits last until 2093.
pub const DEFAULT_EPOCH_MS: u64 = 1_704_067_200_000;
/// The highest worker id.
pub const MAX_WORKER: u16 = (1 << WORKER_BITS) - 1;
/// The most ids of one call. They take about 25 ms.
pub const MAX_BATCH: u32 = 100_000;

const TIME_BITS: u32 = 41;
const WORKER_BITS: u32 = 10;
const SEQUENCE_BITS: u32 = 12;
/// How far ids may run ahead of the clock before a call is refused instead of waiting: the clock was set back, or too many
/// ids are asked for at the same time.
const MAX_AHEAD: Duration = Duration::from_secs(2);

/// A generator with one worker id.
///
/// The position is one number, milliseconds and sequence joined: `time << 12 | sequence`. A call takes as many positions as
/// it needs with one atomic step, beginning at the clock or after the last position taken, whichever is later. If its last
/// position lies in the future, it sleeps until then. So the sequence never wraps, nobody spins, and a clock set back a
/// little is waited for.
#[derive(Debug)]
pub struct Snowflake {
    epoch: SystemTime,
    worker: u64,
    /// The next free position.
    next: AtomicU64,
}

impl Snowflake {
    /// A generator for `worker` (0 to 1,023), which no other generator of the same epoch may use at the same time.
    pub fn new(worker: u16) -> Result<Self> {
        if worker > MAX_WORKER {
            return Err(RpcError::invalid_argument(format!("worker id {worker}; it may be 0 to {MAX_WORKER}")));
        }
        let epoch = UNIX_EPOCH + Duration::from_millis(DEFAULT_EPOCH_MS);
        Ok(Self { epoch, worker: worker.into(), next: AtomicU64::new(0) })
    }

    /// The next id.
    pub async fn next(&self) -> Result<u64> {
        let position = self.take(1).await?;
        Ok(self.id(position))
    }

    /// The next `count` ids, 1 to [`MAX_BATCH`].
    pub async fn next_many(&self, count: u32) -> Result<Vec<u64>> {
        if !(1..=MAX_BATCH).contains(&count) {
            return Err(RpcError::invalid_argument(format!("`count` is {count}; it may be 1 to {MAX_BATCH}")));
        }
        let first = self.take(count.into()).await?;
        Ok((first..first + u64::from(count)).map(|position| self.id(position)).collect())
    }

    fn id(&self, position: u64) -> u64 {
        let (time, sequence) = (position >> SEQUENCE_BITS, position & ((1 << SEQUENCE_BITS) - 1));
        time << (WORKER_BITS + SEQUENCE_BITS) | self.worker << SEQUENCE_BITS | sequence
    }

    /// Takes `count` positions and waits until the clock has reached the last; returns the first.
    async fn take(&self, count: u64) -> Result<u64> {
        let now = self.now()?;
        let clock = position(now);
        let beyond = clock + position(MAX_AHEAD);
        let first = self
            .next
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
                let end = next.max(clock) + count;
                (end <= beyond).then_some(end)
            })
            .map_err(|next| too_far_ahead(next, clock))?
            .max(clock);
        let last = Duration::from_millis((first + count - 1) >> SEQUENCE_BITS);
        let wait = last.saturating_sub(now);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Ok(first)
    }

    /// Time since the epoch.
    fn now(&self) -> Result<Duration> {
        let now = SystemTime::now().duration_since(self.epoch).map_err(|_| {
            RpcError::failed_precondition("the clock of this machine stands before the epoch of the ids, 2024-01-01")
        })?;
        if now.as_millis() >> TIME_BITS != 0 {
            return Err(RpcError::out_of_range("41 bits of milliseconds since the epoch of the ids are used up"));
        }
        Ok(now)
    }
}

fn position(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX >> SEQUENCE_BITS) << SEQUENCE_BITS
}

fn too_far_ahead(next: u64, clock: u64) -> RpcError {
    let ahead_ms = next.saturating_sub(clock) >> SEQUENCE_BITS;
    RpcError::unavailable(format!(
        "ids are taken {ahead_ms} ms ahead of the clock: it was set back, or more than 4,096 ids per millisecond are asked \
         for; try again later"
    ))
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, sync::Arc};

    use super::*;

    #[tokio::test]
    async fn ids_carry_time_worker_and_sequence() {
        let ids = Snowflake::new(1_023).unwrap();
        let before = ids.now().unwrap().as_millis();
        let id = ids.next().await.unwrap();
        let after = ids.now().unwrap().as_millis();
        assert_eq!(id >> 63, 0);
        assert!((before..=after).contains(&u128::from(id >> 22)));
        assert_eq!((id >> 12) & 1_023, 1_023);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn ids_of_many_tasks_are_unique_and_never_early() {
        let ids = Arc::new(Snowflake::new(7).unwrap());
        let tasks: Vec<_> = (0..8_u32)
            .map(|task| {
                let ids = Arc::clone(&ids);
                tokio::spawn(async move {
                    let mut all = Vec::new();
                    for round in 0..50 {
                        let batch = ids.next_many(1 + (task * 131 + round * 17) % 900).await.unwrap();
                        let newest = batch.iter().max().unwrap() >> 22;
                        assert!(u128::from(newest) <= ids.now().unwrap().as_millis(), "an id from the future");
                        assert!(batch.is_sorted());
                        all.extend(batch);
                    }
                    all
                })
            })
            .collect();
        let (mut seen, mut count) = (HashSet::new(), 0);
        for task in tasks {
            let all = task.await.unwrap();
            assert!(all.is_sorted(), "the ids that one caller gets grow");
            count += all.len();
            seen.extend(all);
        }
        assert_eq!(seen.len(), count);
    }

    #[tokio::test]
    async fn a_clock_set_far_back_is_an_error() {
        let ids = Snowflake::new(0).unwrap();
        let hour_ahead = position(ids.now().unwrap() + Duration::from_hours(1));
        ids.next.store(hour_ahead, Ordering::Relaxed);
        let error = ids.next().await.unwrap_err();
        assert_eq!(error.code(), rpc_core::Code::Unavailable);
        assert!(error.message().contains("ahead of the clock"), "{error}");
    }

    #[tokio::test]
    async fn bad_arguments_say_what_is_allowed() {
        assert_eq!(Snowflake::new(1_024).unwrap_err().message(), "worker id 1024; it may be 0 to 1023");
        let ids = Snowflake::new(0).unwrap();
        for count in [0, MAX_BATCH + 1] {
            let error = ids.next_many(count).await.unwrap_err();
            assert_eq!(error.message(), format!("`count` is {count}; it may be 1 to 100000"));
        }
    }
}
