//! Locks in Redis: one script makes each step atomic, messages wake the waiters.

use std::sync::Arc;

use redis::{
    Client, FromRedisValue, IntoConnectionInfo, ProtocolVersion, PushInfo, PushKind, Script, ToRedisArgs, Value,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use rpc_core::{Result, RpcError};
use tokio::task::JoinSet;

use super::{
    Request,
    engine::{Engine, FIRST_RETRY, LAST_RETRY, MAX_WAITING, STEP_TIME, Shared, Taken, step, to_millis},
    found::{renewed, taken},
    wakes::{Place, SESSION_TTL, Strays, Wakes, take_out},
};
use crate::{LockGrant, LockState};

/// Locks in a Redis.
pub type RedisLocks = Shared<Redis>;

/// One Redis.
pub struct Redis {
    /// The engine in messages: its address without a password.
    name: String,
    connection: ConnectionManager,
    script: Arc<Script>,
    wakes: Arc<Wakes>,
    /// Ends with this.
    tasks: JoinSet<()>,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Redis {
    /// Connects to `redis://USER:PASSWORD@HOST:PORT/DB`.
    pub async fn connect(url: &str) -> Result<Self> {
        let (wakes, strays) = Wakes::new();
        let config = config().set_automatic_resubscription().set_push_sender(pushed(Arc::clone(&wakes)));
        let (name, mut connection) = connect(url, config).await?;
        let channels = [format!("everywire:wake:{}", wakes.session), "everywire:wake:all".to_owned()];
        step(&name, connection.subscribe(&channels)).await?;
        let settings = format!("local SESSION_TTL, MAX_WAITING = {}, {MAX_WAITING}", to_millis(SESSION_TTL));
        let script = Arc::new(Script::new(&[&settings, include_str!("lock.lua")].join("\n")));
        let mut redis = Self { name, connection, script, wakes, tasks: JoinSet::new() };
        let (beats, forgets) = (redis.beats(), redis.forgets(strays));
        redis.tasks.spawn(beats);
        redis.tasks.spawn(forgets);
        Ok(redis)
    }

    /// Tells the engine that this server is alive, as long as somebody waits.
    fn beats(&self) -> impl Future<Output = ()> + Send + 'static {
        let Self { name, connection, script, wakes, .. } = self;
        let (name, connection, script, wakes) =
            (name.clone(), connection.clone(), Arc::clone(script), Arc::clone(wakes));
        async move {
            let session = wakes.session.clone();
            let beat = || async { run(&name, &connection, &script, "", "beat", &session).await.map(|_: Value| ()) };
            wakes.beat(SESSION_TTL / 3, beat).await;
        }
    }

    /// Takes places out that are nobody's.
    fn forgets(&self, strays: Strays) -> impl Future<Output = ()> + Send + 'static {
        let Self { name: engine, connection, script, wakes, .. } = self;
        let (engine, connection, script) = (engine.clone(), connection.clone(), Arc::clone(script));
        let session = wakes.session.clone();
        async move {
            let (engine, connection, script, session) = (&engine, &connection, &script, &session);
            let forget = |message: String| async move {
                let Some((number, name)) = message.split_once(' ') else { return Ok(()) };
                let start = format!("{session}:{number}:");
                run(engine, connection, script, name, "forget", &start).await.map(|_: Value| ())
            };
            take_out(strays, forget).await;
        }
    }

    async fn run<T: FromRedisValue>(&self, name: &str, verb: &str, arguments: impl ToRedisArgs) -> Result<T> {
        run(&self.name, &self.connection, &self.script, name, verb, arguments).await
    }

    /// The place as the queue knows it.
    fn member(&self, place: &Place, owner: &str) -> String {
        format!("{}:{}:{owner}", self.wakes.session, place.number)
    }
}

/// How long a connection, and an answer on it, may take.
pub(crate) fn config() -> ConnectionManagerConfig {
    ConnectionManagerConfig::new()
        .set_min_delay(FIRST_RETRY)
        .set_max_delay(LAST_RETRY)
        .set_number_of_retries(2)
        .set_response_timeout(Some(STEP_TIME))
        .set_connection_timeout(Some(STEP_TIME))
}

/// Connects to the Redis at a URL, which has the name in messages.
pub(crate) async fn connect(url: &str, config: ConnectionManagerConfig) -> Result<(String, ConnectionManager)> {
    let bad = |error| RpcError::invalid_argument(format!("no URL of a Redis: {error}"));
    let info = url.into_connection_info().map_err(bad)?;
    let name = format!("redis://{}", info.addr());
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    let client = Client::open(info.set_redis_settings(settings)).map_err(bad)?;
    let connection = step(&name, ConnectionManager::new_with_config(client, config)).await?;
    Ok((name, connection))
}

async fn run<T: FromRedisValue>(
    engine: &str,
    connection: &ConnectionManager,
    script: &Script,
    name: &str,
    verb: &str,
    arguments: impl ToRedisArgs,
) -> Result<T> {
    let mut call = script.prepare_invoke();
    call.key(format!("everywire:lock:{name}")).key(format!("everywire:queue:{name}"));
    call.arg(verb).arg(arguments);
    step(engine, call.invoke_async(&mut connection.clone())).await
}

/// Wakes whom a message is for, and all when a connection begins, because messages were lost before it.
fn pushed(wakes: Arc<Wakes>) -> impl Fn(PushInfo) -> Result<(), redis::aio::SendError> + Send + Sync {
    move |push| {
        match (push.kind, &push.data[..]) {
            (PushKind::Message, [_, Value::BulkString(text)]) => wakes.message(&String::from_utf8_lossy(text)),
            (PushKind::Subscribe, _) => wakes.wake_all(),
            _ => {}
        }
        Ok(())
    }
}

impl Engine for Redis {
    type Place = Place;

    fn name(&self) -> &str {
        &self.name
    }

    fn place(&self) -> Place {
        self.wakes.place()
    }

    async fn take(&self, request: &Request, place: Option<&mut Place>) -> Result<Taken> {
        let waits = place.as_ref().map(|place| (self.member(place, &request.owner), place.ticket));
        let arguments = (&request.owner, to_millis(request.ttl), waits);
        let found: Vec<i64> = self.run(&request.name, "take", arguments).await?;
        taken(request, place.map(|place| &mut place.ticket), &found)
    }

    async fn woken(&self, place: &mut Place) {
        place.woken().await;
    }

    async fn leave(&self, request: &Request, place: &Place) -> Result<()> {
        let member = self.member(place, &request.owner);
        self.run(&request.name, "leave", member).await.map(|_: Value| ())
    }

    async fn unlock(&self, name: &str, owner: &str) -> Result<bool> {
        self.run(name, "unlock", owner).await.map(|[had]: [bool; 1]| had)
    }

    async fn renew(&self, request: &Request) -> Result<LockGrant> {
        let arguments = (&request.owner, to_millis(request.ttl));
        Ok(renewed(request, &self.run::<Vec<i64>>(&request.name, "renew", arguments).await?))
    }

    async fn state(&self, name: &str) -> Result<LockState> {
        let (owner, token, held_ms, ttl_ms, waiting): (Option<String>, _, _, _, _) =
            self.run(name, "state", None::<&str>).await?;
        Ok(LockState { held: owner.is_some(), owner, token, held_ms, ttl_ms, waiting })
    }
}
