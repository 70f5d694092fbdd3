//! JSON-RPC 2.0 over HTTP and WebSocket, on one port. The messages are those of [`everywire_json`]; the client is jsonrpsee's.
//!
//! # The wire
//! `add(3, 4)` of `demo.v1.Calculator` is one POST; path and package do not matter:
//! ```text
//! POST / HTTP/1.1
//! Content-Type: application/json
//! Content-Length: 55
//!
//! {"jsonrpc":"2.0","id":1,"method":"add","params":[3, 4]}
//!
//! HTTP/1.1 200 OK
//! content-type: application/json
//! content-length: 35
//!
//! {"jsonrpc":"2.0","id":1,"result":7}
//! ```
//! A notification, and a batch of nothing else, is answered with a 200 whose body is empty. Of other methods OPTIONS is
//! answered with the methods that there are, and the rest is 405. A body that could not be received has an error object too:
//! 413 for one over `message_bytes`, `decompressed_bytes` or `buffered_bytes`, 408 for one over `message_time`, 415 for a
//! `Content-Encoding` besides gzip and deflate, 400 for a body that is not in it, 503 during a stop. An answer over
//! 1,400 bytes is compressed with gzip if the request accepts that.
//!
//! Over WebSocket (RFC 6455) the same two texts are one message each way, and answers come in the order in which calls
//! finish. Binary messages are taken like texts, fragments are put together, and nothing is compressed. A session is closed
//! with 1009 for a message over `message_bytes`, 1013 for one over `buffered_bytes`, 1008 for one over `message_time`, 1001
//! after `idle_time` and at the end of a stop, 1007 and 1002 for what is against the protocol.
//!
//! The notification `$/cancelRequest` ends a call of the same session: see [cancellation](everywire_json#cancellation).
//!
//! A handshake that offers one of the subprotocols `jsonrpc`, `jsonrpc2`, `jsonrpc2.0` and `jsonrpc-2.0` gets the first of
//! them; none has to be offered. Compression on offer is not accepted.
//!
//! A `Content-Type` that is wrong or missing is forgiven. A web page of another origin, or of a host that is a name, is
//! refused with 403, unless [`Server::allow_origin`] or [`Server::allow_host`] allows it; then preflights (CORS) are answered
//! and the page may read the answers. A request of HTTP/1.1 without exactly one `Host` is 400.
//!
//! `rpc.discover` answers with the service's [OpenRPC] document, which [`schema::openrpc`] makes.
//!
//! [OpenRPC]: https://spec.open-rpc.org

mod client;
mod connection;
mod fault;
mod frames;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod link;
mod output;
pub mod schema;
mod server;
mod session;

pub use client::Client;
pub use server::Server;
