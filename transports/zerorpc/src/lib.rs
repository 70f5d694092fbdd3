//! zerorpc.
mod envelope;
mod fault;
mod msgpack;
mod schema;
mod server;
pub mod zmtp;

pub use server::Server;
