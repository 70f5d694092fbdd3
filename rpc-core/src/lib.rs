//! What every wire of everywire shares, and no wire's name.

mod arguments;
mod aside;
mod bounded;
mod budget;
mod client;
mod descriptor;
mod error;
mod limits;
pub mod memory;
mod server;
mod service;
pub mod shape;
mod tally;
mod waiting;
mod weight;
mod whole_floats;

pub use arguments::decode_again;
pub use aside::aside;
pub use bounded::{Cut, in_time};
pub use budget::{Budget, FREE_BYTES, Share};
pub use client::{CallSlots, Caller, DEFAULT_TIMEOUT, answer_within};
pub use descriptor::{Argument, Builder, Method, MethodBuilder, ServiceDescriptor, Type};
pub use error::{Code, Origin, Result, RpcError, fault_number};
pub use limits::{Limit, Limits};
pub use rpc_core_macros::service;
pub use server::{DEFAULT_GRACE, Server, Transport};
pub use service::{Call, Outcome, Service, invoke, unknown_method};
pub use tally::Tally;
pub use tokio_util::sync::CancellationToken;
pub use waiting::{PerConnection, Waiting};
pub use {schemars, serde};
