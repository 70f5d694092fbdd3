//! The wire over real sockets: our server, our client, and peers written by hand.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic anywhere")]

mod builtin;
mod calls;
mod compression;
mod demo;
mod floods;
mod limits;
mod peer;
mod requests;
mod servers;
