//! Locks in Redis: one script makes each step atomic, and pub/sub messages wake the waiters and the watchers.

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
    changes::{Change, Changes},
    engine::{Engine, MAX_WAITING, Shared, Taken, to_millis},
    step_reply::StepReply,
    waiters::{Orphans, SESSION_TTL, Waiter, Waiters, evict},
    watch::{Observe, WATCH_TTL},
};

/// The channel for the names of watched locks that change.
const CHANGES: &str = "everywire:changes";

/// Locks in a Redis.
pub type RedisLocks = Shared<Redis>;

/// One Redis.
#[derive(Debug)]
pub struct Redis {
    engine: Scripted,
    waiters: Arc<Waiters>,
    changes: Arc<Changes>,
    /// Aborted on drop.
    tasks: JoinSet<()>,
}

impl Redis {
    /// Connects to `redis://USER:PASSWORD@HOST:PORT/DB`.
    pub async fn connect(url: &str) -> Result<Self> {
        Self::connect_as(url, "the Redis that keeps the locks").await
    }

    pub(super) async fn connect_as(url: &str, role: &str) -> Result<Self> {
        let ((waiters, orphans), changes) = (Waiters::new(), Arc::<Changes>::default());
        let (session_ttl, watch_ttl) = (to_millis(SESSION_TTL), to_millis(WATCH_TTL));
        let settings = format!("local SESSION_TTL, MAX_WAITING, WATCH_TTL = {session_ttl}, {MAX_WAITING}, {watch_ttl}");
        let script = [&settings, include_str!("lock.lua")].join("\n");
        let own = format!("everywire:wake:{}", waiters.session);
        let channels = vec![own, "everywire:wake:all".to_owned(), CHANGES.to_owned()];
        let message = Arc::new(on_push(Arc::clone(&waiters), Arc::clone(&changes)));
        let subscription = Subscription { channels, message };
        let engine = Scripted::subscribed(url, role, &script, Some(subscription)).await?;
        let mut redis = Self { engine, waiters, changes, tasks: JoinSet::new() };
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
    call.key(format!("everywire:watch:{name}"));
    call.arg(verb).arg(arguments);
    engine.run(&call).await
}

/// Wakes the waiter or the watch that a message is for, and all of them when a connection begins, because earlier messages were
/// lost.
fn on_push(waiters: Arc<Waiters>, changes: Arc<Changes>) -> impl Fn(&PushKind, &[Value]) + Send + Sync {
    move |kind, data| match (kind, data) {
        (PushKind::Message, [Value::BulkString(channel), Value::BulkString(text)]) => {
            let text = String::from_utf8_lossy(text);
            if channel == CHANGES.as_bytes() { changes.report(&text) } else { waiters.message(&text) }
        }
        (PushKind::Subscribe, _) => {
            waiters.wake_all();
            changes.report_all();
        }
        _ => {}
    }
}

/// The owner, the token, the milliseconds since the grant and until the end, and the number of waiters.
type StateReply = (Option<String>, u64, u64, u64, u32);

fn state((owner, token, held_ms, ttl_ms, waiting): StateReply) -> LockState {
    LockState { held: owner.is_some(), owner, token, held_ms, ttl_ms, waiting }
}

impl Observe for Redis {
    type Watch = Change;

    fn watch(&self, name: &str) -> Change {
        self.changes.watch(name.to_owned())
    }

    async fn look(&self, name: &str, _: &mut Change) -> Result<LockState> {
        self.run(name, "watch", None::<&str>).await.map(state)
    }

    async fn changed(&self, watch: &mut Change) {
        watch.reported().await;
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
        self.run(name, "state", None::<&str>).await.map(state)
    }
}
