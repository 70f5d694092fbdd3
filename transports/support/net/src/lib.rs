//! What the wires over byte streams share: listeners on TCP, on Unix sockets and in memory; both sides of HTTP/1; how clients
//! limit and time their calls, and a connection that is opened again after it is lost. It knows no wire.

mod address;
mod body;
mod calls;
mod causes;
mod client;
pub mod context;
mod duplex;
pub mod encoding;
pub mod framed;
mod head;
mod head_timer;
pub mod http1;
mod input;
mod message;
mod origin;
pub mod pull;
mod reconnecting;
mod rejection;
mod status;
mod stream;
mod tcp;
#[cfg(unix)]
mod unix;

pub use address::{Address, reachable};
pub use calls::Calls;
pub use causes::with_causes;
pub use client::{Http1Client, Target, without_user_info};
pub use duplex::{Duplex, DuplexConnector, duplex};
pub use input::poll_read_more;
pub use message::arrived;
pub use origin::WebOrigins;
pub use reconnecting::Reconnecting;
pub use status::code_of_status;
pub use stream::{OsStream, Raw};
pub use tcp::Tcp;
#[cfg(unix)]
pub use unix::Unix;
