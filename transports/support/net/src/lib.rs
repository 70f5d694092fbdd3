//! What the wires over byte streams share: listeners on TCP, on Unix sockets and in memory; HTTP/1; a client's connection that
//! is opened again. It knows no wire.

mod address;
mod duplex;
pub mod encoding;
mod head;
mod head_timer;
pub mod http1;
mod input;
mod message;
mod origin;
mod shared;
mod status;
mod stream;
mod tcp;
#[cfg(unix)]
mod unix;

pub use address::{Address, reachable};
pub use duplex::{Duplex, DuplexConnector, duplex};
pub use input::poll_read_more;
pub use message::{arrived, buffered};
pub use origin::WebOrigins;
pub use shared::Shared;
pub use status::code_of_status;
pub use stream::{OsStream, Raw};
pub use tcp::Tcp;
#[cfg(unix)]
pub use unix::Unix;
