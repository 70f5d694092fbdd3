//! Locks in ZooKeeper.
//!
//! ```text
//! /everywire/clock                  written to learn the ensemble's time
//! /everywire/locks/6e616d65         a container, gone when it is empty
//! /everywire/locks/6e616d65/holder  who has the lock; the transaction that created it is the fencing token
//! /everywire/locks/6e616d65/w-4f…-0000000007   a call that waits: ephemeral, sequential
//! ```
//!
//! The first of those that wait watches the holder, each other one only the one before it. The holder is no ephemeral node: an
//! owner is not the server that it speaks through.

use std::{fmt::Write, sync::Arc, time::Duration};

use rpc_core::{Result, RpcError};
use tokio::sync::Mutex;
use zookeeper_client::{Acls, Client, CreateMode, CreateOptions, Error, OneshotWatcher, Stat};

use super::{
    Request,
    engine::{Engine, MAX_WAITING, STEP_TIME, Shared, Taken, from_millis, grant, step, to_millis},
    table::refused,
};
use crate::{LockGrant, LockState};

/// Locks in a ZooKeeper.
pub type ZooKeeperLocks = Shared<ZooKeeper>;

/// A server that was not heard of for so long loses the places of those who wait at it.
const SESSION_TTL: Duration = Duration::from_secs(4);
/// How often a step that others came before is begun again.
const TRIES: usize = 100;
const CLOCK: &str = "/everywire/clock";
const PERSISTENT: CreateOptions<'static> = CreateMode::Persistent.with_acls(Acls::anyone_all());
const CONTAINER: CreateOptions<'static> = CreateMode::Container.with_acls(Acls::anyone_all());
const WAITING: CreateOptions<'static> = CreateMode::EphemeralSequential.with_acls(Acls::anyone_all());

/// One ensemble.
#[derive(Debug)]
pub struct ZooKeeper {
    /// The engine in messages.
    name: String,
    hosts: String,
    /// The present session; a new one when it has ended.
    client: Mutex<Arc<Client>>,
}

/// A call's place: its node has a name that nobody else's has, so that it is found after a lost reply.
#[derive(Debug)]
pub(super) struct Place {
    prefix: String,
    watch: Option<OneshotWatcher>,
}

/// What stands in a holder's node.
#[derive(Debug)]
struct Holder {
    owner: String,
    holds: i64,
    ttl: i64,
    until: i64,
    stat: Stat,
}

impl ZooKeeper {
    /// Connects to `zookeeper://HOST:PORT,HOST:PORT,…`.
    pub async fn connect(url: &str) -> Result<Self> {
        let hosts = url.trim_start_matches("zookeeper://").to_owned();
        let client = session(url, &hosts).await?;
        let install = async {
            for path in ["/everywire", "/everywire/locks", CLOCK] {
                match client.create(path, b"", &PERSISTENT).await {
                    Ok(_) | Err(Error::NodeExists) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        };
        step(url, install).await?;
        Ok(Self { name: url.to_owned(), hosts, client: Mutex::new(client.into()) })
    }

    async fn client(&self) -> Result<Arc<Client>> {
        let mut client = self.client.lock().await;
        if client.state().is_terminated() {
            *client = session(&self.name, &self.hosts).await?.into();
        }
        Ok(Arc::clone(&client))
    }

    /// Attempts a step until nobody else comes before it.
    async fn attempt<T, F>(&self, attempt: impl Fn(Arc<Client>) -> F) -> Result<T>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let client = self.client().await?;
        let attempts = async {
            for _ in 0..TRIES {
                match attempt(Arc::clone(&client)).await {
                    Err(Error::BadVersion | Error::NoNode | Error::NodeExists) => {}
                    outcome => return outcome,
                }
            }
            Err(Error::Timeout)
        };
        step(&self.name, attempts).await
    }
}

async fn session(engine: &str, hosts: &str) -> Result<Client> {
    let connector = Client::connector().with_session_timeout(SESSION_TTL).with_connection_timeout(STEP_TIME);
    step(engine, connector.connect(hosts)).await
}

fn directory(name: &str) -> String {
    name.bytes().fold("/everywire/locks/".to_owned(), |mut path, byte| {
        let _ = write!(path, "{byte:02x}");
        path
    })
}

fn holder_of(directory: &str) -> String {
    format!("{directory}/holder")
}

/// The time of the ensemble, in milliseconds.
async fn now(client: &Client) -> Result<i64, Error> {
    client.set_data(CLOCK, b"", None).await.map(|stat| stat.mtime)
}

/// The nodes of those who wait, in order.
async fn queue(client: &Client, directory: &str) -> Result<Vec<String>, Error> {
    let mut nodes = match client.list_children(directory).await {
        Err(Error::NoNode) => Vec::new(),
        found => found?,
    };
    nodes.retain(|node| node.starts_with("w-"));
    nodes.sort_unstable_by(|one, other| sequence(one).cmp(sequence(other)));
    Ok(nodes)
}

fn sequence(node: &str) -> &str {
    node.rsplit_once('-').map_or("", |(_, sequence)| sequence)
}

/// A lease begins when its node is created, until it is renewed.
const FROM_CREATION: i64 = 0;

impl Holder {
    async fn of(client: &Client, directory: &str) -> Result<Option<Self>, Error> {
        match client.get_data(&holder_of(directory)).await {
            Err(Error::NoNode) => Ok(None),
            found => found.map(|(data, stat)| Self::read(&data, stat)),
        }
    }

