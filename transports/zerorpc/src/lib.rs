//! zerorpc.

use std::time::Duration;

mod client;
mod envelope;
mod fault;
mod link;
mod msgpack;
mod positional;
mod schema;
mod server;
pub mod zmtp;

pub use client::Client;
pub use server::Server;

/// The period of heartbeats while a call waits, in both directions.
const PERIOD: Duration = Duration::from_secs(5);
/// A peer is lost when it was silent for two whole periods, which the third tick proves.
const LOST_AFTER: u8 = 3;
