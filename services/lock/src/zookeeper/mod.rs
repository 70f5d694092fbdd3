//! Locks in ZooKeeper.
//!
//! ```text
//! /everywire/clock                  written to read the ensemble's time
//! /everywire/locks/6e616d65         one lock, never deleted; its version counts the grants
//! /everywire/locks/6e616d65/holder  the holder; the transaction that created it is the fencing token
//! /everywire/locks/6e616d65/w-4f…-0000000007   a waiting call: ephemeral, sequential
//! ```
//!
//! The first waiter watches the holder, every other waiter only the one before it. The holder's node is not ephemeral, because
//! an owner does not depend on the server that it talks to.

mod nodes;

use std::{sync::Arc, time::Duration};

use everywire_core::{Result, RpcError};
use tokio::{sync::Mutex, time::timeout};
use zookeeper_client::{Acls, Client, CreateMode, CreateOptions, Error, OneshotWatcher};

use self::nodes::{CLOCK, Holder, Look, PERSISTENT, directory, look, now, queue};
use everywire_engines::{
    failure::{Failure, Names},
    reconnect::{Connect, Health, Reconnecting},
};

use crate::{
    LockGrant, LockState, Request,
    engine::{Engine, MAX_WAITING, Shared, Taken, grant, queue_is_full, to_millis},
    table::{free, not_granted},
    watch::Observe,
};

/// Locks in a ZooKeeper.
pub type ZooKeeperLocks = Shared<ZooKeeper>;

/// After this time without contact to a server, the ensemble removes its waiters from their queues.
const SESSION_TTL: Duration = Duration::from_secs(4);
/// The most time for a new session. Shorter than [`STEP_TIME`](everywire_engines::reconnect::STEP_TIME), so that the error says
/// what failed.
const SESSION_TIME: Duration = Duration::from_millis(2_500);
/// The most attempts at a step that keeps losing races against others.
const TRIES: usize = 100;
const WAITING: CreateOptions<'static> = CreateMode::EphemeralSequential.with_acls(Acls::anyone_all());

/// One ensemble.
#[derive(Debug)]
pub struct ZooKeeper(Reconnecting<Connector>);

#[derive(Debug)]
struct Connector {
    hosts: String,
}

/// A waiting call. Its node has a unique name prefix, so that it can be found after a lost reply.
#[derive(Debug)]
pub(super) struct Waiter {
    prefix: String,
    watch: Option<OneshotWatcher>,
}

impl ZooKeeper {
    /// Connects to `zookeeper://HOST:PORT,HOST:PORT,…`.
    pub async fn connect(url: &str) -> Result<Self> {
        let hosts = url.trim_start_matches("zookeeper://").to_owned();
        if hosts.contains('@') {
            return Err(RpcError::invalid_argument("a ZooKeeper has no users here; expected zookeeper://HOST:PORT,…"));
        }
        let names = Names::new(url.to_owned(), "the ZooKeeper that keeps the locks");
        Ok(Self(Reconnecting::connect(Connector { hosts }, names).await?))
    }

    /// Attempts a step until no other write interferes.
    async fn attempt<T, F>(&self, attempt: impl Fn(Arc<Client>) -> F) -> Result<T>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let attempt = &attempt;
        let attempts = |client: Arc<Client>| async move {
            for _ in 0..TRIES {
                match attempt(Arc::clone(&client)).await {
                    Err(Error::BadVersion | Error::NoNode | Error::NodeExists) => {}
                    outcome => return outcome.map_err(|error| failure(&error)),
                }
            }
            Err(Failure::Rejected(format!("others came first in each of {TRIES} tries")))
        };
        self.0.run(attempts).await
    }
}

impl Connect for Connector {
    type Connection = Arc<Client>;

