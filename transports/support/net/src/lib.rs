//! What the wires over TCP share: a server's bind, accept, limits and drain; both sides of HTTP/1; how clients limit and time
//! their calls, and a connection that is opened again after it is lost.
//!
//! It knows no wire. A wire hands [`Listener::serve`] a function that runs one connection.

mod address;
mod calls;
mod causes;
mod client;
pub mod encoding;
mod head;
pub mod http1;
mod input;
mod listener;
mod message;
mod origin;
mod reconnecting;
mod socket;
mod status;

pub use address::{Address, reachable};
pub use calls::Calls;
pub use causes::with_causes;
pub use client::{Http1Client, Target};
pub use input::poll_read_more;
pub use listener::Listener;
pub use message::{arrived, buffered};
pub use origin::WebOrigins;
pub use reconnecting::Reconnecting;
pub use socket::{LEAST_TAKEN_BYTES, Socket};
pub use status::code_of_status;
