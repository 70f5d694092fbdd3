//! XML-RPC: the common calls, and many calls at the same time.
//!
//! `cargo run --example xmlrpc -- http://127.0.0.1:4242`

mod common;

use std::{env, sync::Arc};

use everywire::{Result, xmlrpc};
use everywire_toolkit::{Toolkit, ToolkitClient};
use tokio::task::JoinSet;

#[tokio::main]
async fn main() -> Result<()> {
    let url = env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:4242".into());
    // Compressed answers pay on slow networks only.
    let client = xmlrpc::Client::connect(&url).await?.gzip();
    let toolkit = ToolkitClient::new(client);
    common::run(&toolkit, "xmlrpc.rs").await?;

    // HTTP/1 answers in order, so each of these calls takes a connection of its own; they are kept for later ones.
    let toolkit = Arc::new(toolkit);
    let mut calls = JoinSet::new();
    for number in 0..20 {
        let toolkit = Arc::clone(&toolkit);
        calls.spawn(async move { toolkit.add(number, number).await });
    }
    let mut sums = calls.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
    sums.sort_unstable();
    println!("20 calls at the same time: {sums:?}");
    assert!(sums.into_iter().eq((0..20).map(|number| 2 * number)));
    Ok(())
}
