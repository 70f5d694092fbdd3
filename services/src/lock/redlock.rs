//! Redlock: a lock is had by whoever has it at a majority of independent Redises.
//!
//! It is for efficiency only. The servers share no clock and no counter, so a clock that jumps at one of them can give the
//! lock to two owners, and the tokens have no common order: a grant says `fenced: false`.

use std::{ops::Range, time::Duration};

use futures_util::future::join_all;
use rpc_core::{Result, RpcError};
use tokio::time::{Instant, sleep, timeout};

use super::{
    MAX_TTL, Request,
    engine::{Engine, Shared, Taken},
    redis::Redis,
    table::{free, refused},
};
use crate::{LockGrant, LockState};

/// Locks of a majority of Redises.
pub type RedlockLocks = Shared<Redlock>;

/// How long one server may take: a tenth of a lease, within these.
const SERVER_TIME: Range<Duration> = Duration::from_millis(50)..Duration::from_secs(1);
/// A waiter asks again after so long, at random, so that two don't split the servers for ever.
const PAUSE: Range<u64> = 50..150;

/// An odd number of independent Redises.
#[derive(Debug)]
pub struct Redlock {
    name: String,
    servers: Vec<Redis>,
}

impl Redlock {
    /// Connects to `redlock://HOST:PORT,HOST:PORT,…`. All must answer at the start, a majority from then on.
    pub async fn connect(url: &str) -> Result<Self> {
        let hosts: Vec<&str> = url.trim_start_matches("redlock://").split(',').collect();
        if hosts.len() < 3 || hosts.len().is_multiple_of(2) {
            let count = hosts.len();
            return Err(RpcError::invalid_argument(format!(
                "{count} servers; Redlock has three or more, an odd number"
            )));
        }
        let (mut servers, mut names) = (Vec::new(), Vec::new());
        for host in hosts {
            servers.push(Redis::connect(&format!("redis://{host}")).await?);
            names.push(host.rsplit('@').next().unwrap_or(host));
        }
        Ok(Self { name: format!("redlock://{}", names.join(",")), servers })
    }

    fn majority(&self) -> usize {
        self.servers.len() / 2 + 1
    }

    /// Asks all servers at once, for a lease of `ttl`; the answers of those that gave one, if they are a majority.
    async fn ask<'a, T, F>(&'a self, ttl: Duration, ask: impl Fn(&'a Redis) -> F) -> Result<Vec<T>>
    where
        F: Future<Output = Result<T>>,
    {
        let time = (ttl / 10).clamp(SERVER_TIME.start, SERVER_TIME.end);
        let asked = join_all(self.servers.iter().map(|server| timeout(time, ask(server)))).await;
        let answers: Vec<T> = asked.into_iter().filter_map(|answer| answer.ok()?.ok()).collect();
        if answers.len() < self.majority() {
            let (count, all) = (answers.len(), self.servers.len());
            return Err(RpcError::unavailable(format!("{}: {count} of {all} servers answer", self.name)));
        }
        Ok(answers)
    }

    /// Gives back what a failed attempt may have left, everywhere.
    async fn give_back(&self, request: &Request) {
        let given_back = self.ask(MAX_TTL, |server| server.unlock(&request.name, &request.owner)).await;
        given_back.map_or_else(|error| tracing::debug!("a lock is not given back: {error}"), drop);
    }

    /// The grant of a majority whose leases last, if they do.
    fn agreed(&self, request: &Request, grants: &[LockGrant], asked: Instant) -> Option<LockGrant> {
        if grants.len() < self.majority() {
            return None;
        }
        let ttl = request.ttl;
        let validity = ttl.checked_sub(asked.elapsed() + ttl / 100 + Duration::from_millis(2))?;
        let (holds, token) =
            (grants.iter().map(|grant| grant.holds).max()?, grants.iter().map(|grant| grant.token).max()?);
        let (owner, ttl_ms) = (request.owner.clone(), u64::try_from(validity.as_millis()).unwrap_or(u64::MAX));
        (ttl_ms > 0).then_some(LockGrant { granted: true, owner, token, ttl_ms, holds, fenced: false })
    }
}

impl Engine for Redlock {
    type Place = ();

    fn name(&self) -> &str {
        &self.name
    }

    fn place(&self) {}

    async fn take(&self, request: &Request, _: Option<&mut ()>) -> Result<Taken> {
        let asked = Instant::now();
        let answers = match self.ask(request.ttl, |server| server.take(request, None)).await {
            Ok(answers) => answers,
            Err(error) => {
                self.give_back(request).await;
                return Err(error);
            }
        };
        let (mut grants, mut longest) = (Vec::new(), Duration::ZERO);
        for answer in answers {
            match answer {
                Taken::Granted(grant) => grants.push(grant),
                Taken::Held { rest, .. } => longest = longest.max(rest),
            }
        }
        let some = !grants.is_empty();
        if let Some(grant) = self.agreed(request, &grants, asked) {
            return Ok(Taken::Granted(grant));
        }
        if some {
            self.give_back(request).await;
        }
        let pause = PAUSE.start + uuid::Uuid::new_v4().as_u64_pair().0 % (PAUSE.end - PAUSE.start);
        Ok(Taken::Held { rest: longest, again: Some(Duration::from_millis(pause)) })
    }

    /// Nobody tells a waiter; it asks again.
    async fn woken(&self, (): &mut ()) {
        sleep(super::MAX_WAIT).await;
    }

    async fn leave(&self, _: &Request, (): &()) -> Result<()> {
        Ok(())
    }

    async fn unlock(&self, name: &str, owner: &str) -> Result<bool> {
        let answers = self.ask(MAX_TTL, |server| server.unlock(name, owner)).await?;
        Ok(answers.into_iter().filter(|had| *had).count() >= self.majority())
    }

    async fn renew(&self, request: &Request) -> Result<LockGrant> {
        let asked = Instant::now();
        let (granted, others): (Vec<_>, Vec<_>) =
            self.ask(request.ttl, |server| server.renew(request)).await?.into_iter().partition(|grant| grant.granted);
        Ok(self.agreed(request, &granted, asked).unwrap_or_else(|| {
            let rest = others.iter().map(|other| other.ttl_ms).max();
            refused(request.owner.clone(), rest.map(Duration::from_millis))
        }))
    }

    /// What a majority says of the same owner.
    async fn state(&self, name: &str) -> Result<LockState> {
        let states = self.ask(MAX_TTL, |server| server.state(name)).await?;
        let agrees =
            |one: &&LockState| states.iter().filter(|other| other.owner == one.owner).count() >= self.majority();
        Ok(states.iter().find(agrees).cloned().unwrap_or(free(0)))
    }
}
