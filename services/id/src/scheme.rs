//! The scheme, selected by a URL, and the secret that hides its ids.

use everywire_core::{Result, RpcError};
use everywire_engines::{durable::DataDir, supported_redis_url};

#[cfg(feature = "redis")]
use super::RedisIds;
#[cfg(feature = "sql")]
use super::{Database, Increment, Segments};
use super::{Guarantees, Scope, Secret, Settings, Snowflake, snowflake::check_count};
use crate::IdParts;

/// The URL schemes of all engines, including those not built in.
const ENGINES: [&str; 5] =
    ["redis://", "segment+postgres://", "segment+mysql://", "increment+postgres://", "increment+mysql://"];
/// The most bits of an id from a counting engine.
#[cfg(feature = "sql")]
const NUMBER_BITS: u32 = 63;

/// A source of ids.
#[derive(Debug)]
pub struct Ids {
    scheme: Scheme,
    secret: Option<Secret>,
}

#[derive(Debug)]
enum Scheme {
    Snowflake(Snowflake),
    #[cfg(feature = "sql")]
    Segment(Segments),
    #[cfg(feature = "sql")]
    Increment(Increment),
    #[cfg(feature = "redis")]
    Redis(RedisIds),
}

impl Scheme {
    #[cfg_attr(
        not(any(feature = "redis", feature = "sql")),
        expect(clippy::unused_async, reason = "no engine is built in")
    )]
    async fn connect(url: &str, settings: Settings) -> Result<Self> {
        let scheme = url.split_inclusive("://").next().unwrap_or_default();
        let scheme = scheme.replace("postgresql", "postgres").replace("mariadb", "mysql");
        // The engine's own URL follows the plus.
        #[cfg(feature = "sql")]
        let engine = url.split_once('+').map_or(url, |(_, engine)| engine);
        match scheme.as_str() {
            "snowflake" => Ok(Self::Snowflake(Snowflake::with(settings)?)),
            #[cfg(feature = "redis")]
            "redis://" => Ok(Self::Redis(RedisIds::connect(url, &settings).await?)),
            #[cfg(feature = "postgres")]
            "segment+postgres://" => Ok(Self::Segment(Segments::new(Database::postgres(engine).await?))),
            #[cfg(feature = "mariadb")]
            "segment+mysql://" => Ok(Self::Segment(Segments::new(Database::mariadb(engine).await?))),
            #[cfg(feature = "postgres")]
            "increment+postgres://" => Ok(Self::Increment(Increment::new(Database::postgres(engine).await?))),
            #[cfg(feature = "mariadb")]
            "increment+mysql://" => Ok(Self::Increment(Increment::new(Database::mariadb(engine).await?))),
            scheme if ENGINES.contains(&scheme) => Err(RpcError::unimplemented(format!(
                "this program was built without {scheme}…; `cargo build --features engines` has all engines"
            ))),
            scheme if let Some(instead) = supported_redis_url(scheme.trim_end_matches("://")) => {
                Err(RpcError::invalid_argument(format!("`{scheme}`: {instead}")))
            }
            scheme => Err(RpcError::invalid_argument(format!(
                "unknown id scheme `{scheme}`; expected snowflake, or a URL that begins with one of {}",
                ENGINES.join(", ")
            ))),
        }
    }
}

/// Calls a method of the scheme.
macro_rules! of {
    ($ids:expr, $scheme:ident => $call:expr) => {
        match &$ids.scheme {
            Scheme::Snowflake($scheme) => $call,
            #[cfg(feature = "sql")]
            Scheme::Segment($scheme) => $call,
            #[cfg(feature = "sql")]
            Scheme::Increment($scheme) => $call,
            #[cfg(feature = "redis")]
            Scheme::Redis($scheme) => $call,
        }
    };
}

impl From<Snowflake> for Ids {
    fn from(ids: Snowflake) -> Self {
        Self { scheme: Scheme::Snowflake(ids), secret: None }
    }
}

impl Ids {
    /// Connects to the engine at `url`:
    ///
    /// | URL | source of the ids | guarantees | among |
    /// |---|---|---|---|
    /// | `snowflake` | this process | unique, k-sorted | servers with different worker ids |
    /// | `redis://…` | the clock and a counter of a Redis | unique, k-sorted, globally monotonic | servers on that Redis |
    /// | `segment+postgres://…`, `segment+mysql://…` | ranges that a database hands out | unique | servers on that database |
    /// | `increment+postgres://…`, `increment+mysql://…` | a database's counter | unique, k-sorted, globally monotonic | servers on that database |
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for an invalid URL, `UNIMPLEMENTED` for an engine that was not built in, `UNAVAILABLE` for one that
    /// does not answer, `FAILED_PRECONDITION` for one that lacks what is needed, such as a read-only replica.
    pub async fn connect(url: &str, settings: Settings) -> Result<Self> {
        // Boxed, because the futures of connections are large.
        let scheme = Box::pin(Scheme::connect(url, settings)).await?;
        Ok(Self { scheme, secret: None })
    }

    /// Stores a mark of the ids that this process makes in `dir`, so that a restart repeats none of them.
    pub fn durable(self, dir: &DataDir) -> Result<Self> {
        let scheme = match self.scheme {
            Scheme::Snowflake(ids) => Scheme::Snowflake(ids.durable(dir)?),
            #[cfg(any(feature = "redis", feature = "sql"))]
            engine => engine,
        };
        Ok(Self { scheme, ..self })
    }

    /// Permutes the ids: only someone who has the secret can tell their order and number.
    #[must_use]
    pub fn hidden(self, secret: Secret) -> Self {
        Self { secret: Some(secret), ..self }
    }

