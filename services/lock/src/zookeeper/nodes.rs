//! The nodes of a lock and their contents.

use std::{fmt::Write, time::Duration};

use zookeeper_client::{Acls, Client, CreateMode, CreateOptions, Error, Stat};

use crate::{
    LockGrant, Request,
    engine::{from_millis, grant, to_millis},
};

/// The node that is written to read the time.
pub(super) const CLOCK: &str = "/everywire/clock";
pub(super) const PERSISTENT: CreateOptions<'static> = CreateMode::Persistent.with_acls(Acls::anyone_all());

pub(super) fn directory(name: &str) -> String {
    name.bytes().fold("/everywire/locks/".to_owned(), |mut path, byte| {
        let _ = write!(path, "{byte:02x}");
        path
    })
}

fn holder_of(directory: &str) -> String {
    format!("{directory}/holder")
}

/// The time of the ensemble, in milliseconds. Reads after it are at least as recent: a server replies in order, and it applies
/// earlier writes before this one.
pub(super) async fn now(client: &Client) -> Result<i64, Error> {
    client.set_data(CLOCK, b"", None).await.map(|stat| stat.mtime)
}

/// The nodes of the waiters, in order.
pub(super) async fn queue(client: &Client, directory: &str) -> Result<Vec<String>, Error> {
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

/// The contents of a holder's node.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) owner: String,
    pub(super) holds: i64,
    pub(super) ttl: i64,
    pub(super) until: i64,
    pub(super) stat: Stat,
    /// The version of the directory. Each grant raises it, whereas the version of a new holder's node starts at 0 again.
    pub(super) grants: i32,
}

/// In place of an end: the lease runs from the creation of the node, because it was never renewed.
const FROM_CREATION: i64 = 0;

impl Holder {
    /// Reads the holder; `None` if the lock is free. Reads the directory first, so that a later grant is noticed.
    pub(super) async fn of(client: &Client, directory: &str) -> Result<Option<Self>, Error> {
        let Some(of) = client.check_stat(directory).await? else { return Ok(None) };
        match client.get_data(&holder_of(directory)).await {
            Err(Error::NoNode) => Ok(None),
            found => found.map(|(data, stat)| Self::read(&data, stat, of.version)),
        }
    }

    /// Parses a holder's node; `None` if another program wrote it.
    fn read(data: &[u8], stat: Stat, grants: i32) -> Option<Self> {
        let mut fields = std::str::from_utf8(data).ok()?.splitn(4, ' ');
        let mut number = || fields.next()?.parse::<i64>().ok();
        let (holds, ttl, until) = (number()?, number()?, number()?);
        let until = if until == FROM_CREATION { stat.ctime + ttl } else { until };
        Some(Self { owner: fields.next()?.to_owned(), holds, ttl, until, stat, grants })
    }

    fn written(owner: &str, holds: i64, ttl: i64, until: i64) -> Vec<u8> {
        format!("{holds} {ttl} {until} {owner}").into_bytes()
    }

    pub(super) async fn write(&self, client: &Client, directory: &str) -> Result<(), Error> {
        let data = Self::written(&self.owner, self.holds, self.ttl, self.until);
        let mut writes = client.new_multi_writer();
        writes.add_check_version(directory, self.grants)?;
        writes.add_set_data(&holder_of(directory), &data, Some(self.stat.version))?;
        Ok(writes.commit().await.map(drop)?)
    }

    pub(super) async fn delete(&self, client: &Client, directory: &str) -> Result<(), Error> {
        let mut writes = client.new_multi_writer();
        writes.add_check_version(directory, self.grants)?;
        writes.add_delete(&holder_of(directory), Some(self.stat.version))?;
        Ok(writes.commit().await.map(drop)?)
    }

    /// The rest of the lease.
    pub(super) fn rest(&self, now: i64) -> Duration {
        from_millis(self.until - now)
    }
}

/// Takes a free lock that no call but `mine` waits for, and returns the token.
async fn create(client: &Client, directory: &str, request: &Request, mine: Option<&str>) -> Result<i64, Error> {
    let (holder, ttl) = (holder_of(directory), to_millis(request.ttl));
    let data = Holder::written(&request.owner, 1, ttl, FROM_CREATION);
    if mine.is_none() && client.check_stat(directory).await?.is_none() {
        client.create(directory, b"", &PERSISTENT).await?;
    }
    let mut writes = client.new_multi_writer();
    writes.add_set_data(directory, b"", None)?;
    if let Some(mine) = mine {
        writes.add_delete(&format!("{directory}/{mine}"), None)?;
    }
    writes.add_create(&holder, &data, &PERSISTENT)?;
    writes.commit().await?;
    // The reply to several writes has no transaction id, and the node may be another owner's by now.
    let held = Holder::of(client, directory).await?.filter(|held| held.owner == request.owner);
    held.map(|held| held.stat.czxid).ok_or(Error::BadVersion)
}

/// Adds one hold for the owner. This never shortens the lease.
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

/// Takes the lock, or reports the holder and the queue.
pub(super) async fn look(
    client: &Client,
    directory: &str,
    request: &Request,
    prefix: Option<&str>,
) -> Result<Look, Error> {
    let now = now(client).await?;
    let held = Holder::of(client, directory).await?;
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

pub(super) enum Look {
    Granted(LockGrant),
    Held { rest: Duration, queue: Vec<String>, mine: Option<usize> },
}
