//! JSON-RPC over HTTP: the common calls, and the error when no server is there.
//!
//! `cargo run --example jsonrpc -- http://127.0.0.1:4244`

mod common;

use std::{env, net::TcpListener, time::Duration};

use everywire::{Code, Origin, Result, RpcError, jsonrpc};
use everywire_toolkit::{Toolkit, ToolkitClient};

#[tokio::main]
async fn main() -> Result<()> {
    let url = env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:4244".into());
    // Longer than the longest wait for a lock.
    let client = jsonrpc::Client::connect(&url).await?.timeout(Duration::from_secs(20));
    common::run(&ToolkitClient::new(client), "jsonrpc.rs").await?;

    // A port on which no one listens any more.
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr()).map_err(RpcError::internal)?;
    let client = jsonrpc::Client::connect(&format!("http://{nobody}")).await?;
    let error = ToolkitClient::new(client).add(3, 4).await.expect_err("nobody is there");
    println!("nobody: {error}");
    assert_eq!((error.code(), error.origin()), (Code::Unavailable, Origin::Local));
    Ok(())
}
