//! Your own wire: lines of JSON over a Unix socket. `cargo run --example custom_wire`
//!
//! ```text
//! {"method":"add","args":{"a":3,"b":4}}
//! {"Ok":7}    or    {"Err":[11,"the sum of …"]}
//! ```

mod common;

use std::{env, io, path::PathBuf, process, sync::Arc};

use everywire::{
    Budget, Caller, DEFAULT_TIMEOUT, Limits,
    descriptor::Method,
    wire::{Call, CancellationToken, answer_within, decode_again},
};
use everywire::{Code, Result, RpcError, Server, Service, Transport, serde};
use everywire_id::Snowflake;
use everywire_toolkit::{Embedded, ToolkitClient, ToolkitService};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::{task::JoinSet, time::timeout};

/// One request, as the value of its line: the codec in two functions.
struct LineCall(Value);

impl Call for LineCall {
    type Reply = Vec<u8>;

    fn args<A: DeserializeOwned>(&mut self) -> Result<A> {
        A::deserialize(&self.0["args"]).or_else(|_| decode_again(&self.0["args"]))
    }

    fn reply<R: Serialize>(&mut self, outcome: Result<R>) -> Vec<u8> {
        let outcome = outcome.map_err(|error| (error.code().number(), error.message().to_owned()));
        to_line(&outcome).unwrap_or_else(|error| self.reply::<()>(Err(error)))
    }
}

/// The server.
struct LineServer(UnixListener);

impl Transport for LineServer {
    fn endpoint(&self) -> String {
        format!("lines {:?}", self.0.local_addr())
    }

    async fn serve<S: Service>(self, service: Arc<S>, budget: Arc<Budget>, stop: CancellationToken) -> Result<()> {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Ok((stream, _)) = self.0.accept(), if connections.len() < budget.limits().connections => {
                    let (service, budget, stop) = (service.clone(), budget.clone(), stop.clone());
                    connections.spawn(async move { talk(stream, &*service, budget.limits(), &stop).await });
                }
                Some(_) = connections.join_next() => {}
            }
        }
        while connections.join_next().await.is_some() {}
        Ok(())
    }
}

/// One connection, one call at a time. At the stop it ends after the call in flight.
async fn talk(stream: UnixStream, service: &impl Service, max: &Limits, stop: &CancellationToken) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(line) = stop.run_until_cancelled(timeout(max.idle_time, next_line(&mut stream, max))).await {
        let mut call = LineCall(serde_json::from_slice(&line??)?);
        let answer = match service.descriptor().find(call.0["method"].as_str().unwrap_or_default()) {
            Err(unknown) => call.reply::<()>(Err(unknown)),
            Ok(method) => tokio::select! {
                answer = service.dispatch(method, &mut call) => answer,
                _ = stream.fill_buf() => break, // a client that hangs up, or does not wait for the response, is not served any more
            },
        };
        timeout(max.message_time, stream.write_all(&answer)).await??;
    }
    Ok(())
}

/// The client: a connection for each call, so that a dropped call is cancelled.
struct LineClient(PathBuf);

impl Caller for LineClient {
    async fn call<A: Serialize + Sync, R: DeserializeOwned>(&self, method: &'static Method, args: &A) -> Result<R> {
        let args = serde_json::to_value(args).map_err(RpcError::internal)?;
        let request = to_line(&json!({ "method": method.name(), "args": args }))?;
        let exchange = async {
            let mut stream = BufReader::new(UnixStream::connect(&self.0).await?);
            stream.write_all(&request).await?;
            next_line(&mut stream, &Limits::default()).await
        };
        let answer = async { exchange.await.map_err(|error| RpcError::unavailable(error.to_string())) };
        let line = answer_within(DEFAULT_TIMEOUT, "the socket", method, answer).await?;
        let outcome: Result<R, (i32, String)> = serde_json::from_slice(&line).map_err(RpcError::internal)?;
        outcome.map_err(|(code, message)| RpcError::remote(Code::from_number(code).unwrap_or(Code::Unknown), message))
    }
}

fn to_line(value: &impl Serialize) -> Result<Vec<u8>> {
    Ok([&serde_json::to_vec(value).map_err(RpcError::internal)?, &b"\n"[..]].concat())
}

/// An error if there is no end, or none within the limit.
async fn next_line(stream: &mut BufReader<UnixStream>, max: &Limits) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    stream.take(max.message_bytes as u64).read_until(b'\n', &mut line).await?;
    if line.ends_with(b"\n") { Ok(line) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[tokio::main]
async fn main() -> Result<()> {
    let path = env::temp_dir().join(format!("everywire-{}", process::id()));
    let wire = LineServer(UnixListener::bind(&path).map_err(RpcError::internal)?);
    let service = ToolkitService::new(Embedded::new(Snowflake::new(1)?));
    let stop = CancellationToken::new();
    let serving = tokio::spawn(Server::new(service).mount(wire).serve_until(stop.clone().cancelled_owned()));
    common::run(&ToolkitClient::new(LineClient(path.clone())), "custom_wire.rs").await?;
    stop.cancel();
    std::fs::remove_file(path).map_err(RpcError::internal)?;
    serving.await.map_err(RpcError::internal)?
}
