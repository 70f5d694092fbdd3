//! The core of everywire: what every wire has in common. It names no wire and opens no socket.
//!
//! Most programs use it through the crate `everywire`, which re-exports everything here next to the wires. The root has
//! what is needed to write and serve a service, [`layer`] what stands around one, [`descriptor`] what a service looks like from outside, and [`wire`] what
//! the author of a wire needs.

mod accept;
mod arguments;
mod at_most_once;
mod both;
mod budget;
mod client;
mod connection;
mod context;
pub mod descriptor;
mod error;
mod finite;
pub mod layer;
mod limited;
mod limits;
mod listener;
pub mod memory;
mod message_buffer;
mod offload;
mod outcome;
mod protocol;
mod server;
mod service;
mod socket;
mod streaming;
mod tally;
mod waiting;
mod weight;
mod whole_floats;

pub use both::Both;
pub use budget::Budget;
pub use client::{Caller, DEFAULT_TIMEOUT};
pub use context::{Context, Extensions, Metadata, Trace};
pub use error::{Code, Origin, Result, RpcError};
pub use everywire_macros::service;
pub use limits::{Limit, Limits};
pub use listener::Peer;
pub use server::{DEFAULT_GRACE, Server, Transport};
pub use service::Service;
pub use streaming::{ItemSender, Streaming};
pub use {schemars, serde};

/// For authors of wires: the traits [`Protocol`](wire::Protocol), [`Listener`](wire::Listener) and [`Call`](wire::Call), the limits
/// of a connection, buffers and reservations of bytes, and helpers of servers and clients.
pub mod wire {
    pub use tokio_util::sync::CancellationToken;

    pub use crate::{
        arguments::decode_again,
        budget::{FREE_BYTES, Reservation},
        client::{CallSlots, items_within, response_within},
        connection::Connection,
        context::{LazyContext, Outgoing, deadline_after},
        error::fault_number,
        finite::{NotFinite, check_finite},
        limited::{Interrupted, run_until},
        listener::{Io, Listener, Peer},
        message_buffer::{Encoded, MessageBuffer},
        offload::offload,
        protocol::{Protocol, check_streams},
        service::Call,
        socket::{LEAST_TAKEN_BYTES, Socket},
        streaming::encode_item,
        tally::Tally,
        waiting::{PerConnection, Waiting},
    };
}

/// What `#[service]` generates refers to these. They may change in any version.
#[doc(hidden)]
pub mod __private {
    pub use serde;

    pub use crate::{
        client::Caller,
        context::Context,
        descriptor::{Method, ServiceDescriptor, Services},
        outcome::{Argument, Outcome, Returned},
        service::{Call, Service, foreign_method, invoke, invoke_with_context},
    };
}
