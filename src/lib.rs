//! One Rust trait on every wire.
//!
//! Write a trait once; serve it at the same time over XML-RPC, JSON-RPC (HTTP and WebSocket), gRPC, ZeroMQ (the zerorpc
//! protocol) and RabbitMQ; call it through typed clients that implement the same trait.
//!
#![doc = include_str!("../README.md")]

pub use everywire_core;
pub use everywire_core::*;
pub use everywire_core::{
    Code, Limits, Origin, Result, RpcError, Server, Service, Transport, descriptor::ServiceDescriptor, schemars, serde,
    service,
};

#[cfg(feature = "amqp")]
pub use everywire_amqp as amqp;
#[cfg(feature = "grpc")]
pub use everywire_grpc as grpc;
#[cfg(feature = "jsonrpc")]
pub use everywire_jsonrpc as jsonrpc;
#[cfg(feature = "xmlrpc")]
pub use everywire_xmlrpc as xmlrpc;
#[cfg(feature = "zerorpc")]
pub use everywire_zerorpc as zerorpc;
