//! What the wires over TCP share: a server's bind, accept, limit and drain; a client's connection that is opened again.
//!
//! It knows no wire. A wire hands [`Listener::serve`] a function that runs one connection.

mod listener;
mod origin;
mod shared;
mod status;

use std::pin::Pin;

use hyper_util::server::graceful::GracefulConnection;
use rpc_core::CancellationToken;

pub use listener::Listener;
pub use origin::is_foreign_page;
pub use shared::Shared;
pub use status::code_of_status;

/// Drives one HTTP connection of hyper's to its end; on `shutdown` it answers the requests it has and closes.
pub async fn drive<C>(connection: C, shutdown: CancellationToken) -> Result<(), C::Error>
where
    C: GracefulConnection,
{
    let mut connection = Box::pin(connection);
    tokio::select! {
        ended = &mut connection => return ended,
        () = shutdown.cancelled() => {}
    }
    Pin::as_mut(&mut connection).graceful_shutdown();
    connection.await
}
