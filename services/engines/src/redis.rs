//! A connection to a Redis that runs one script. Each service in Redis is one script.

use std::{collections::HashMap, fmt, sync::Arc};

use everywire_core::{Result, RpcError};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, FromRedisValue, IntoConnectionInfo, ProtocolVersion,
    PushInfo, PushKind, RedisError, Script, ScriptInvocation, Value,
    aio::{MultiplexedConnection, SendError},
};

use crate::{
    failure::{Failure, Names},
    reconnect::{Connect, Health, Reconnecting, STEP_TIME},
    supported_redis_url,
};

/// One Redis and the script.
#[derive(Clone)]
pub struct Scripted {
    engine: Arc<Reconnecting<Connector>>,
    script: Arc<Script>,
}

/// Called with each push message.
type OnPush = dyn Fn(&PushKind, &[Value]) + Send + Sync;

/// The channels to subscribe to, and the receiver of their messages.
#[derive(Clone)]
pub struct Subscription {
    /// The channels.
    pub channels: Vec<String>,
    /// Called with each push message.
    pub message: Arc<OnPush>,
}

struct Connector {
    client: Client,
    subscription: Option<Subscription>,
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted").field("names", self.names()).finish_non_exhaustive()
    }
}

impl Scripted {
    /// Connects to `redis://USER:PASSWORD@HOST:PORT/DB`. Errors of calls name the engine by its `role`.
    pub async fn connect(url: &str, role: &str, script: &str) -> Result<Self> {
        Self::subscribed(url, role, script, None).await
    }

    /// Like [`connect`](Self::connect), with a subscription.
    pub async fn subscribed(url: &str, role: &str, script: &str, subscription: Option<Subscription>) -> Result<Self> {
        let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
        if scheme != "redis" {
            let expected = supported_redis_url(scheme).unwrap_or("expected redis://HOST:PORT");
            return Err(RpcError::invalid_argument(format!("`{scheme}://`: {expected}")));
        }
        let bad = |error| RpcError::invalid_argument(format!("no URL of a Redis: {error}"));
        let info = url.into_connection_info().map_err(bad)?;
        let names = Names::new(address(info.addr()), role);
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        // A machine that vanished sends no reset, so the kernel has to give up when a step does.
        #[cfg(target_os = "linux")]
        let info = {
            let tcp = info.tcp_settings().clone().set_user_timeout(STEP_TIME);
            info.set_tcp_settings(tcp)
        };
        let client = Client::open(info.set_redis_settings(settings)).map_err(bad)?;
        let engine = Reconnecting::connect(Connector { client, subscription }, names).await?;
        Ok(Self { engine: engine.into(), script: Script::new(script).into() })
    }

    /// The engine's names in messages.
    pub fn names(&self) -> &Names {
        self.engine.names()
    }

    /// Creates a call of the script, without keys and arguments.
    pub fn call(&self) -> ScriptInvocation<'_> {
        self.script.prepare_invoke()
    }

    /// Runs a call and returns its reply. `UNAVAILABLE` without a reply in time.
    pub async fn run<T: FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Result<T> {
        let step =
            |mut connection| async move { call.invoke_async(&mut connection).await.map_err(|error| failure(&error)) };
        self.engine.run(step).await
    }
}

fn address(addr: &ConnectionAddr) -> String {
    match addr {
        ConnectionAddr::Tcp(host, port) if host.contains(':') => format!("redis://[{host}]:{port}"),
        _ => format!("redis://{addr}"),
    }
}

impl Connect for Connector {
    type Connection = MultiplexedConnection;

    async fn connect(
        &self,
        _: Option<&MultiplexedConnection>,
        health: &Health,
    ) -> Result<MultiplexedConnection, Failure> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(STEP_TIME))
            .set_response_timeout(Some(STEP_TIME))
            .set_push_sender(on_push(self.subscription.clone(), health.clone()));
        let mut connection =
            self.client.get_multiplexed_async_connection_with_config(&config).await.map_err(|error| failure(&error))?;
        check(&mut connection).await?;
        if let Some(Subscription { channels, .. }) = &self.subscription {
            connection.subscribe(channels).await.map_err(|error| failure(&error))?;
        }
        Ok(connection)
    }
}

