//! JSON-RPC over one WebSocket: the common calls, and calls that don't wait for each other.
//!
//! `cargo run --example websocket -- ws://127.0.0.1:4244`

mod common;

use std::env;

use everywire::{Result, jsonrpc};
use everywire_toolkit::{Toolkit, ToolkitClient};

#[tokio::main]
async fn main() -> Result<()> {
    let url = env::args().nth(1).unwrap_or_else(|| "ws://127.0.0.1:4244".into());
    let toolkit = ToolkitClient::new(jsonrpc::Client::connect(&url).await?);
    common::run(&toolkit, "websocket.rs").await?;

    // Responses arrive in the order in which calls finish: one call waits for a lock, and another on the same connection
    // releases it meanwhile.
    let name = || "websocket.rs".to_owned();
    let first = toolkit.lock(name(), 10_000, None, None).await?;
    assert!(first.granted, "{first:?}");
    let waiting = toolkit.lock(name(), 10_000, Some(15_000), None);
    let (second, freed) = tokio::try_join!(waiting, toolkit.unlock(name(), first.owner))?;
    println!("the one who waited has {}", second.token);
    assert!(freed && second.granted && second.token > first.token, "{second:?}");
    toolkit.unlock(name(), second.owner).await?;
    Ok(())
}