    /// Reuses the session if it is alive: sessions outlive connections, and waiting calls keep their positions as long as the
    /// session lives.
    async fn connect(&self, last: Option<&Arc<Client>>, _: &Health) -> Result<Arc<Client>, Failure> {
        if let Some(last) = last.filter(|last| Self::is_usable(last)) {
            now(last).await.map_err(|error| failure(&error))?;
            return Ok(Arc::clone(last));
        }
        let client = session(&self.hosts).await?;
        for path in ["/everywire", "/everywire/locks", CLOCK] {
            match client.create(path, b"", &PERSISTENT).await {
                Ok(_) | Err(Error::NodeExists) => {}
                Err(error) => return Err(failure(&error)),
            }
        }
        Ok(client.into())
    }

    fn is_usable(client: &Arc<Client>) -> bool {
        !client.state().is_terminated()
    }
}

async fn session(hosts: &str) -> Result<Client, Failure> {
    let connecting = Client::connector().with_session_timeout(SESSION_TTL).connect(hosts);
    match timeout(SESSION_TIME, connecting).await.unwrap_or(Err(Error::Timeout)) {
        Ok(client) => Ok(client),
        // A server without a quorum closes the connection without a message, even if it serves reads.
        Err(error @ (Error::NoHosts | Error::Timeout | Error::ConnectionLoss)) => {
            Err(Failure::Lost(format!("no server takes a session ({error}): none runs, or none has a quorum")))
        }
        Err(error) => Err(failure(&error)),
    }
}

fn failure(error: &Error) -> Failure {
    let words = error.to_string();
    match error {
        Error::NoAuth
        | Error::InvalidAcl
        | Error::QuotaExceeded
        | Error::BadArguments(_)
        | Error::Throttled
        | Error::Unimplemented => Failure::Rejected(words),
        Error::NotReadOnly => Failure::Unfit(words),
        _ => Failure::Lost(words),
    }
}

impl ZooKeeper {
    /// Joins the queue and watches the node before it.
    async fn wait(
        client: &Client,
        directory: &str,
        request: &Request,
        waiter: &mut Waiter,
    ) -> Result<Option<Taken>, Error> {
        let (rest, queue, mine) = match look(client, directory, request, Some(&waiter.prefix)).await? {
            Look::Granted(grant) => return Ok(Some(Taken::Granted(grant))),
            Look::Held { rest, queue, mine } => (rest, queue, mine),
        };
        let Some(mine) = mine else {
            if queue.len() >= MAX_WAITING as usize {
                return Ok(None);
            }
            match client.create(&format!("{directory}/{}", waiter.prefix), b"", &WAITING).await {
                Err(Error::NoNode) => client.create(directory, b"", &PERSISTENT).await.map(drop)?,
                created => created.map(drop)?,
            }
            return Err(Error::BadVersion);
        };
        let before = if mine == 0 { "holder" } else { &queue[mine - 1] };
        let (there, watch) = client.check_and_watch_stat(&format!("{directory}/{before}")).await?;
        if there.is_none() {
            return Err(Error::BadVersion);
        }
        waiter.watch = Some(watch);
        // No event tells the first waiter that a lease ends early because the clock was set.
        let again = (mine == 0).then_some(rest.min(SESSION_TTL) + Duration::from_millis(1));
        Ok(Some(Taken::Held { rest, again }))
    }
}

impl Observe for ZooKeeper {
    type Watch = Option<OneshotWatcher>;

    fn watch(&self, _: &str) -> Option<OneshotWatcher> {
        None
    }

    async fn look(&self, name: &str, watch: &mut Option<OneshotWatcher>) -> Result<LockState> {
        let directory = &directory(name);
        let look = |client: Arc<Client>| async move {
            let (_, watch) = client.check_and_watch_stat(&format!("{directory}/holder")).await?;
            Ok((watch, state(&client, directory).await?))
        };
        let (set, state) = self.attempt(look).await?;
        *watch = Some(set);
        Ok(state)
    }

    async fn changed(&self, watch: &mut Option<OneshotWatcher>) {
        fired(watch).await;
    }
}

/// Completes when a watch has fired.
async fn fired(watch: &mut Option<OneshotWatcher>) {
    match watch.take() {
        Some(watch) => drop(watch.changed().await),
        None => std::future::pending().await,
    }
}

