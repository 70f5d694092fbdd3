//! Your own wire: lines of JSON over a Unix socket. `cargo run --example custom_wire`
//!
//! ```text
//! {"method":"add","args":{"a":3,"b":4}}
//! {"Ok":7}    or    {"Err":[11,"the sum of …"]}
//! ```

use std::{env, io, path::PathBuf, pin::pin, process, sync::Arc};

use everywire::descriptor::{Method, Services};
use everywire::wire::{Call, CancellationToken, Connection, Io, Protocol, decode_again, response_within};
use everywire::{
    Caller, Code, Context, DEFAULT_TIMEOUT, Limits, Result, RpcError, Server, Service, Unix, serde, service,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::{net::UnixStream, time::timeout};

/// One request, as the value of its line: the codec in two functions.
struct LineCall(Value, Context);
impl Call for LineCall {
    type Reply = Vec<u8>;

    fn args<A: DeserializeOwned>(&mut self) -> Result<A> {
        A::deserialize(&self.0["args"]).or_else(|_| decode_again(&self.0["args"]))
    }

    fn context(&mut self) -> Result<&mut Context> {
        Ok(&mut self.1)
    }

    fn reply<R: Serialize>(&mut self, outcome: Result<R>) -> Vec<u8> {
        let outcome = outcome.map_err(|error| (error.code().number(), error.message().to_owned()));
        to_line(&outcome).unwrap_or_else(|error| self.reply::<()>(Err(error)))
    }
}

/// The server. It has no settings, and its connections share nothing.
struct Lines;

impl Protocol for Lines {
    const NAME: &'static str = "lines";
    const SCHEME: &'static str = "lines";
    type Shared = ();

    fn start(self, _: &Services) -> Result<()> {
        Ok(())
    }

    /// One call at a time. On shutdown the connection ends after the call in flight.
    async fn serve<S: Service>(_: Arc<()>, service: S, connection: Connection<impl Io>) -> io::Result<()> {
        let Connection { io, peer, budget, stop, .. } = connection;
        let (mut stream, max) = (BufReader::new(io), budget.limits());
        while let Some(begun) = stop.run_until_cancelled(timeout(max.idle_time, stream.fill_buf())).await {
            if begun??.is_empty() {
                break; // the end
            }
            let line = timeout(max.message_time, next_line(&mut stream, max)).await??;
            let mut call = LineCall(serde_json::from_slice(&line)?, Context::from(peer.clone()));
            let reply = match service.services().find(call.0["method"].as_str().unwrap_or_default()) {
                Err(unknown) => call.reply::<()>(Err(unknown)),
                Ok(method) => tokio::select! {
                    reply = service.dispatch(method, &mut call) => reply,
                    _ = stream.fill_buf() => break, // cancels the call of a client that hangs up or sends more
                },
            };
            stream.write_all(&reply).await?;
        }
        Ok(())
    }
}

/// The client: a connection for each call, so that dropping the call's future cancels it.
struct LineClient(PathBuf);

impl Caller for LineClient {
    async fn call<A, R>(&self, method: &'static Method, cx: &Context, args: &A) -> Result<R>
    where
        A: Serialize + Sync,
        R: DeserializeOwned + Send,
    {
        let args = serde_json::to_value(args).map_err(RpcError::internal)?;
        let request = to_line(&json!({ "method": method.name(), "args": args }))?;
        let exchange = pin!(async {
            let mut stream = BufReader::new(UnixStream::connect(&self.0).await?);
            stream.write_all(&request).await?;
            Ok(next_line(&mut stream, &Limits::default()).await?)
        });
        let line = response_within(DEFAULT_TIMEOUT, cx, "the socket", method, exchange).await?;
        let outcome: Result<R, (i32, String)> = serde_json::from_slice(&line).map_err(RpcError::internal)?;
        outcome.map_err(|(code, message)| RpcError::remote(Code::from_number(code).unwrap_or(Code::Unknown), message))
    }
}

fn to_line(value: &impl Serialize) -> Result<Vec<u8>> {
    Ok([&serde_json::to_vec(value).map_err(RpcError::internal)?, &b"\n"[..]].concat())
}

/// An error if there is no end, or none within the limit.
async fn next_line(stream: &mut (impl AsyncBufRead + Unpin), max: &Limits) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    stream.take(max.message_bytes as u64).read_until(b'\n', &mut line).await?;
    if line.ends_with(b"\n") { Ok(line) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// What is served. A service with streams needs a wire that has `Call::stream`, `Caller::stream` and `Protocol::STREAMS`.
#[service(package = "example.v1")]
trait Calculator {
    async fn add(&self, a: i64, b: i64) -> Result<i64>;
    async fn divide(&self, a: i64, b: i64) -> Result<i64>;
}

struct Plain;

impl Calculator for Plain {
    async fn add(&self, a: i64, b: i64) -> Result<i64> {
        a.checked_add(b).ok_or_else(|| RpcError::out_of_range("the sum is beyond 64 bits"))
    }

    async fn divide(&self, a: i64, b: i64) -> Result<i64> {
        a.checked_div(b).ok_or_else(|| RpcError::invalid_argument(format!("{a} / {b} is no number")))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let path = env::temp_dir().join(format!("everywire-{}", process::id()));
    let server = Server::new(CalculatorService::new(Plain)).mount((Unix::bind(&path)?, Lines));
    let stop = CancellationToken::new();
    let serving = tokio::spawn(server.serve_until(stop.clone().cancelled_owned()));
    let calculator = CalculatorClient::new(LineClient(path));
    let sum = calculator.add(3, 4).await?;
    println!("3 + 4 = {sum}");
    assert_eq!(sum, 7);
    let error = calculator.divide(1, 0).await.expect_err("nothing is divided by zero");
    println!("1 / 0: {error}");
    assert_eq!(error.code(), Code::InvalidArgument);
    stop.cancel();
    serving.await.map_err(RpcError::internal)?
}
