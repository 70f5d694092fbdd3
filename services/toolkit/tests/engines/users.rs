//! What needs an engine: locks, ids and the limiter.

use std::{sync::Arc, time::Duration};

use everywire_core::Result;
use everywire_id::{Ids, Settings};
use everywire_limiter::RedisLimiter;
use everywire_lock::{Backend, Locks, Request};

/// One of them, by its flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Locks,
    Ids,
    Segments,
    Increments,
    Limiter,
}

impl Use {
    /// How callers know an engine that has this use.
    pub(crate) fn role(self, engine: &str) -> String {
        let uses = match self {
            Self::Locks => "keeps the locks",
            Self::Ids | Self::Segments | Self::Increments => "makes the ids",
            Self::Limiter => "counts for the limiter",
        };
        format!("the {engine} that {uses}")
    }

    pub(crate) async fn connect(self, url: &str) -> Result<User> {
        let ids = async |prefix: &str| Ids::connect(&format!("{prefix}{url}"), Settings::default()).await;
        Ok(match self {
            Self::Locks => User::Locks(Arc::new(Backend::connect(url).await?)),
            Self::Ids => User::Ids(Box::new(ids("").await?)),
            Self::Segments => User::Ids(Box::new(ids("segment+").await?)),
            Self::Increments => User::Ids(Box::new(ids("increment+").await?)),
            Self::Limiter => User::Limiter(RedisLimiter::connect(url, 1_000, Duration::from_secs(1)).await?),
        })
    }
}

pub(crate) enum User {
    Locks(Arc<Backend>),
    Ids(Box<Ids>),
    Limiter(RedisLimiter),
}

impl User {
    /// One call, which writes in the engine: now, or with segments after some.
    pub(crate) async fn call(&self) -> Result<()> {
        match self {
            Self::Locks(locks) => locks.lock(request("user"), Duration::ZERO).await.map(drop),
            Self::Ids(ids) => ids.next_many(100_000).await.map(drop),
            Self::Limiter(limiter) => limiter.acquire("user", 1).await.map(drop),
        }
    }
}

pub(crate) fn request(owner: &str) -> Request {
    Request::new("user".to_owned(), 60_000, Some(owner.to_owned())).unwrap()
}