/// The state of a lock.
async fn state(client: &Client, directory: &str) -> Result<LockState, Error> {
    let now = now(client).await?;
    let held = Holder::of(client, directory).await?;
    let waiting = queue(client, directory).await?.len().try_into().unwrap_or(u32::MAX);
    Ok(held.filter(|held| !held.rest(now).is_zero()).map_or(free(waiting), |held| LockState {
        held: true,
        token: held.stat.czxid.unsigned_abs(),
        held_ms: now.saturating_sub(held.stat.ctime).max(0).unsigned_abs(),
        ttl_ms: u64::try_from(held.rest(now).as_millis()).unwrap_or(u64::MAX),
        owner: Some(held.owner),
        waiting,
    }))
}

impl Engine for ZooKeeper {
    type Waiter = Waiter;

    fn names(&self) -> &Names {
        self.0.names()
    }

    fn waiter(&self) -> Waiter {
        Waiter { prefix: format!("w-{}-", uuid::Uuid::new_v4().simple()), watch: None }
    }

    async fn take(&self, request: &Request, waiter: Option<&mut Waiter>) -> Result<Taken> {
        let directory = &directory(&request.name);
        let Some(waiter) = waiter else {
            let look = self.attempt(|client| async move { look(&client, directory, request, None).await }).await?;
            return Ok(match look {
                Look::Granted(grant) => Taken::Granted(grant),
                Look::Held { rest, .. } => Taken::Held { rest, again: None },
            });
        };
        let waiter = Mutex::new(waiter);
        let waiter = &waiter;
        let wait =
            |client: Arc<Client>| async move { Self::wait(&client, directory, request, *waiter.lock().await).await };
        self.attempt(wait).await?.ok_or_else(queue_is_full)
    }

    async fn woken(&self, waiter: &mut Waiter) {
        fired(&mut waiter.watch).await;
    }

    async fn leave(&self, request: &Request, waiter: &Waiter) -> Result<()> {
        let (directory, prefix) = (&directory(&request.name), &waiter.prefix);
        let leave = |client: Arc<Client>| async move {
            now(&client).await?;
            for node in queue(&client, directory).await?.iter().filter(|node| node.starts_with(prefix)) {
                client.delete(&format!("{directory}/{node}"), None).await?;
            }
            Ok(())
        };
        self.attempt(leave).await
    }

    async fn unlock(&self, name: &str, owner: &str) -> Result<bool> {
        let directory = &directory(name);
        let unlock = |client: Arc<Client>| async move {
            let now = now(&client).await?;
            let held = Holder::of(&client, directory).await?;
            let held = held.filter(|held| held.owner == owner && !held.rest(now).is_zero());
            let Some(held) = held else { return Ok(false) };
            if held.holds > 1 {
                Holder { holds: held.holds - 1, ..held }.write(&client, directory).await?;
            } else {
                held.delete(&client, directory).await?;
            }
            Ok(true)
        };
        self.attempt(unlock).await
    }

    async fn renew(&self, request: &Request) -> Result<LockGrant> {
        let directory = &directory(&request.name);
        let renew = |client: Arc<Client>| async move {
            let now = now(&client).await?;
            let Some(held) = Holder::of(&client, directory).await? else {
                return Ok(not_granted(request.owner.clone(), None));
            };
            let rest = held.rest(now);
            if rest.is_zero() || held.owner != request.owner {
                return Ok(not_granted(request.owner.clone(), Some(rest)));
            }
            let ttl = to_millis(request.ttl);
            let renewed = Holder { until: now + ttl, ..held };
            renewed.write(&client, directory).await?;
            Ok(grant(request, renewed.stat.czxid, renewed.holds, ttl))
        };
        self.attempt(renew).await
    }

    async fn state(&self, name: &str) -> Result<LockState> {
        let directory = &directory(name);
        self.attempt(|client: Arc<Client>| async move { state(&client, directory).await }).await
    }
}
