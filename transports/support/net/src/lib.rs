//! What the wires over TCP share: a server's bind, accept, limits and drain; HTTP/1; a client's connection that is opened
//! again.
//!
//! It knows no wire. A wire hands [`Listener::serve`] a function that runs one connection.

mod address;
pub mod encoding;
mod head;
pub mod http1;
mod input;
mod listener;
mod message;
mod origin;
mod shared;
mod socket;
mod status;

pub use address::{Address, reachable};
pub use input::poll_read_more;
pub use listener::Listener;
pub use message::{arrived, buffered};
pub use origin::WebOrigins;
pub use shared::Shared;
pub use socket::{LEAST_TAKEN_BYTES, Socket};
pub use status::code_of_status;