    /// Somebody else's node is no holder.
    fn read(data: &[u8], stat: Stat) -> Option<Self> {
        let mut fields = std::str::from_utf8(data).ok()?.splitn(4, ' ');
        let mut number = || fields.next()?.parse::<i64>().ok();
        let (holds, ttl, until) = (number()?, number()?, number()?);
        let until = if until == FROM_CREATION { stat.ctime + ttl } else { until };
        Some(Self { owner: fields.next()?.to_owned(), holds, ttl, until, stat })
    }

    fn written(owner: &str, holds: i64, ttl: i64, until: i64) -> Vec<u8> {
        format!("{holds} {ttl} {until} {owner}").into_bytes()
    }

    async fn write(&self, client: &Client, directory: &str) -> Result<(), Error> {
        let data = Self::written(&self.owner, self.holds, self.ttl, self.until);
        client.set_data(&holder_of(directory), &data, Some(self.stat.version)).await.map(drop)
    }

    async fn delete(&self, client: &Client, directory: &str) -> Result<(), Error> {
        client.delete(&holder_of(directory), Some(self.stat.version)).await
    }

    /// What is left of the lease.
    fn rest(&self, now: i64) -> Duration {
        from_millis(self.until - now)
    }
}

/// Takes the lock if nobody has it and nobody, or only `mine`, waits for it: the token.
async fn create(client: &Client, directory: &str, request: &Request, mine: Option<&str>) -> Result<i64, Error> {
    let (holder, ttl) = (holder_of(directory), to_millis(request.ttl));
    let data = Holder::written(&request.owner, 1, ttl, FROM_CREATION);
    let Some(mine) = mine else {
        return match client.create(&holder, &data, &PERSISTENT).await {
            Ok((stat, _)) => Ok(stat.czxid),
            Err(Error::NoNode) => {
                client.create(directory, b"", &CONTAINER).await?;
                Err(Error::NoNode)
            }
            Err(error) => Err(error),
        };
    };
    let mut both = client.new_multi_writer();
    both.add_delete(&format!("{directory}/{mine}"), None)?;
    both.add_create(&holder, &data, &PERSISTENT)?;
    both.commit().await?;
    // The answer to several writes has no numbers.
    Ok(client.check_stat(&holder).await?.map_or(0, |stat| stat.czxid))
}

/// One more hold for the owner; the lease never gets shorter by it.
async fn reenter(
    client: &Client,
    directory: &str,
    request: &Request,
    held: Holder,
    now: i64,
) -> Result<LockGrant, Error> {
    let until = held.until.max(now + to_millis(request.ttl));
    let again = Holder { holds: held.holds + 1, until, ..held };
    again.write(client, directory).await?;
    Ok(grant(request, again.stat.czxid, again.holds, until - now))
}

/// Takes the lock, or says whose it is and who waits for it.
async fn look(client: &Client, directory: &str, request: &Request, prefix: Option<&str>) -> Result<Look, Error> {
    let held = Holder::of(client, directory).await?;
    let now = if held.is_some() { now(client).await? } else { 0 };
    let queue = queue(client, directory).await?;
    let mine = prefix.and_then(|prefix| queue.iter().position(|node| node.starts_with(prefix)));
    let Some(held) = held else {
        if queue.is_empty() || mine == Some(0) {
            let mine = mine.map(|mine| queue[mine].as_str());
            let token = create(client, directory, request, mine).await?;
            return Ok(Look::Granted(grant(request, token, 1, to_millis(request.ttl))));
        }
        return Ok(Look::Held { rest: Duration::ZERO, queue, mine });
    };
    let rest = held.rest(now);
    if rest.is_zero() {
        held.delete(client, directory).await?;
        return Err(Error::BadVersion);
    }
    if held.owner != request.owner {
        return Ok(Look::Held { rest, queue, mine });
    }
    let grant = reenter(client, directory, request, held, now).await?;
    if let Some(mine) = mine {
        client.delete(&format!("{directory}/{}", queue[mine]), None).await?;
    }
    Ok(Look::Granted(grant))
}

enum Look {
    Granted(LockGrant),
    Held { rest: Duration, queue: Vec<String>, mine: Option<usize> },
}

impl ZooKeeper {
    /// Stands in the queue, and watches whom it waits for.
    async fn wait(
        client: &Client,
        directory: &str,
        request: &Request,
        place: &mut Place,
    ) -> Result<Option<Taken>, Error> {
        let (rest, queue, mine) = match look(client, directory, request, Some(&place.prefix)).await? {
            Look::Granted(grant) => return Ok(Some(Taken::Granted(grant))),
            Look::Held { rest, queue, mine } => (rest, queue, mine),
        };
        let Some(mine) = mine else {
            if queue.len() >= MAX_WAITING as usize {
                return Ok(None);
            }
            match client.create(&format!("{directory}/{}", place.prefix), b"", &WAITING).await {
                Err(Error::NoNode) => client.create(directory, b"", &CONTAINER).await.map(drop)?,
                created => created.map(drop)?,
            }
            return Err(Error::BadVersion);
        };
        let before = if mine == 0 { "holder" } else { &queue[mine - 1] };
        let (there, watch) = client.check_and_watch_stat(&format!("{directory}/{before}")).await?;
        if there.is_none() {
            return Err(Error::BadVersion);
        }
        place.watch = Some(watch);
        Ok(Some(Taken::Held { rest, again: (mine == 0).then_some(rest + Duration::from_millis(1)) }))
    }
}

impl Engine for ZooKeeper {
    type Place = Place;

