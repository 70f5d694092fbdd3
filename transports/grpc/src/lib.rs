//! gRPC: messages in protocol buffers over HTTP/2.
//!
//! A call is one HTTP/2 request, `POST` to `/PACKAGE.SERVICE/METHOD`. Its body is one message, after a prefix of a
//! compression flag and a length. `add(3, 4)` of `everywire.v1.Toolkit`:
//!
//! ```text
//! :method: POST                              00                 not compressed
//! :scheme: http                              00 00 00 04        4 bytes follow
//! :path: /everywire.v1.Toolkit/Add           08 03              field 1 (a), varint: 3
//! content-type: application/grpc             10 04              field 2 (b), varint: 4
//! te: trailers
//! grpc-timeout: 30000000u                    30 seconds are left
//! ```
//!
//! The response has a body of the same form, and trailers with the status:
//!
//! ```text
//! :status: 200                               00 00 00 00 02
//! content-type: application/grpc             08 07              field 1 (value), varint: 7
//!
//! grpc-status: 0
//! ```
//!
//! An error has no body; its headers are the whole response:
//!
//! ```text
//! :status: 200
//! content-type: application/grpc
//! grpc-status: 3                             INVALID_ARGUMENT: RpcError's codes are gRPC's
//! grpc-message: argument%20`a`: ...          percent-encoded
//! grpc-status-details-bin: CAMSG...          RpcError's data, if it has any
//! ```
//!
//! Most peers limit headers, so the message of an error is cut after 2 KiB, and data of more than 3 KiB is left out.
//!
//! [`to_vec`] and [`from_slice`] convert plain serde types to messages and back; the `.proto` of [`schema`] describes the
//! messages. [`Server`] frames calls itself on h2, without the streams, boxes and second buffer that tonic's server needs
//! for calls of any kind. Statuses, health and reflection use tonic, and the connection of [`Client`] is tonic's `Channel`.
//!
//! Arguments that a request leaves out are zero, as proto3 defines, except those that are messages, which must be there. Unknown
//! fields are skipped. So a gRPC server can't reject a call for having too many arguments, or too few numbers and texts. Messages may be compressed with gzip; long replies are compressed
//! for clients that compress their requests.
//!
//! Specifications: [gRPC over HTTP/2](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md),
//! [status codes](https://github.com/grpc/grpc/blob/master/doc/statuscodes.md),
//! [encoding](https://protobuf.dev/programming-guides/encoding/).

mod authority;
mod body;
mod builtin;
mod call;
mod client;
mod clock;
mod codec;
mod compression;
mod connection;
mod envelope;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod head;
mod health;
mod items;
mod loopback;
mod pipe;
mod reflection;
mod router;
pub mod schema;
mod send_queue;
mod server;
mod settings;
mod status;

pub use client::Client;
pub use codec::{Codec, Error, from_slice, to_vec};
#[doc(hidden)]
pub use loopback::Loopback;
pub use schema::assert_proto;
pub use server::Server;
