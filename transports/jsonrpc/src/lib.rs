//! JSON-RPC 2.0 over HTTP and WebSocket, on one port, with jsonrpsee.
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
//! content-type: application/json; charset=utf-8
//! content-length: 35
//!
//! {"jsonrpc":"2.0","id":1,"result":7}
//! ```
//! Over WebSocket the same two texts are one message each way, and answers come in the order in which calls finish.
//! Arguments travel by position, or by name as `"params":{"a":3,"b":4}`; trailing optional ones may be left out, and
//! `params` may be absent where nothing is required. A request without an `id` is a notification: it runs and gets no
//! answer (HTTP 204). A batch is an array of requests; they run one after the other.
//!
//! A `Content-Type` that is wrong or missing is forgiven. Web pages of other origins are refused: over HTTP by the browser,
//! which asks first for JSON, and over WebSocket by the server, which compares `Origin` with `Host`.
//!
//! `rpc.discover` answers with the service's [OpenRPC] document, which [`schema::openrpc`] makes.
//!
//! # Errors
//! ```text
//! {"jsonrpc":"2.0","id":1,"error":{"code":5,"message":"no such lock","data":{"code":"NOT_FOUND","details":{"name":"a"}}}}
//! ```
//! `code` is [`Code::fault_number`](rpc_core::Code::fault_number): -32601 for an unknown method, -32602 for arguments
//! that do not fit, -32603 for an internal error, and for every other code its own small number, which lies outside of
//! the range that the specification reserves. `data.code` is the name of the code, and `data.details` the error's
//! [data](rpc_core::RpcError::data), if it has any. -32700 (not JSON), -32600 (not a request) and -32007 to -32011 (too
//! large) are jsonrpsee's own and have no `data.code`.
//!
//! # Numbers, depth, ids
//! Integers are exact over the whole of `i64` and `u64`, although many JavaScript clients round beyond 2^53. JSON has no
//! infinite numbers: an infinity or a NaN becomes `null`. Values nest at most 128 deep, which is `serde_json`'s limit.
//! An id is a string, an integer of 64 bits without sign, or `null`; jsonrpsee takes a request with any other id for a
//! notification.
//!
//! Specification: [JSON-RPC 2.0].
//!
//! [JSON-RPC 2.0]: https://www.jsonrpc.org/specification
//! [OpenRPC]: https://spec.open-rpc.org

mod client;
mod connection;
mod fault;
mod frames;
mod link;
mod output;
pub mod schema;
mod server;
mod session;

pub use client::Client;
pub use server::Server;
