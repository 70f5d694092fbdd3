//! What the ZeroMQ wires share: the server side of ZMTP 3.0 and 3.1, for peers that ask: ROUTER or REP towards DEALER and
//! REQ, without security (NULL).
//!
//! It knows no wire. A [`Session`] turns each message into a call, a future that ends in a [`Reply`]; an
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
//! The loop is that of [`framed`](everywire_net::framed): one task owns the socket and the calls.
//!
//! What a peer may cost is bounded everywhere: see [`Engine`].
//!
//! A server that answers each message with its length:
//!
//! ```
//! use std::{future::{Ready, ready}, io};
//!
//! use bytes::Bytes;
//! use everywire_zmtp::{Engine, Envelope, Peer, Reply, Session, SocketType};
//! use everywire_core::{
//!     Budget, Limits,
//!     wire::{CancellationToken, Connection, Peer as Address},
//! };
//!
//! struct Lengths;
//!
//! impl Session for Lengths {
//!     type Call = Ready<Reply>;
//!     type Request = Reply;
//!     type Channel = ();
//!
//!     fn receive(
//!         &mut self,
//!         envelope: Envelope,
//!         body: &[Bytes],
//!         _peer: &mut Peer<'_, Self>,
//!     ) -> io::Result<Option<((), Reply)>> {
//!         let length: usize = body.iter().map(Bytes::len).sum();
//!         Ok(Some(((), Reply::new(envelope, length.to_string().into_bytes()))))
//!     }
//!
//!     fn call(&mut self, reply: Reply) -> Ready<Reply> {
//!         ready(reply)
//!     }
//! }
//!
//! # use everywire_zmtp::frames::{GREETING, put_ready};
//! # use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let (mut peer, socket) = tokio::io::duplex(1024);
//! # let mut hello = GREETING.to_vec();
//! # put_ready(&mut hello, SocketType::Req);
//! # peer.write_all(&hello).await.unwrap();
//! # peer.write_all(b"\x01\x00\x00\x05hello").await.unwrap();
//! # let asking = async move {
//! #     let mut answer = [0; 64 + 27 + 5];
//! #     peer.read_exact(&mut answer).await.map(|_| answer)
//! # };
//! let engine = Engine::new("lengths", SocketType::Rep);
//! let budget = Budget::new(Limits::default());
//! let connection = Connection::new(socket, Address::LOCAL, &budget, CancellationToken::new());
//! # let serving = async {
//! engine.serve(connection, Lengths).await
//! # };
//! # let (answer, served) = tokio::join!(asking, serving);
//! # served.unwrap();
//! # assert!(answer.unwrap().ends_with(b"\x03REP\x01\x00\x00\x015"));
//! # });
//! ```

mod engine;
pub mod frames;
mod framing;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod handshake;
mod session;
#[cfg(test)]
mod tests;

pub use engine::Engine;
pub use frames::SocketType;
pub use session::{Envelope, Output, Peer, Reply, Session};
