//! `add` over everywire's JSON-RPC wire: one side of the comparison with `handwritten_add`.
//!
//! Serves on the port given as argument until standard input closes.

use std::io;

use everywire_jsonrpc as jsonrpc;
use rpc_core::{Result, RpcError};

/// Adds.
#[rpc_core::service(package = "demo.v1")]
trait Calculator {
    /// Adds two integers.
    async fn add(&self, a: i64, b: i64) -> Result<i64>;
}

struct Plain;

impl Calculator for Plain {
    async fn add(&self, a: i64, b: i64) -> Result<i64> {
        a.checked_add(b).ok_or_else(|| RpcError::out_of_range("the sum is beyond 64 bits"))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "0".to_owned());
    let server = rpc_core::Server::new(CalculatorService::new(Plain))
        .mount(jsonrpc::Server::bind(&format!("127.0.0.1:{port}")).await?);
    server.endpoints().for_each(|endpoint| println!("{endpoint}"));
    server.serve_until(stdin_closed()).await
}

async fn stdin_closed() {
    let (closed, wait) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || closed.send(io::copy(&mut io::stdin(), &mut io::sink())));
    let _ = wait.await;
}
