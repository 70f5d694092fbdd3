//! A rate limiter in its plainest form: a ZeroMQ REQ asks with any message, and a REP answers `go` or `sorry`.
//!
//! # The wire
//! A request is an empty frame, the delimiter, and any message; the answer has the same delimiter and one word. The greeting and the frames are ZMTP 3.1 ([`everywire_zmtp`]).
//!
//! ```text
//! 01 00                  frame with MORE, 0 bytes: the delimiter
//! 00 09 "let me go"      last frame, 9 bytes, never looked at
//!
//! 01 00  00 02 "go"      or  00 05 "sorry"
//! ```
//!
//! In Python: `s = zmq.Context().socket(zmq.REQ)`, `s.connect("tcp://127.0.0.1:7777")`, `s.send(b"let me go")`; then
//! `s.recv()` is `b"go"` or `b"sorry"`.
//!
//! # The method behind it
//! Every message is a call of `acquire(resource)`, where `resource` is the server's own ([`Server::resource`]), and the
//! field `go` of its reply becomes the word. So a client that calls `acquire("locker")` over another wire shares its permits. A
//! service without such a method is rejected when it is mounted.
//!
//! # Errors
//! The wire has two words, and clients know no third: a client that waits on `sorry` would take any other word for `go`. So
//! everything but `go` is `sorry`: an error of the method, a panic, a server that is shutting down. The log has the reason.
//!
//! # Lost answers
//! Every message that was read is answered, even during shutdown. But a REQ that has asked waits forever if the server is killed or
//! the connection breaks before the answer, because nothing on this wire retries. A client that must survive this sets the options
//! `ZMQ_RCVTIMEO`, `ZMQ_REQ_RELAXED` and `ZMQ_REQ_CORRELATE`, and asks again after the timeout; the server returns each request's
//! number, as these options need. An answer that was lost has taken its permit.
//!
//! # Sources
//! [ZMTP 3.1](https://rfc.zeromq.org/spec/37/), [request and reply](https://rfc.zeromq.org/spec/28/).

mod call;
mod schema;
mod server;

pub use server::Server;
