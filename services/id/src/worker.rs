//! Leased worker ids, so that no two servers have the same one.
//!
//! Each worker id is a lock. It is taken for longer than it is used, and never released: a server stops making ids when
//! [`hold`](LeaseTimes::hold) has passed since it last asked, and the lock ends [`rest`](LeaseTimes::rest) later. So a free worker
//! id has been unused for that long, whether its server ended, crashed or lost the engine, and the next server's ids are later
//! than the last one's as long as their clocks differ by less.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use everywire_core::{Result, RpcError};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};
use uuid::Uuid;

use super::Scope;
use everywire_lock::{Backend, Locks, Request};

/// The prefix of the locks of worker ids; the number follows. Clients must not use these locks.
pub const LOCKS: &str = "everywire.id.worker.";
/// The pause after a failed attempt.
const RETRY: Duration = Duration::from_millis(250);

/// How long a worker id is held, and how long it stays unused afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTimes {
    /// How long ids are made after the last request for the lock. It is renewed three times as often.
    pub hold: Duration,
    /// How long the worker id stays unused afterwards. The clocks of all servers must differ by less.
    pub rest: Duration,
}

impl Default for LeaseTimes {
    /// 20 s and 40 s.
    fn default() -> Self {
        Self { hold: Duration::from_secs(20), rest: Duration::from_secs(40) }
    }
}

/// A worker id that this process holds as long as it can renew the lock.
#[derive(Debug)]
pub struct WorkerLease {
    held: Arc<RwLock<Held>>,
    /// The address of the lock engine, for the operator.
    engine: String,
    rest: Duration,
    /// The name of the engine in errors that reach callers, who must not learn its address.
    role: String,
    /// Aborted on drop.
    _keeper: JoinSet<()>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    worker: u64,
    token: u64,
    until: Instant,
}

impl WorkerLease {
    /// Leases one of the worker ids from 0 to `max_worker` from `locks`, and renews it until this is dropped.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` if all are held, `FAILED_PRECONDITION` if the locks have no fencing tokens, `UNAVAILABLE` if their
    /// engine is.
    pub async fn acquire(locks: Arc<Backend>, max_worker: u64, times: LeaseTimes) -> Result<Self> {
        let (engine, role) = (locks.engine().unwrap_or("this process").to_owned(), locks.role().to_owned());
        let keeper = Keeper { locks, max_worker, times, owner: Uuid::new_v4().simple().to_string() };
        let held = Arc::new(RwLock::new(keeper.take().await?));
        let mut tasks = JoinSet::new();
        tasks.spawn(keeper.keep(Arc::clone(&held)));
        Ok(Self { held, engine, rest: times.rest, role, _keeper: tasks })
    }

    /// The servers among which ids with this worker id are unique.
    pub fn scope(&self) -> Scope<'_> {
        Scope::Lease { engine: &self.engine, worker: self.last_held().worker, rest: self.rest }
    }

    /// The worker id, if it is still held. Otherwise `UNAVAILABLE`.
    pub fn worker(&self) -> Result<u64> {
        let held = self.last_held();
        if Instant::now() < held.until {
            return Ok(held.worker);
        }
        let (role, worker) = (&self.role, held.worker);
        Err(RpcError::unavailable(format!(
            "the lease of the worker id {worker} from {role} is lost; ids wait for another one"
        )))
    }
}