    fn name(&self) -> &str {
        &self.name
    }

    fn place(&self) -> Place {
        Place { prefix: format!("w-{}-", uuid::Uuid::new_v4().simple()), watch: None }
    }

    async fn take(&self, request: &Request, place: Option<&mut Place>) -> Result<Taken> {
        let directory = directory(&request.name);
        let (directory, full) =
            (&directory, || RpcError::resource_exhausted(format!("{MAX_WAITING} calls wait for this lock already")));
        let Some(place) = place else {
            let look = self.attempt(|client| async move { look(&client, directory, request, None).await }).await?;
            return Ok(match look {
                Look::Granted(grant) => Taken::Granted(grant),
                Look::Held { rest, .. } => Taken::Held { rest, again: None },
            });
        };
        let place = Mutex::new(place);
        let place = &place;
        let wait =
            |client: Arc<Client>| async move { Self::wait(&client, directory, request, *place.lock().await).await };
        self.attempt(wait).await?.ok_or_else(full)
    }

    async fn woken(&self, place: &mut Place) {
        match place.watch.take() {
            Some(watch) => drop(watch.changed().await),
            None => std::future::pending().await,
        }
    }

    async fn leave(&self, request: &Request, place: &Place) -> Result<()> {
        let (directory, prefix) = (&directory(&request.name), &place.prefix);
        let leave = |client: Arc<Client>| async move {
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
            let held = Holder::of(&client, directory).await?.filter(|held| held.owner == owner);
            let Some(held) = held else { return Ok(false) };
            if held.rest(now(&client).await?).is_zero() {
                return Ok(false);
            } else if held.holds > 1 {
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
            let Some(held) = Holder::of(&client, directory).await? else {
                return Ok(refused(request.owner.clone(), None));
            };
            let now = now(&client).await?;
            let rest = held.rest(now);
            if rest.is_zero() || held.owner != request.owner {
                return Ok(refused(request.owner.clone(), Some(rest)));
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
        let look = |client: Arc<Client>| async move {
            let held = Holder::of(&client, directory).await?;
            let now = if held.is_some() { now(&client).await? } else { 0 };
            let waiting = queue(&client, directory).await?.len().try_into().unwrap_or(u32::MAX);
            let free = LockState { held: false, owner: None, token: 0, held_ms: 0, ttl_ms: 0, waiting };
            Ok(held.filter(|held| !held.rest(now).is_zero()).map_or(free, |held| LockState {
                held: true,
                token: held.stat.czxid.unsigned_abs(),
                held_ms: now.saturating_sub(held.stat.ctime).max(0).unsigned_abs(),
                ttl_ms: u64::try_from(held.rest(now).as_millis()).unwrap_or(u64::MAX),
                owner: Some(held.owner),
                waiting,
            }))
        };
        self.attempt(look).await
    }
}
