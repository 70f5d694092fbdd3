//! gRPC: the common calls, and a deadline that travels with the call.
//!
//! `cargo run --example grpc -- http://127.0.0.1:50051`

mod common;

use std::{env, time::Duration};

use everywire::{Code, Result, grpc};
use everywire_toolkit::{Toolkit, ToolkitClient};

#[tokio::main]
async fn main() -> Result<()> {
    let url = env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:50051".into());
    let client = grpc::Client::connect(&url).await?;
    let toolkit = ToolkitClient::new(client.clone());
    common::run(&toolkit, "grpc.rs").await?;

    // Clones share the connection. The server learns the deadline, and gives up the wait for the lock too.
    let name = || "grpc.rs".to_owned();
    let impatient = ToolkitClient::new(client.timeout(Duration::from_millis(200)));
    let first = toolkit.lock(name(), 10_000, None, None).await?;
    assert!(first.granted, "{first:?}");
    let error = impatient.lock(name(), 10_000, Some(15_000), None).await.expect_err("the lock is held for 10 s");
    println!("a wait of 0.2 s: {error}");
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert!(toolkit.unlock(name(), first.owner).await?);
    Ok(())
}
