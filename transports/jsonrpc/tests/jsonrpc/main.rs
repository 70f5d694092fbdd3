//! The wire over real sockets: our server, our client, and bytes written by hand.

mod client;
mod http;
mod probe;
mod websocket;
