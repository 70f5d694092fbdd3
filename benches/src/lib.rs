//! What the programs here share: the one method that all of them serve or call.

use everywire::{Result, RpcError};
use tokio::io::{AsyncReadExt, stdin};

/// Adds.
#[everywire::service(package = "everywire.v1", crate = everywire::rpc_core)]
pub trait Adder {
    /// Adds two integers.
    async fn add(&self, a: i64, b: i64) -> Result<i64>;
}

/// The sum, or nothing beyond 64 bits.
#[derive(Debug)]
pub struct Plain;

impl Adder for Plain {
    async fn add(&self, a: i64, b: i64) -> Result<i64> {
        a.checked_add(b).ok_or_else(|| RpcError::out_of_range("the sum is beyond 64 bits"))
    }
}

/// Ends when standard input closes: how the programs here are told to stop.
pub async fn stdin_closed() {
    let _ = stdin().read_to_end(&mut Vec::new()).await;
}

/// The argument at `position`, or what is missing.
pub fn argument(position: usize, name: &str) -> Result<String> {
    std::env::args().nth(position).ok_or_else(|| RpcError::invalid_argument(format!("argument {position} is {name}")))
}
