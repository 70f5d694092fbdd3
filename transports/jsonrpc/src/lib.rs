//! JSON-RPC 2.0 over HTTP and WebSocket, on one port. The messages are those of [`everywire_json`], and the client's
//! WebSocket is jsonrpsee's.
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
//! A notification, or a batch of notifications only, is answered with an empty 200. OPTIONS is answered with the allowed
//! methods; any other method is 405. A body that can't be received is answered with an error object: 413 over
//! `message_bytes`, `decompressed_bytes` or `buffered_bytes`, 408 over `message_time`, 415 for a `Content-Encoding` other than
//! gzip and deflate, 400 for a body that is not in that encoding, 503 during a stop. An answer over 1,400 bytes is compressed
//! with gzip if the request accepts it.
//!
//! Over WebSocket (RFC 6455) the same two texts are one message each way, and answers come in the order in which calls
//! finish. Binary messages are taken like texts, fragments are put together, and nothing is compressed. A session is closed
//! with 1009 for a message over `message_bytes`, 1013 for one over `buffered_bytes`, 1008 for one over `message_time`, 1001
//! after `idle_time` and at the end of a stop, 1007 and 1002 for what is against the protocol.
//!
//! The notification `$/cancelRequest` ends a call of the same session: see [cancellation](everywire_json#cancellation).
//!
//! A handshake may offer the subprotocols `jsonrpc`, `jsonrpc2`, `jsonrpc2.0` and `jsonrpc-2.0`; the first one offered is
//! chosen. An offer of compression is not accepted.
//!
//! A `Content-Type` that is wrong or missing is ignored. A request of a web page of another origin, or of a host that is a
//! name, is rejected with 403 unless [`Server::origins`] allows it; then preflights (CORS) are
//! answered, and the page may read the answers. An HTTP/1.1 request without exactly one `Host` is 400.
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
mod gate;
mod push;
pub mod schema;
mod server;
mod session;

pub use client::Client;
pub use server::Server;
