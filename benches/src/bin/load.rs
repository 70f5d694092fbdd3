//! `load URL COUNT [IN_FLIGHT]`: calls `add` so often through everywire's client, so many (1) at a time, and prints
//! calls per second and the median time. URL is `xmlrpc://`, `jsonrpc://`, `jsonrpc+ws://`, `grpc://` or `zerorpc://`
//! and HOST:PORT.

use std::time::Instant;

use everywire::{Caller, Result, RpcError};
use everywire_benches::{Echo, EchoClient, argument};
use everywire_grpc as grpc;
use everywire_jsonrpc as jsonrpc;
use everywire_xmlrpc as xmlrpc;
use everywire_zerorpc as zerorpc;
use futures_util::future::try_join_all;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let url = argument(1, "a URL")?;
    let Some((wire, host)) = url.split_once("://") else {
        return Err(RpcError::invalid_argument(format!("`{url}` is no URL")));
    };
    match wire {
        "xmlrpc" => load(xmlrpc::Client::connect(&format!("http://{host}")).await?).await,
        "jsonrpc" => load(jsonrpc::Client::connect(&format!("http://{host}")).await?).await,
        "jsonrpc+ws" => load(jsonrpc::Client::connect(&format!("ws://{host}")).await?).await,
        "grpc" => load(grpc::Client::connect(&format!("http://{host}")).await?).await,
        "zerorpc" => load(zerorpc::Client::connect(&format!("tcp://{host}")).await?).await,
        _ => Err(RpcError::invalid_argument(format!("`{wire}` is no wire"))),
    }
}

async fn load(caller: impl Caller) -> Result<()> {
    let number = |text: String| text.parse().map_err(|_| RpcError::invalid_argument(format!("`{text}` is no number")));
    let count: i64 = number(argument(2, "a count")?)?;
    let in_flight: i64 = argument(3, "calls in flight").map_or(Ok(1), number)?;
    let client = EchoClient::new(caller);
    client.add(1, 2).await?;
    let started = Instant::now();
    let times = try_join_all((0..in_flight).map(|_| work(&client, count / in_flight))).await?;
    let elapsed = started.elapsed();
    let mut times = times.concat();
    times.sort_unstable();
    let per_second = times.len() as u128 * 1_000_000 / elapsed.as_micros().max(1);
    println!("{} calls, {per_second}/s, median {:?}", times.len(), times[times.len() / 2]);
    Ok(())
}

async fn work(client: &impl Echo, count: i64) -> Result<Vec<std::time::Duration>> {
    let mut times = Vec::new();
    for number in 0..count {
        let sent = Instant::now();
        assert_eq!(client.add(number, 4).await?, number + 4);
        times.push(sent.elapsed());
    }
    Ok(times)
}
