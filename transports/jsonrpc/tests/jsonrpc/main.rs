//! The wire over real sockets: our server, our client, and bytes written by hand.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

mod client;
mod http;
mod limits;
mod probe;
mod streams;
mod websocket;
