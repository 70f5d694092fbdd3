//! Calls `add` on a gRPC server: `load_add PORT COUNT [IN_FLIGHT]`. Prints calls per second and the median of the times.

use std::time::Instant;

use everywire_grpc::Client;
use futures_util::future::try_join_all;
use rpc_core::{Result, RpcError};

/// Adds.
#[rpc_core::service(package = "everywire.v1")]
pub trait Toolkit {
    /// Adds two integers.
    async fn add(&self, a: i64, b: i64) -> Result<i64>;
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut numbers = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let mut number = |default| numbers.next().and_then(Result::ok).unwrap_or(default);
    let (port, count, in_flight) = (number(50051), number(10_000), number(1));
    let client = ToolkitClient::new(Client::connect(&format!("http://127.0.0.1:{port}")).await?);
    client.add(1, 2).await?;

    let started = Instant::now();
    let workers = (0..in_flight).map(|_| async {
        let mut times = Vec::with_capacity(count / in_flight);
        for number in 0..count / in_flight {
            let sent = Instant::now();
            let number = i64::try_from(number).map_err(RpcError::internal)?;
            assert_eq!(client.add(number, 4).await?, number + 4);
            times.push(sent.elapsed());
        }
        Ok(times)
    });
    let mut times = try_join_all(workers).await?.concat();
    let elapsed = started.elapsed();
    times.sort_unstable();
    let per_second = times.len() as u128 * 1_000_000 / elapsed.as_micros().max(1);
    println!("{} calls, {per_second}/s, median {:?}", times.len(), times[times.len() / 2]);
    Ok(())
}
