//! `locks URL [SECONDS]`: locks in the Redis at URL, such as `redis://127.0.0.1:6379`, and in memory.
//!
//! First what a lock and its unlock cost without contention, beside the bare scripts of a lock without a queue, a view, or a
//! second hold, on the same client library, in turns. Then the time from an unlock to the grant of the next of 100 waiters.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use everywire::{Result, RpcError};
use everywire_benches::argument;
use everywire_lock::{Backend, Locks, Request};
use redis::{Client, Script, aio::MultiplexedConnection};
use tokio::sync::mpsc;

const TTL_MS: u64 = 60_000;
/// Slices that each side has in turns.
const SLICES: u32 = 20;
const WAITERS: usize = 100;
const ROUNDS: usize = 30;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let url = argument(1, "a URL")?;
    let seconds = argument(2, "seconds").map_or(Ok(10), |text| text.parse());
    let time = Duration::from_secs(seconds.map_err(|_| RpcError::invalid_argument("SECONDS is no number"))?);
    let backend = Backend::connect(&url).await?;
    let bare = Bare::connect(&url).await?;
    uncontended(&backend, &bare, time / SLICES).await?;
    hand_off("memory", Backend::default()).await?;
    hand_off("Redis", backend).await
}

fn request(owner: usize) -> Result<Request> {
    Request::new("bench".into(), TTL_MS, Some(owner.to_string()))
}

async fn uncontended(backend: &Backend, bare: &Bare, slice: Duration) -> Result<()> {
    let (mut ours, mut theirs) = (0, 0);
    for _ in 0..SLICES {
        let start = Instant::now();
        while start.elapsed() < slice {
            bare.cycle().await.map_err(RpcError::internal)?;
            theirs += 1;
        }
        let start = Instant::now();
        while start.elapsed() < slice {
            let grant = backend.lock(request(1)?, Duration::ZERO).await?;
            if !grant.granted || !backend.unlock("bench", "1").await? {
                return Err(RpcError::internal("somebody else has the lock"));
            }
            ours += 1;
        }
    }
    let second = slice * SLICES;
    let per_second = |count: u32| f64::from(count) / second.as_secs_f64();
    println!("lock and unlock through Redis, one caller, {second:?} each in {SLICES} turns");
    println!("  bare scripts {:>8.0} a second", per_second(theirs));
    println!("  everywire    {:>8.0} a second, {:.1} %", per_second(ours), 100.0 * f64::from(ours) / f64::from(theirs));
    Ok(())
}

/// `SET NX PX` with a token, and a deletion that compares the owner.
struct Bare {
    connection: MultiplexedConnection,
    lock: Script,
    unlock: Script,
}

impl Bare {
    async fn connect(url: &str) -> Result<Self> {
        let client = Client::open(url).map_err(RpcError::internal)?;
        Ok(Self {
            connection: client.get_multiplexed_async_connection().await.map_err(RpcError::internal)?,
            lock: Script::new(
                "if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return redis.call('INCR', KEYS[2]) end
                 return 0",
            ),
            unlock: Script::new(
                "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
                 return 0",
            ),
        })
    }

    async fn cycle(&self) -> redis::RedisResult<()> {
        let mut connection = self.connection.clone();
        let mut lock = self.lock.key("bare");
        let _: u64 = lock.key("bare:fence").arg("1").arg(TTL_MS).invoke_async(&mut connection).await?;
        let _: u64 = self.unlock.key("bare").arg("1").invoke_async(&mut connection).await?;
        Ok(())
    }
}

/// Waiters that queue again as long as the rounds last.
async fn hand_off(name: &str, backend: Backend) -> Result<()> {
    let (backend, mut times) = (Arc::new(backend), Vec::new());
    for _ in 0..ROUNDS {
        backend.lock(request(WAITERS)?, Duration::ZERO).await?;
        let (granted, mut grants) = mpsc::channel(WAITERS);
        for owner in 0..WAITERS {
            let (backend, granted, request) = (Arc::clone(&backend), granted.clone(), request(owner)?);
            tokio::spawn(async move {
                let grant = backend.lock(request, Duration::from_mins(1)).await;
                let _ = granted.send((Instant::now(), owner, grant)).await;
            });
        }
        while backend.state("bench").await?.waiting < WAITERS.try_into().unwrap_or(u32::MAX) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let mut holder = WAITERS;
        for _ in 0..WAITERS {
            let freed = Instant::now();
            backend.unlock("bench", &holder.to_string()).await?;
            let Some((at, owner, grant)) = grants.recv().await else { return Err(RpcError::internal("no grant")) };
            if !grant?.granted {
                return Err(RpcError::internal("a wait was in vain"));
            }
            times.push(at - freed);
            holder = owner;
        }
        backend.unlock("bench", &holder.to_string()).await?;
    }
    times.sort_unstable();
    let [half, most] = [times.len() / 2, times.len() * 99 / 100].map(|place| times[place]);
    println!("hand-off to {WAITERS} waiters, {name}: p50 {half:?}, p99 {most:?}, from before the unlock");
    Ok(())
}
