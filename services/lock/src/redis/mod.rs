//! Locks in Redis: one script makes each step atomic, messages wake the waiters.

use std::sync::Arc;

use everywire_core::Result;
use everywire_engines::{
    failure::Names,
    redis::{Scripted, Subscription},
};
use redis::{FromRedisValue, PushKind, ToRedisArgs, Value};
use tokio::task::JoinSet;

use crate::{
    LockGrant, LockState, Request,
    engine::{Engine, MAX_WAITING, Shared, Taken, to_millis},
    found::{renewed, taken},
    wakes::{Place, SESSION_TTL, Strays, Wakes, take_out},
};

/// Locks in a Redis.
pub type RedisLocks = Shared<Redis>;

/// One Redis.
#[derive(Debug)]
pub struct Redis {
    engine: Scripted,
    wakes: Arc<Wakes>,
    /// Ends with this.
    tasks: JoinSet<()>,
}

impl Redis {
    /// Connects to `redis://USER:PASSWORD@HOST:PORT/DB`.
    pub async fn connect(url: &str) -> Result<Self> {
        Self::connect_as(url, "the Redis that keeps the locks").await
    }

    pub(super) async fn connect_as(url: &str, role: &str) -> Result<Self> {
        let (wakes, strays) = Wakes::new();
        let settings = format!("local SESSION_TTL, MAX_WAITING = {}, {MAX_WAITING}", to_millis(SESSION_TTL));
        let script = [&settings, include_str!("lock.lua")].join("\n");
        let channels = vec![format!("everywire:wake:{}", wakes.session), "everywire:wake:all".to_owned()];
        let subscription = Subscription { channels, message: Arc::new(pushed(Arc::clone(&wakes))) };
        let engine = Scripted::subscribed(url, role, &script, Some(subscription)).await?;
        let mut redis = Self { engine, wakes, tasks: JoinSet::new() };
        let (beats, forgets) = (redis.beats(), redis.forgets(strays));
        redis.tasks.spawn(beats);
        redis.tasks.spawn(forgets);
        Ok(redis)
    }

    /// Tells the engine that this server is alive, as long as somebody waits.
    fn beats(&self) -> impl Future<Output = ()> + Send + 'static {
        let (engine, wakes) = (self.engine.clone(), Arc::clone(&self.wakes));
        async move {
            let session = wakes.session.clone();
            let beat = || async { run(&engine, "", "beat", &session).await.map(|_: Value| ()) };
            wakes.beat(SESSION_TTL / 3, beat).await;
        }
    }

    /// Takes places out that are nobody's.
    fn forgets(&self, strays: Strays) -> impl Future<Output = ()> + Send + 'static {
        let (engine, session) = (self.engine.clone(), self.wakes.session.clone());
        async move {
            let (engine, session) = (&engine, &session);
            let forget = |message: String| async move {
                let Some((number, name)) = message.split_once(' ') else { return Ok(()) };
                let start = format!("{session}:{number}:");
                run(engine, name, "forget", &start).await.map(|_: Value| ())
            };
            take_out(strays, forget).await;
        }
    }

    async fn run<T: FromRedisValue>(&self, name: &str, verb: &str, arguments: impl ToRedisArgs) -> Result<T> {
        run(&self.engine, name, verb, arguments).await
    }

    /// The place as the queue knows it.
    fn member(&self, place: &Place, owner: &str) -> String {
        format!("{}:{}:{owner}", self.wakes.session, place.number)
    }
}

async fn run<T: FromRedisValue>(engine: &Scripted, name: &str, verb: &str, arguments: impl ToRedisArgs) -> Result<T> {
    let mut call = engine.call();
    call.key(format!("everywire:lock:{name}")).key(format!("everywire:queue:{name}"));
    call.arg(verb).arg(arguments);
    engine.run(&call).await
}

/// Wakes whom a message is for, and all when a connection begins, because messages were lost before it.
fn pushed(wakes: Arc<Wakes>) -> impl Fn(&PushKind, &[Value]) + Send + Sync {
    move |kind, data| match (kind, data) {
        (PushKind::Message, [_, Value::BulkString(text)]) => wakes.message(&String::from_utf8_lossy(text)),
        (PushKind::Subscribe, _) => wakes.wake_all(),
        _ => {}
    }
}

impl Engine for Redis {
    type Place = Place;

    fn names(&self) -> &Names {
        self.engine.names()
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