fn on_push(
    subscription: Option<Subscription>,
    health: Health,
) -> impl Fn(PushInfo) -> Result<(), SendError> + Send + Sync {
    move |push| {
        match (&push.kind, &subscription) {
            (PushKind::Disconnection, _) => health.ended(),
            (kind, Some(subscription)) => (subscription.message)(kind, &push.data),
            _ => {}
        }
        Ok(())
    }
}

/// Checks that a Redis supports what scripts need.
async fn check(connection: &mut MultiplexedConnection) -> Result<(), Failure> {
    let hello: HashMap<String, Value> =
        redis::cmd("HELLO").query_async(connection).await.map_err(|error| failure(&error))?;
    let said = |what: &str| hello.get(what).and_then(|value| String::from_redis_value_ref(value).ok());
    let unfit = match (said("mode").as_deref(), said("role").as_deref()) {
        (Some("cluster"), _) => {
            "is a node of a Redis Cluster, which is not supported; give the address of a Redis that is not in cluster mode"
        }
        (Some("sentinel"), _) => "is a Redis Sentinel; give the address of the primary",
        (_, Some("replica" | "slave")) => "is a read-only replica; give the address of the primary",
        _ => return writes(connection).await,
    };
    Err(Failure::Unfit(unfit.to_owned()))
}

/// Runs a script that writes, so that an access list, full memory or a failing disk is noticed before the first call.
async fn writes(connection: &mut MultiplexedConnection) -> Result<(), Failure> {
    let script = Script::new("return redis.call('SET', KEYS[1], '', 'PX', 1)");
    let wrote: Result<Value, _> = script.key("everywire:check").invoke_async(connection).await;
    wrote.map(drop).map_err(|error| match failure(&error) {
        Failure::Rejected(why) => Failure::Unfit(format!("rejects a script that writes: {why}")),
        failure => failure,
    })
}

/// The error codes of a Redis that is not a primary, is read-only, or is not ready yet.
const CONNECTION_LOST: [&str; 7] = ["READONLY", "MASTERDOWN", "CLUSTERDOWN", "LOADING", "MOVED", "CROSSSLOT", "NOAUTH"];

fn failure(error: &RedisError) -> Failure {
    match error.kind() {
        ErrorKind::RESP3NotSupported => Failure::Unfit("is older than Redis 6".to_owned()),
        ErrorKind::Server(_) | ErrorKind::Extension => of_server(words(error)),
        ErrorKind::UnexpectedReturnType | ErrorKind::Client => Failure::Rejected(error.to_string()),
        _ => Failure::Lost(error.to_string()),
    }
}

fn of_server(words: String) -> Failure {
    // Before Redis 7, a command's error follows that of the script which ran it.
    let inner = words.split(": -").nth(1).unwrap_or(&words);
    let is_lost = CONNECTION_LOST.iter().any(|code| inner.starts_with(code));
    if is_lost { Failure::Lost(words) } else { Failure::Rejected(words) }
}

/// The server's message.
fn words(error: &RedisError) -> String {
    [error.code(), error.detail()].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_connection_are_told_from_errors_of_a_step() {
        for (words, lost) in [
            ("READONLY You can't write against a read only replica.", true),
            ("ERR Error running script (call to f_a): @user_script:1: -READONLY You can't write", true),
            ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", true),
            ("LOADING Redis is loading the dataset in memory", true),
            ("CLUSTERDOWN The cluster is down", true),
            ("OOM command not allowed when used memory > 'maxmemory'.", false),
            ("WRONGTYPE Operation against a key holding the wrong kind of value", false),
            ("ERR unknown command 'EVALSHA', with args beginning with: 'READONLY'", false),
        ] {
            let failure = of_server(words.to_owned());
            assert_eq!(failure, if lost { Failure::Lost(words.into()) } else { Failure::Rejected(words.into()) });
        }
    }
}