    /// The engine's address, without a password. `None` if this process makes the ids.
    pub fn engine(&self) -> Option<&str> {
        match self.scope() {
            Scope::Engine(name) => Some(name),
            Scope::Worker(_) | Scope::Lease { .. } => None,
        }
    }

    /// The servers among which the guarantees hold.
    pub fn scope(&self) -> Scope<'_> {
        match &self.scheme {
            Scheme::Snowflake(ids) => ids.scope(),
            #[cfg(feature = "sql")]
            Scheme::Segment(ids) => Scope::Engine(ids.ranges().name()),
            #[cfg(feature = "sql")]
            Scheme::Increment(ids) => Scope::Engine(ids.database().name()),
            #[cfg(feature = "redis")]
            Scheme::Redis(ids) => Scope::Engine(ids.name()),
        }
    }

    /// The guarantees of the ids.
    pub fn guarantees(&self) -> Guarantees {
        let guarantees = match self.scheme {
            Scheme::Snowflake(_) => <Snowflake>::GUARANTEES,
            #[cfg(feature = "sql")]
            Scheme::Segment(_) => <Segments>::GUARANTEES,
            #[cfg(feature = "sql")]
            Scheme::Increment(_) => Increment::GUARANTEES,
            #[cfg(feature = "redis")]
            Scheme::Redis(_) => RedisIds::GUARANTEES,
        };
        if self.secret.is_some() { guarantees.hidden() } else { guarantees }
    }

    /// The next id.
    pub async fn next(&self) -> Result<u64> {
        let id = match &self.scheme {
            Scheme::Snowflake(ids) => ids.next().await?,
            #[cfg(any(feature = "redis", feature = "sql"))]
            _ => self.made(1).await?.first().copied().ok_or_else(|| RpcError::internal("a scheme made no id"))?,
        };
        Ok(self.secret.as_ref().map_or(id, |secret| secret.hide(id, self.bits())))
    }

    /// The next `count` ids, 1 to [`MAX_BATCH`](super::MAX_BATCH), ascending unless they are hidden.
    pub async fn next_many(&self, count: u32) -> Result<Vec<u64>> {
        check_count(count)?;
        let mut ids = self.made(count).await?;
        if let Some(secret) = &self.secret {
            let bits = self.bits();
            for id in &mut ids {
                *id = secret.hide(*id, bits);
            }
        }
        Ok(ids)
    }

    /// Decodes an id. One with too many bits is `INVALID_ARGUMENT`. Other numbers that were never made as ids decode to nonsense.
    pub fn decode(&self, id: u64) -> Result<IdParts> {
        let bits = self.bits();
        if id >> bits != 0 {
            return Err(RpcError::invalid_argument(format!("`id` is {id}; ids have {bits} bits here")));
        }
        let id = self.secret.as_ref().map_or(id, |secret| secret.reveal(id, bits));
        Ok(of!(self, ids => ids.decode(id)))
    }

    /// Makes `count` ids. Futures of an engine's steps are large, so they are boxed; a call in memory is not.
    async fn made(&self, count: u32) -> Result<Vec<u64>> {
        match &self.scheme {
            Scheme::Snowflake(ids) => ids.next_many(count).await,
            #[cfg(any(feature = "redis", feature = "sql"))]
            _ => Box::pin(async { of!(self, ids => ids.next_many(count).await) }).await,
        }
    }

    fn bits(&self) -> u32 {
        match &self.scheme {
            Scheme::Snowflake(ids) => ids.layout().bits(),
            #[cfg(feature = "sql")]
            Scheme::Segment(_) | Scheme::Increment(_) => NUMBER_BITS,
            #[cfg(feature = "redis")]
            Scheme::Redis(ids) => ids.bits(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use everywire_core::Code;

    use super::*;

    async fn connect(url: &str, layout: &str) -> Result<Ids> {
        Ids::connect(url, Settings { worker: 3, layout: layout.parse()?, ..Settings::default() }).await
    }

    #[tokio::test]
    async fn an_unknown_scheme_is_named() {
        for (url, scheme) in [
            ("", ""),
            ("uuid", "uuid"),
            ("segment", "segment"),
            ("snowflake://", "snowflake://"),
            ("mysql://me:secret@x/y", "mysql://"),
            ("segment+redis://x", "segment+redis://"),
            ("segment+zookeeper://x", "segment+zookeeper://"),
        ] {
            let error = connect(url, "js").await.unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument, "{url}: {error}");
            let expected =
                format!("unknown id scheme `{scheme}`; expected snowflake, or a URL that begins with one of ");
            assert!(error.message().starts_with(&expected), "{url}: {error}");
        }
    }

    #[tokio::test]
    async fn hidden_ids_are_unique_and_decode_as_before() {
        for layout in ["41/10/12", "js"] {
            let ids = connect("snowflake", layout).await.unwrap();
            let plain = ids.next_many(1_000).await.unwrap();
            assert!(plain.is_sorted(), "{layout}");
            let ids = ids.hidden("00112233445566778899aabbccddeeff".parse().unwrap());
            assert_eq!(ids.guarantees().to_string(), "unique");
            let mut hidden = ids.next_many(1_000).await.unwrap();
            hidden.push(ids.next().await.unwrap());
            assert!(!hidden.is_sorted(), "{layout}");
            assert_eq!(hidden.iter().collect::<HashSet<_>>().len(), 1_001, "{layout}");
            let before = ids.decode(hidden[0]).unwrap();
            for id in hidden {
                let parts = ids.decode(id).unwrap();
                assert_eq!(parts.worker, Some(3), "{layout}");
                assert!(parts.time_ms >= before.time_ms, "{layout}");
            }
            let most = 1 << ids.bits();
            assert_eq!(ids.decode(most).unwrap_err().code(), Code::InvalidArgument, "{layout}");
        }
    }
}
