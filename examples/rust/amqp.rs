//! RabbitMQ: the common calls, and a queue that does not exist. The server needs `--amqp amqp://localhost`.
//!
//! `cargo run --example amqp -- amqp://localhost`

mod common;

use std::env;

use everywire::{Code, Result, amqp};
use everywire_toolkit::{Toolkit, ToolkitClient};

#[tokio::main]
async fn main() -> Result<()> {
    let url = env::args().nth(1).unwrap_or_else(|| "amqp://localhost".into());
    let toolkit = ToolkitClient::new(amqp::Client::connect(&url).await?);
    common::run(&toolkit, "amqp.rs").await?;

    // Requests are published as mandatory, so the broker reports a missing queue at once.
    let elsewhere = amqp::Client::connect(&url).await?.queue("nobody's");
    let error = ToolkitClient::new(elsewhere).add(3, 4).await.expect_err("there is no such queue");
    println!("no queue: {error}");
    assert_eq!(error.code(), Code::Unavailable);
    Ok(())
}