impl WorkerLease {
    fn last_held(&self) -> Held {
        *self.held.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes and renews the lock of a worker id.
struct Keeper {
    locks: Arc<Backend>,
    max_worker: u64,
    times: LeaseTimes,
    owner: String,
}

impl Keeper {
    /// Takes any free worker id. The search begins at a random one, so that servers which start together seldom collide.
    async fn take(&self) -> Result<Held> {
        let count = self.max_worker + 1;
        let first = fastrand::u64(..count);
        for worker in (first..count).chain(0..first) {
            let sent = Instant::now();
            let grant = self.locks.lock(self.request(worker)?, Duration::ZERO).await?;
            if !grant.fenced {
                return Err(RpcError::failed_precondition(
                    "worker ids need locks with fencing tokens, which a quorum of Redises does not have",
                ));
            }
            if grant.granted {
                return Ok(Held { worker, token: grant.token, until: self.until(sent) });
            }
        }
        let LeaseTimes { hold, rest } = self.times;
        Err(RpcError::resource_exhausted(format!(
            "all {count} worker ids are held, or rest for {:?} after their server's end",
            hold + rest
        )))
    }

    /// Renews the lease forever, and takes another one when it is lost. Logs only the begin and the end of a lasting failure.
    async fn keep(self, held: Arc<RwLock<Held>>) {
        let publish = |own| *held.write().unwrap_or_else(PoisonError::into_inner) = own;
        let mut own = *held.read().unwrap_or_else(PoisonError::into_inner);
        let mut failing = false;
        loop {
            sleep_until(own.until - self.times.hold * 2 / 3).await;
            let next = match self.renewed(own).await {
                Ok(None) => {
                    // Another server may have it from now on.
                    own.until = Instant::now();
                    publish(own);
                    self.take().await
                }
                Ok(Some(renewed)) => Ok(renewed),
                Err(error) => Err(error),
            };
            match next {
                Ok(next) => {
                    own = next;
                    publish(own);
                    if failing {
                        tracing::warn!("the worker id {} is leased again", own.worker);
                    }
                    failing = false;
                }
                Err(error) => {
                    if !failing {
                        tracing::warn!("the lease of the worker id {} can't be renewed: {error}", own.worker);
                    }
                    failing = true;
                    sleep(RETRY.min(self.times.hold / 10)).await;
                }
            }
        }
    }

    /// Renews the lease. `None` if the lock is no longer the one that was granted.
    async fn renewed(&self, own: Held) -> Result<Option<Held>> {
        let sent = Instant::now();
        let grant = self.locks.renew(self.request(own.worker)?).await?;
        let same = grant.granted && grant.token == own.token;
        Ok(same.then(|| Held { until: self.until(sent), ..own }))
    }

    fn request(&self, worker: u64) -> Result<Request> {
        let ttl_ms = u64::try_from((self.times.hold + self.times.rest).as_millis()).unwrap_or(u64::MAX);
        Request::new(format!("{LOCKS}{worker}"), ttl_ms, Some(self.owner.clone()))
    }

    /// The end of the lease, a hundredth early, because clocks differ in speed.
    fn until(&self, sent: Instant) -> Instant {
        sent + self.times.hold - self.times.hold / 100
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use everywire_core::Code;
    use tokio::time::advance;

    use super::*;
    use everywire_lock::MemoryLocks;

    use crate::Snowflake;

    const TIMES: LeaseTimes = LeaseTimes { hold: Duration::from_secs(3), rest: Duration::from_secs(6) };

    fn locks() -> Arc<Backend> {
        Arc::new(MemoryLocks::default().into())
    }

    async fn lease(locks: &Arc<Backend>, max_worker: u64) -> Result<WorkerLease> {
        WorkerLease::acquire(Arc::clone(locks), max_worker, TIMES).await
    }

    #[tokio::test(start_paused = true)]
    async fn servers_that_start_together_have_a_worker_id_each() {
        let locks = locks();
        let mut starting = JoinSet::new();
        for _ in 0..64 {
            let locks = Arc::clone(&locks);
            starting.spawn(async move { lease(&locks, 63).await.unwrap() });
        }
        let leases = starting.join_all().await;
        let workers: BTreeSet<_> = leases.iter().map(|lease| lease.worker().unwrap()).collect();
        assert!(workers.iter().copied().eq(0..64));
        let error = lease(&locks, 63).await.unwrap_err();
        assert_eq!(error.message(), "all 64 worker ids are held, or rest for 9s after their server's end");
        sleep(10 * TIMES.hold).await;
        let renewed: BTreeSet<_> = leases.iter().map(|lease| lease.worker().unwrap()).collect();
        assert_eq!(renewed, workers, "each keeps its own");
        assert_eq!(lease(&locks, 63).await.unwrap_err().code(), Code::ResourceExhausted, "all were renewed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_id_stays_unused_before_another_server_has_it() {
        let locks = locks();
        let first = lease(&locks, 0).await.unwrap();
        sleep(2 * TIMES.hold).await;
        let held = first.held.read().unwrap().until;
        drop(first);
        while lease(&locks, 0).await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
        let rested = Instant::now() - held;
        assert!(rested >= TIMES.rest && rested < TIMES.rest + TIMES.hold, "{rested:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_suspended_process_makes_no_id_with_a_lost_lease() {
        let locks = locks();
        let ids = Snowflake::new(0).unwrap().leased(lease(&locks, 0).await.unwrap());
        ids.next().await.unwrap();
        advance(TIMES.hold).await;
        let error = ids.next().await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
        assert_eq!(error.message(), "the lease of the worker id 0 from this process is lost; ids wait for another one");
        sleep(Duration::from_millis(1)).await;
        ids.next().await.expect("it was renewed: no other server had it");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_lease_is_replaced_by_another() {
        let locks = locks();
        let lease = lease(&locks, 1).await.unwrap();
        let first = lease.worker().unwrap();
        let name = format!("{LOCKS}{first}");
        let state = locks.state(&name).await.unwrap();
        assert!(locks.unlock(&name, state.owner.as_deref().unwrap()).await.unwrap());
        let other = Request::new(name, 60_000, None).unwrap();
        assert!(locks.lock(other, Duration::ZERO).await.unwrap().granted);
        sleep(TIMES.hold / 2).await;
        assert_eq!(lease.worker().unwrap(), 1 - first);
    }
}
