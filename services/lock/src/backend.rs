//! The backend, selected by a URL.

use std::{sync::Arc, time::Duration};

use everywire_core::{Result, RpcError, Streaming};
#[cfg(feature = "shared")]
use everywire_engines::failure::Names;
use everywire_engines::supported_redis_url;

#[cfg(feature = "shared")]
use crate::engine::Engine;
use crate::{LockChange, LockGrant, LockState, Locks, MemoryLocks, Request};

/// The URL schemes of all engines, including those not built in.
const ENGINES: [&str; 5] = ["redis", "redlock", "postgres", "mysql", "zookeeper"];

/// One of the backends.
#[derive(Debug)]
pub enum Backend {
    /// This process.
    Memory(Arc<MemoryLocks>),
    /// A Redis.
    #[cfg(feature = "redis")]
    Redis(crate::RedisLocks),
    /// A majority of independent Redises.
    #[cfg(feature = "redis")]
    Redlock(crate::RedlockLocks),
    /// A PostgreSQL.
    #[cfg(feature = "postgres")]
    Postgres(crate::PostgresLocks),
    /// A MariaDB.
    #[cfg(feature = "mariadb")]
    MariaDb(crate::MariaDbLocks),
    /// A ZooKeeper.
    #[cfg(feature = "zookeeper")]
    ZooKeeper(crate::ZooKeeperLocks),
}

impl Backend {
    /// Connects to the engine at `url`:
    ///
    /// | URL | engine |
    /// |---|---|
    /// | `redis://[USER:PASSWORD@]HOST:PORT[/DB]` | Redis |
    /// | `redlock://HOST:PORT,HOST:PORT,…` | a majority of independent Redises |
    /// | `postgres://USER[:PASSWORD]@HOST:PORT/DATABASE` | PostgreSQL |
    /// | `mysql://USER[:PASSWORD]@HOST:PORT/DATABASE` | MariaDB |
    /// | `zookeeper://HOST:PORT,…` | ZooKeeper |
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for an invalid URL, `UNIMPLEMENTED` for an engine that was not built in, `UNAVAILABLE` for one that
    /// does not answer, `FAILED_PRECONDITION` for one that lacks what is needed, such as a read-only replica.
    #[cfg_attr(not(feature = "shared"), expect(clippy::unused_async, reason = "no engine is built in"))]
    pub async fn connect(url: &str) -> Result<Self> {
        let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
        match scheme {
            #[cfg(feature = "redis")]
            "redis" => Ok(Self::Redis(crate::redis::Redis::connect(url).await?.into())),
            #[cfg(feature = "redis")]
            "redlock" => Ok(Self::Redlock(crate::redlock::Redlock::connect(url).await?.into())),
            #[cfg(feature = "postgres")]
            "postgres" | "postgresql" => Ok(Self::Postgres(crate::postgres::Postgres::connect(url).await?.into())),
            #[cfg(feature = "mariadb")]
            "mysql" | "mariadb" => Ok(Self::MariaDb(crate::mariadb::MariaDb::connect(url).await?.into())),
            #[cfg(feature = "zookeeper")]
            "zookeeper" => Ok(Self::ZooKeeper(crate::zookeeper::ZooKeeper::connect(url).await?.into())),
            _ if ENGINES.contains(&scheme) => Err(RpcError::unimplemented(format!(
                "this program was built without {scheme}; `cargo build --features engines` has all engines"
            ))),
            _ if let Some(instead) = supported_redis_url(scheme) => {
                Err(RpcError::invalid_argument(format!("`{scheme}://`: {instead}")))
            }
            _ => Err(RpcError::invalid_argument(format!(
                "unknown lock engine `{scheme}`; expected a URL that begins with one of {}://",
                ENGINES.join("://, ")
            ))),
        }
    }
}

