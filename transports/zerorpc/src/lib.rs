//! zerorpc, version 3: MessagePack over ZeroMQ, as the Python and Node packages speak it.
//!
//! # The wire
//! A client is a DEALER, the server a ROUTER, and a message is an empty frame, the delimiter, and a payload. This is the
//! request `add(3, 4)`, and its reply; each line ends where its explanation begins:
//!
//! ```text
//! 01 00                                  frame with MORE, 0 bytes: the delimiter
//! 00 39                                  last frame, 57 bytes: an event
//!    93                                     array of 3: header, name, args
//!    82                                        map of 2
//!       AA "message_id"  C4 20 <32 bytes>         the event's id, and so the channel's
//!       A1 "v"           03                       version of the protocol
//!    A3 "add"                                  the method
//!    92 03 04                                  the arguments by position; a map would be by name
//!
//! 01 00  00 65  93
//!    83 AA "message_id"  C4 20 <32 bytes>      the reply has an id of its own,
//!       A1 "v"           03
//!       AB "response_to" C4 20 <32 bytes>      and the channel's, with the same bytes and in the same type
//!    A2 "OK"                                   or ERR
//!    91 07                                     the value in an array; of ERR, [name, message, traceback]
//! ```
//!
//! The greeting and the frames are ZMTP 3.1 ([`everywire_zmtp`]). `_zpc_more` grants credit for more replies and matters to
//! streams only, which are not served here.
//!
//! # Heartbeats
//! Until a call has its reply, each side sends this event in the call's channel every 5 s:
//! ```text
//! 01 00  00 6A  93
//!    83 AA "message_id"  C4 20 <32 bytes>
//!       A1 "v"           03
//!       AB "response_to" C4 20 <32 bytes>      the channel
//!    A7 "_zpc_hb"
//!    91 00
//! ```
//! A client that receives none for two periods (10 s) considers the server lost: Python raises `LostRemote`. This server
//! cancels a call whose client sent none for two whole periods; it checks once per period, so this takes 10 to 15 s. A client
//! must therefore send heartbeats for calls that take longer, such as one that waits for a lock. To stop sending them cancels a call;
//! an event `_ew_cancel` in its channel, which everywire's clients send, cancels it at once.
//!
//! Heartbeats are read and sent at any time, even while calls are held back at `calls_in_flight`. The heartbeats of ZMTP
//! itself (PING and PONG, `ZMQ_HEARTBEAT_IVL`) watch the connection, not its calls, and work at any time as well.
//!
//! # Values
//! Structs are maps with the names of their fields, enums without data are strings, `None` and `()` are nil, integers
//! have all their 64 bits; bytes are bin where serde says bytes (`serde_bytes`) and an array of integers for a plain
//! `Vec<u8>`, and both are read. A type that MessagePack would damage or that Python can't read, such as a map with
//! integers as keys, is rejected before the server starts.
//!
//! # Errors
//! `ERR` has the name of an exception: `NameError` for an unknown method, `TypeError` for arguments that do not fit,
//! `ParseError` for a request that can't be read, `InternalError`, and for the other codes their names, such as
//! `NotFound`. [`RpcError::data`](everywire_core::RpcError::data) does not travel.
//!
//! # Built-in methods
//! `_zerorpc_ping`, `_zerorpc_name`, `_zerorpc_list`, `_zerorpc_help`, `_zerorpc_args` and `_zerorpc_inspect`, so that
//! `zerorpc tcp://127.0.0.1:4243` lists the methods.
//!
//! # Sources
//! [zerorpc's protocol](https://github.com/0rpc/zerorpc-python/blob/master/doc/protocol.md),
//! [ZMTP 3.1](https://rfc.zeromq.org/spec/37/), [request and reply](https://rfc.zeromq.org/spec/28/),
//! [MessagePack](https://github.com/msgpack/msgpack/blob/master/spec.md).

mod call;
mod client;
mod context;
mod envelope;
mod events;
mod fault;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod id;
mod loopback;
mod msgpack;
mod positional;
mod schema;
mod server;
mod session;
#[cfg(test)]
mod tests;

pub use client::Client;
#[doc(hidden)]
pub use loopback::Loopback;
pub use server::Server;
