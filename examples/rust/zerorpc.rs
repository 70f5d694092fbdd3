//! zerorpc: the common calls, and a call that is cancelled.
//!
//! `cargo run --example zerorpc -- tcp://127.0.0.1:4243`

mod common;

use std::{env, time::Duration};

use everywire::{Result, zerorpc};
use everywire_toolkit::{Toolkit, ToolkitClient};
use tokio::time::timeout;

#[tokio::main]
async fn main() -> Result<()> {
    let url = env::args().nth(1).unwrap_or_else(|| "tcp://127.0.0.1:4243".into());
    let toolkit = ToolkitClient::new(zerorpc::Client::connect(&url).await?);
    common::run(&toolkit, "zerorpc.rs").await?;

    // A dropped call is cancelled on the server too: the client sends an event of its own, `_ew_cancel`.
    let name = || "zerorpc.rs".to_owned();
    let first = toolkit.lock(name(), 10_000, None, None).await?;
    assert!(first.granted, "{first:?}");
    let waits = toolkit.lock(name(), 10_000, Some(15_000), None);
    timeout(Duration::from_millis(200), waits).await.expect_err("the lock is held for 10 s");
    while toolkit.lock_state(name()).await?.waiting > 0 {}
    println!("nobody waits any more");
    assert!(toolkit.unlock(name(), first.owner).await?);
    Ok(())
}
