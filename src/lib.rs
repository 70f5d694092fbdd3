//! One Rust trait on every wire.
//!
//! The root has what is needed to write, serve and call a service. [`wire`] is for authors of wires, [`descriptor`] for tools that
//! read what a service looks like, and [`memory`] for tests. Each wire is a module, behind a feature of its name.
//! A wire over byte streams is mounted together with where they come from: [`Tcp`], [`Unix`], or [`duplex`] in a test.
//!
//! ```
//! use std::sync::Arc;
//!
//! use everywire::{Result, memory, service};
//!
//! #[service(package = "demo.v1")]
//! pub trait Calculator {
//!     /// Adds two integers.
//!     async fn add(&self, a: i64, b: i64) -> Result<i64>;
//! }
//!
//! struct Plain;
//!
//! impl Calculator for Plain {
//!     async fn add(&self, a: i64, b: i64) -> Result<i64> {
//!         Ok(a + b)
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<()> {
//! // A client of this process; a client of any wire takes its place.
//! let caller = memory::Client::new(Arc::new(CalculatorService::new(Plain)));
//! assert_eq!(CalculatorClient::new(caller).add(3, 4).await?, 7);
//! # Ok(())
//! # }
//! ```
//!
//! [`connect`] returns such a client for the URL of a server on any wire, and each wire's module has a client with its own options.
//! [`Server`] serves the same `CalculatorService` on every wire that is mounted. The repository's `README.md` has a server with two
//! wires, and a tour of the code.

#[cfg(any(feature = "amqp", feature = "grpc", feature = "jsonrpc", feature = "xmlrpc", feature = "zerorpc"))]
mod client;

#[cfg(any(feature = "amqp", feature = "grpc", feature = "jsonrpc", feature = "xmlrpc", feature = "zerorpc"))]
pub use client::{Client, connect};
#[doc(hidden)]
pub use everywire_core::__private;
#[doc(inline)]
pub use everywire_core::{
    Both, Budget, Caller, Code, Context, DEFAULT_GRACE, DEFAULT_TIMEOUT, Extensions, ItemSender, Limit, Limits,
    Metadata, Origin, Peer, Result, RpcError, Server, Service, Streaming, Trace, Transport, descriptor, layer, memory,
    schemars, serde, service, wire,
};

#[cfg(feature = "amqp")]
pub use everywire_amqp as amqp;
#[cfg(feature = "grpc")]
pub use everywire_grpc as grpc;
#[cfg(feature = "jsonrpc")]
pub use everywire_jsonrpc as jsonrpc;
#[cfg(all(feature = "net", unix))]
#[doc(inline)]
pub use everywire_net::Unix;
#[cfg(feature = "net")]
#[doc(inline)]
pub use everywire_net::{Duplex, DuplexConnector, Tcp, WebOrigins, duplex};
#[cfg(feature = "xmlrpc")]
pub use everywire_xmlrpc as xmlrpc;
#[cfg(feature = "zerorpc")]
pub use everywire_zerorpc as zerorpc;

/// Compiles the examples of this document.
#[cfg(doctest)]
#[doc = include_str!("../docs/context.md")]
struct ContextDocument;

/// Does the same with the document about streams.
#[cfg(doctest)]
#[doc = include_str!("../docs/streams.md")]
struct StreamsDocument;

/// Compiles the examples of the README. It is not the documentation of the crate, because its links are relative to the repository.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
