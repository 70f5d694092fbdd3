//! A connection to a Redis that runs one script. Each service there is such a script.

use std::{fmt, sync::Arc};

use redis::{
    Client, FromRedisValue, IntoConnectionInfo, ProtocolVersion, Script, ScriptInvocation,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use rpc_core::{Result, RpcError};

use super::super::engine::{FIRST_RETRY, LAST_RETRY, STEP_TIME, step};

/// One Redis and the script.
#[derive(Clone)]
pub(crate) struct Scripted {
    /// The engine in messages: its address without a password.
    pub(crate) name: String,
    pub(super) connection: ConnectionManager,
    script: Arc<Script>,
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Scripted {
    /// Connects to `redis://USER:PASSWORD@HOST:PORT/DB`.
    pub(crate) async fn connect(url: &str, config: ConnectionManagerConfig, script: &str) -> Result<Self> {
        let bad = |error| RpcError::invalid_argument(format!("no URL of a Redis: {error}"));
        let info = url.into_connection_info().map_err(bad)?;
        let name = format!("redis://{}", info.addr());
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let client = Client::open(info.set_redis_settings(settings)).map_err(bad)?;
        let connection = step(&name, ConnectionManager::new_with_config(client, config)).await?;
        Ok(Self { name, connection, script: Script::new(script).into() })
    }

    /// A call of the script, without keys and arguments yet.
    pub(crate) fn call(&self) -> ScriptInvocation<'_> {
        self.script.prepare_invoke()
    }

    /// What a call answers; `UNAVAILABLE` if there is no answer in time.
    pub(crate) async fn run<T: FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Result<T> {
        step(&self.name, call.invoke_async(&mut self.connection.clone())).await
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
