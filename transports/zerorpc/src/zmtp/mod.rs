//! The server side of ZMTP 3.0 and 3.1, for peers that ask: ROUTER or REP towards DEALER and REQ, without security (NULL).
//!
//! It knows nothing of zerorpc. A [`Session`] turns each message into a call, a future that ends in a [`Reply`]; an
//! [`Engine`] runs one session per connection:
//!
//! ```text
//! peer                                             server
//! FF 00..01 7F 03 01 "NULL" 00..  (64 bytes)  ->   <-  the same           greeting
//! 04 1C 05 "READY" 0B "Socket-Type" .. "DEALER" -> <-  .. "ROUTER"        ready
//! 01 00 | 00 2F <47 bytes>                     ->                         envelope, delimiter | body
//!                                                  <-  01 00 | 00 47 <71 bytes>
//! ```
//!
//! One task owns the socket and does everything in a loop written by hand: dispatch what was read, collect what is
//! finished, write once, read. A call is polled in place first, and only one that has to wait becomes a task, so that a
//! call which answers at once costs no allocation, no wake-up and no system call of its own.
//!
//! What a peer may cost is bounded everywhere: see [`Engine`].

mod budget;
mod engine;
pub mod frames;
mod session;
#[cfg(test)]
mod tests;

pub use engine::Engine;
pub use frames::SocketType;
pub use session::{Calls, Envelope, Output, Peer, Reply, Session};
