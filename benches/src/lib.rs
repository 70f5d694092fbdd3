//! The harness behind `everywire bench`: what a call costs on each wire, and where the time goes.
//!
//! A [`plan`] says what is measured, in rounds that take turns. A [`target`] is called through everywire's own client
//! of its wire, by [`load`] in a closed or an open loop, while [`process`] looks at the server. What comes out is a
//! [`result`]; [`summary`] takes medians and spreads over the rounds, [`compare`] sets two results side by side, and
//! [`report`] is the page for people.

#![expect(clippy::cast_precision_loss, reason = "figures for people")]

pub mod baseline_server;
pub mod baselines;
pub mod batch;
pub mod compare;
pub mod cost;
pub mod echo;
pub mod load;
pub mod machine;
pub mod plan;
pub mod process;
pub mod progress;
pub mod report;
pub mod result;
pub mod run;
pub mod server;
pub mod summary;
pub mod target;
#[cfg(feature = "tarpc")]
pub mod tarpc_baseline;
pub mod tcp;
pub mod wiretap;

pub use echo::{Echo, EchoClient, EchoService, Plain};
use everywire::{Result, RpcError};
use tokio::io::{AsyncReadExt, stdin};

/// Ends when standard input closes: how the servers here are told to stop.
pub async fn stdin_closed() {
    let _ = stdin().read_to_end(&mut Vec::new()).await;
}

/// The argument at `position`, or what is missing.
pub fn argument(position: usize, name: &str) -> Result<String> {
    std::env::args().nth(position).ok_or_else(|| RpcError::invalid_argument(format!("argument {position} is {name}")))
}
