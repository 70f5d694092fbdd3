//! Locks in Redis: one script makes each step atomic, and pub/sub messages wake the waiters.

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
    step_reply::StepReply,
    waiters::{Orphans, SESSION_TTL, Waiter, Waiters, evict},
};

/// Locks in a Redis.
pub type RedisLocks = Shared<Redis>;

/// One Redis.
#[derive(Debug)]
pub struct Redis {
    engine: Scripted,
    waiters: Arc<Waiters>,
    /// Aborted on drop.
    tasks: JoinSet<()>,
}

impl Redis {
    /// Connects to `redis://USER:PASSWORD@HOST:PORT/DB`.
    pub async fn connect(url: &str) -> Result<Self> {
        Self::connect_as(url, "the Redis that keeps the locks").await
    }

    pub(super) async fn connect_as(url: &str, role: &str) -> Result<Self> {
        let (waiters, orphans) = Waiters::new();
        let settings = format!("local SESSION_TTL, MAX_WAITING = {}, {MAX_WAITING}", to_millis(SESSION_TTL));
        let script = [&settings, include_str!("lock.lua")].join("\n");
        let channels = vec![format!("everywire:wake:{}", waiters.session), "everywire:wake:all".to_owned()];
        let subscription = Subscription { channels, message: Arc::new(on_push(Arc::clone(&waiters))) };
        let engine = Scripted::subscribed(url, role, &script, Some(subscription)).await?;
        let mut redis = Self { engine, waiters, tasks: JoinSet::new() };
        let (heartbeat, eviction) = (redis.heartbeat(), redis.evict_orphans(orphans));
        redis.tasks.spawn(heartbeat);
        redis.tasks.spawn(eviction);
        Ok(redis)
    }

    /// While calls wait, tells the engine that this server is alive.
    fn heartbeat(&self) -> impl Future<Output = ()> + Send + 'static {
        let (engine, waiters) = (self.engine.clone(), Arc::clone(&self.waiters));
        async move {
            let session = waiters.session.clone();
            let beat = || async { run(&engine, "", "heartbeat", &session).await.map(|_: Value| ()) };
            waiters.heartbeat(SESSION_TTL / 3, beat).await;
        }
    }

    /// Removes waiters from their queues that no longer exist.
    fn evict_orphans(&self, orphans: Orphans) -> impl Future<Output = ()> + Send + 'static {
        let (engine, session) = (self.engine.clone(), self.waiters.session.clone());
        async move {
            let (engine, session) = (&engine, &session);
            let forget = |message: String| async move {
                let Some((number, name)) = message.split_once(' ') else { return Ok(()) };
                let start = format!("{session}:{number}:");
                run(engine, name, "forget", &start).await.map(|_: Value| ())
            };
            evict(orphans, forget).await;
        }
    }

    async fn run<T: FromRedisValue>(&self, name: &str, verb: &str, arguments: impl ToRedisArgs) -> Result<T> {
        run(&self.engine, name, verb, arguments).await
    }

    /// The waiter as a member of the queue.
    fn member(&self, waiter: &Waiter, owner: &str) -> String {
        format!("{}:{}:{owner}", self.waiters.session, waiter.number)
    }
}

async fn run<T: FromRedisValue>(engine: &Scripted, name: &str, verb: &str, arguments: impl ToRedisArgs) -> Result<T> {
    let mut call = engine.call();
    call.key(format!("everywire:lock:{name}")).key(format!("everywire:queue:{name}"));
    call.arg(verb).arg(arguments);
    engine.run(&call).await
}

/// Wakes the waiter that a message is for, and all waiters when a connection begins, because earlier messages were lost.
fn on_push(waiters: Arc<Waiters>) -> impl Fn(&PushKind, &[Value]) + Send + Sync {
    move |kind, data| match (kind, data) {
        (PushKind::Message, [_, Value::BulkString(text)]) => waiters.message(&String::from_utf8_lossy(text)),
        (PushKind::Subscribe, _) => waiters.wake_all(),
        _ => {}
    }
}

impl Engine for Redis {
    type Waiter = Waiter;

    fn names(&self) -> &Names {
        self.engine.names()
    }

    fn waiter(&self) -> Waiter {
        self.waiters.register()
    }

    async fn take(&self, request: &Request, waiter: Option<&mut Waiter>) -> Result<Taken> {
        let member = waiter.as_ref().map(|waiter| (self.member(waiter, &request.owner), waiter.ticket));
        let arguments = (&request.owner, to_millis(request.ttl), member);
        let reply = StepReply(self.run(&request.name, "take", arguments).await?);
        reply.taken(request, waiter.map(|waiter| &mut waiter.ticket))
    }

    async fn woken(&self, waiter: &mut Waiter) {
        waiter.woken().await;
    }

    async fn leave(&self, request: &Request, waiter: &Waiter) -> Result<()> {
        let member = self.member(waiter, &request.owner);
        self.run(&request.name, "leave", member).await.map(|_: Value| ())
    }

    async fn unlock(&self, name: &str, owner: &str) -> Result<bool> {
        self.run(name, "unlock", owner).await.map(|[had]: [bool; 1]| had)
    }

    async fn renew(&self, request: &Request) -> Result<LockGrant> {
        let arguments = (&request.owner, to_millis(request.ttl));
        Ok(StepReply(self.run(&request.name, "renew", arguments).await?).renewed(request))
    }

    async fn state(&self, name: &str) -> Result<LockState> {
        let (owner, token, held_ms, ttl_ms, waiting): (Option<String>, _, _, _, _) =
            self.run(name, "state", None::<&str>).await?;
        Ok(LockState { held: owner.is_some(), owner, token, held_ms, ttl_ms, waiting })
    }
}
