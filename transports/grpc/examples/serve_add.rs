//! `add` on everywire's gRPC wire, for comparison with `handwritten_add`: `serve_add PORT`, until stdin closes.

use std::sync::Arc;

use everywire_grpc::Server;
use rpc_core::{CancellationToken, Result, RpcError, Transport};
use tokio::io::{AsyncReadExt, stdin};

/// Adds.
#[rpc_core::service(package = "everywire.v1")]
pub trait Toolkit {
    /// Adds two integers.
    async fn add(&self, a: i64, b: i64) -> Result<i64>;
}

struct Adder;

impl Toolkit for Adder {
    async fn add(&self, a: i64, b: i64) -> Result<i64> {
        a.checked_add(b).ok_or_else(|| RpcError::out_of_range("the sum is beyond 64 bits"))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "50051".into());
    let server = Server::bind(&format!("127.0.0.1:{port}")).await?;
    println!("{}", server.address());
    let stop = CancellationToken::new();
    let serving = server.serve(Arc::new(ToolkitService::new(Adder)), stop.clone());
    let closed = async {
        let _ = stdin().read_to_end(&mut Vec::new()).await;
        stop.cancel();
    };
    tokio::join!(serving, closed).0
}