impl Backend {
    /// The changes of the lock `name`, beginning with its state now. The trait `Toolkit` documents what a watcher may miss.
    ///
    /// A failure of the engine is the last item: `UNAVAILABLE`. At most 1,024 locks are watched, and by at most 16,384 watchers.
    /// Beyond these limits a call is `RESOURCE_EXHAUSTED`.
    pub async fn watch(&self, name: String) -> Result<Streaming<LockChange>> {
        match self {
            Self::Memory(locks) => locks.watch(name).await,
            #[cfg(feature = "redis")]
            Self::Redis(locks) => locks.watches.watch(&locks.engine, name).await,
            #[cfg(feature = "redis")]
            Self::Redlock(locks) => locks.watches.watch(&locks.engine, name).await,
            #[cfg(feature = "postgres")]
            Self::Postgres(locks) => locks.watches.watch(&locks.engine, name).await,
            #[cfg(feature = "mariadb")]
            Self::MariaDb(locks) => locks.watches.watch(&locks.engine, name).await,
            #[cfg(feature = "zookeeper")]
            Self::ZooKeeper(locks) => locks.watches.watch(&locks.engine, name).await,
        }
    }

    /// The engine's address, without a password. `None` if locks are kept in this process.
    pub fn engine(&self) -> Option<&str> {
        match self {
            Self::Memory(_) => None,
            #[cfg(feature = "shared")]
            shared => shared.names().map(|names| names.address.as_str()),
        }
    }

    /// The name of the engine in errors that reach callers, who must not learn its address.
    pub fn role(&self) -> &str {
        match self {
            Self::Memory(_) => "this process",
            #[cfg(feature = "shared")]
            shared => shared.names().map_or("this process", |names| &names.role),
        }
    }

    #[cfg(feature = "shared")]
    fn names(&self) -> Option<&Names> {
        match self {
            Self::Memory(_) => None,
            #[cfg(feature = "redis")]
            Self::Redis(locks) => Some(locks.engine.names()),
            #[cfg(feature = "redis")]
            Self::Redlock(locks) => Some(locks.engine.names()),
            #[cfg(feature = "postgres")]
            Self::Postgres(locks) => Some(locks.engine.names()),
            #[cfg(feature = "mariadb")]
            Self::MariaDb(locks) => Some(locks.engine.names()),
            #[cfg(feature = "zookeeper")]
            Self::ZooKeeper(locks) => Some(locks.engine.names()),
        }
    }
}

impl Default for Backend {
    fn default() -> Self {
        Self::Memory(Arc::default())
    }
}

impl From<MemoryLocks> for Backend {
    fn from(locks: MemoryLocks) -> Self {
        Self::Memory(locks.into())
    }
}

/// Calls a method of the backend. Futures of an engine's steps are large, so they are boxed; a call in memory is not.
macro_rules! of {
    ($backend:expr, $locks:ident => $call:expr) => {
        match $backend {
            Backend::Memory($locks) => {
                let $locks = &**$locks;
                $call.await
            }
            #[cfg(feature = "redis")]
            Backend::Redis($locks) => Box::pin($call).await,
            #[cfg(feature = "redis")]
            Backend::Redlock($locks) => Box::pin($call).await,
            #[cfg(feature = "postgres")]
            Backend::Postgres($locks) => Box::pin($call).await,
            #[cfg(feature = "mariadb")]
            Backend::MariaDb($locks) => Box::pin($call).await,
            #[cfg(feature = "zookeeper")]
            Backend::ZooKeeper($locks) => Box::pin($call).await,
        }
    };
}

impl Locks for Backend {
    async fn lock(&self, request: Request, wait: Duration) -> Result<LockGrant> {
        of!(self, locks => Locks::lock(locks, request, wait))
    }

    async fn unlock(&self, name: &str, owner: &str) -> Result<bool> {
        of!(self, locks => Locks::unlock(locks, name, owner))
    }

    async fn renew(&self, request: Request) -> Result<LockGrant> {
        of!(self, locks => Locks::renew(locks, request))
    }

    async fn state(&self, name: &str) -> Result<LockState> {
        of!(self, locks => Locks::state(locks, name))
    }
}
