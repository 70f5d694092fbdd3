//! JSON-RPC 2.0 messages, for the wires that carry them.
//!
//! # A request and its response
//! ```text
//! {"jsonrpc":"2.0","id":1,"method":"add","params":[3, 4]}
//!
//! {"jsonrpc":"2.0","id":1,"result":7}
//! ```
//! [`answer`] turns the one into the other. Arguments travel by position, or by name as `"params":{"a":3,"b":4}`; trailing
//! optional ones may be left out, and `params` may be absent or `null` where nothing is required. An `id` is a string, a
//! number or `null`, and comes back as it was written. A request without one is a notification: it runs and gets no response.
//! A batch is an array of requests; they run one after the other. Members with other names are ignored, and no member may
//! occur twice. A message is UTF-8; a byte order mark before it is skipped.
//!
//! # Errors
//! ```text
//! {"jsonrpc":"2.0","id":1,"error":{"code":5,"message":"no such lock","data":{"code":"NOT_FOUND","details":{"name":"a"}}}}
//! {"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid Request","data":"`jsonrpc` is not \"2.0\""}}
//! ```
//! `code` is [`Code::fault_number`](everywire_core::Code::fault_number): -32601 for an unknown method, -32602 for arguments
//! that do not fit, -32603 for an internal error, and for every other code its own small number, which lies outside of
//! the range that the specification reserves. `data.code` is the name of the code, and `data.details` the error's
//! [data](everywire_core::RpcError::data), if it has any. For a message that is not a request, `data` is a text that says what is
//! wrong with it: -32700 if it is not JSON, -32600 if it is JSON but not a request.
//!
//! # Cancellation
//! ```text
//! {"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":1}}
//!
//! {"jsonrpc":"2.0","id":1,"error":{"code":-32800,"message":"the call was cancelled by its caller","data":{"code":"CANCELLED"}}}
//! ```
//! Where a connection carries several calls at a time, [`answer_at`] supports this notification of the Language Server
//! Protocol. It drops the calls with this id that are not done, also in a batch. Each gets one response: with this error and
//! the protocol's number, or with its reply if that was there first. The id has to be written as in the call. An id that no
//! call has is ignored.
//!
//! # Streams
//! ```text
//! {"jsonrpc":"2.0","id":1,"method":"count","params":[4]}
//! {"jsonrpc":"2.0","id":1,"result":{"token":"5b1c…","values":[0,1],"finished":false}}
//!
//! {"jsonrpc":"2.0","id":2,"method":"$/enumerator/next","params":{"token":"5b1c…","received":2}}
//! {"jsonrpc":"2.0","id":2,"result":{"values":[2,3],"finished":true}}
//! ```
//! The result of a method with a [stream](everywire_core::Streaming) has the items that are there at once, and a token if there are more.
//! `$/enumerator/next` waits for the next ones; an error among them is the error of the first call that finds no item before it.
//! `$/enumerator/abort` with the token ends the stream. This is how `StreamJsonRpc` sends an `IAsyncEnumerable`, but for `received`, which
//! only HTTP needs. There a call returns no item after 20 s without one.
//!
//! Over a WebSocket a peer can have the items sent, as jsonrpsee's subscriptions are:
//! ```text
//! {"jsonrpc":"2.0","id":1,"method":"subscribe_count","params":[1]}
//! {"jsonrpc":"2.0","id":1,"result":"5b1c…"}
//!
//! {"jsonrpc":"2.0","method":"count","params":{"subscription":"5b1c…","result":0}}
//! {"jsonrpc":"2.0","method":"count","params":{"subscription":"5b1c…","error":null}}
//! ```
//! The last notification has the error object, or `null` after the last item. `unsubscribe_count` with the subscription ends it. The
//! prefix stands before the method's own name, also in `demo.v1.Clock.subscribe_count`.
//!
//! # Limits
//! | limit | what exceeds it |
//! |---|---|
//! | `depth` | arguments; values in them nest at most 126 deep anyway, which is `serde_json`'s limit |
//! | `batch_calls` | a batch; none of its calls runs |
//! | `message_bytes` | a reply, or the replies of a batch together; a reply that no longer fits is an error |
//! | `buffered_bytes` | a reply for which all connections together leave no room |
//!
//! Each is rejected with `RESOURCE_EXHAUSTED`. A carrier enforces `message_bytes` on requests.
//!
//! # Numbers
//! Integers are exact over the whole of `i64` and `u64`, although many JavaScript clients round beyond 2^53. A number with a
//! point or an exponent is read as an integer if it is whole and below 2^53, as `3.0` and `1e3` are. JSON has no
//! infinite numbers: an infinity or a NaN is an error of its sender. In a reply it is `INTERNAL`, in arguments `INVALID_ARGUMENT`.
//!
//! Specification: [JSON-RPC 2.0](https://www.jsonrpc.org/specification).

mod answer;
mod call;
mod cancel;
mod client;
mod context;
mod envelope;
mod fault;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod loopback;
mod schema;
mod streams;
#[cfg(test)]
mod tests;
mod write;

pub use call::{Endpoint, answer, answer_at};
pub use cancel::{CANCEL, Cancellable, cancelled_before, cancelled_by};
pub use client::{Received, cancellation, check_request, items, params, reply, request, result_of, unreadable};
pub use context::members;
pub use fault::{rejection, reported};
#[doc(hidden)]
pub use loopback::Loopback;
pub use schema::check;
pub use streams::{ABORT, End, NEXT, Next, Subscription, error_response, is_of_open_stream, items_response};
