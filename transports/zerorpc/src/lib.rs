//! zerorpc.

mod call;
mod client;
mod envelope;
mod fault;
mod link;
mod msgpack;
mod positional;
mod schema;
mod server;
mod session;
#[cfg(test)]
mod tests;
pub mod zmtp;

pub use client::Client;
pub use server::Server;
