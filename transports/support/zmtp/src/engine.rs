//! What runs the connections of a server.

use std::io;

use everywire_core::{
    Limit,
    wire::{self, Io, Tally},
};
use everywire_net::framed::{Connection, Ended};
use tokio::{io::AsyncWriteExt, time::timeout};

use crate::{Session, SocketType, framing::Zmtp, handshake::shake_hands};

/// Runs the connections of one server, within its limits.
///
/// | what a peer does | what bounds it |
/// |---|---|
/// | greets slowly or not at all | `handshake_time` |
/// | sends nothing, and waits for nothing | `idle_time`; the heartbeats of ZMTP are no messages |
/// | sends a message slowly | `message_time` for the whole message, however many bytes trickle in |
/// | announces or sends a long message | `message_bytes`, checked before anything is reserved; the buffer grows by what arrived |
/// | sends frames without end | 64 frames in a message, 1 KiB of them in front of the delimiter |
/// | sends many calls | `calls_in_flight` begin; more are held back until they take 1 MiB, then reading pauses |
/// | does not read its replies | `unsent_bytes`; then reading pauses, and `message_time` ends it ([`Socket`](wire::Socket)) |
/// | leaves while reading pauses | the socket tells, and its calls are cancelled |
/// | asks for long replies on many connections | `buffered_bytes` over all connections, if the session encodes them [within it](wire::MessageBuffer) |
/// | sends long messages on many connections | the same; then the one that needs more closes |
///
/// Each limit that is met is [recorded](everywire_core::Budget::record). An idle connection keeps buffers of at most 32 KiB.
#[derive(Debug)]
pub struct Engine {
    wire: &'static str,
    socket: SocketType,
    /// Peers whose handshake was rejected.
    rejected: Tally,
}

impl Engine {
    /// An engine of `wire` that announces `socket`: [`Router`](SocketType::Router), or [`Rep`](SocketType::Rep), which
    /// has one call in flight, as its answers carry no number and have to come in the order of the requests.
    pub fn new(wire: &'static str, socket: SocketType) -> Self {
        Self { wire, socket, rejected: Tally::default() }
    }

    /// Runs one connection until the peer closes it, or until the shutdown and the end of its calls.
    ///
    /// A peer whose handshake is rejected tries again and again, so the reason is logged at most once a second.
    ///
    /// An error says why the connection broke or was broken off: kind `InvalidData` for a peer that breaks the
    /// protocol, `TimedOut` or `QuotaExceeded` for one that met a limit, or what the socket said.
    pub async fn serve<S: Session>(&self, connection: wire::Connection<impl Io>, session: S) -> io::Result<()> {
        let wire::Connection { mut io, peer, budget, stop, .. } = connection;
        let zmtp = Zmtp::new((self.wire, self.socket), peer.clone(), &budget, session);
        let handshake = timeout(budget.limits().handshake_time, shake_hands(&mut io, self.socket));
        let Some(shaken) = stop.run_until_cancelled(handshake).await else { return Ok(()) };
        let input = match shaken {
            Ok(shaken) => shaken.inspect_err(|error| self.log_rejected(&peer, error))?,
            Err(_) => return Err(zmtp.exceeded_by(Limit::HandshakeTime, "did not complete the handshake in time")),
        };
        let mut connection = Connection::new(io, input, zmtp, &budget);
        if connection.run(&stop).await? == Ended::Drained {
            connection.io.linger();
            connection.io.shutdown().await?;
        }
        Ok(())
    }

    fn log_rejected(&self, peer: &wire::Peer, reason: &io::Error) {
        if reason.kind() == io::ErrorKind::InvalidData {
            let wire = self.wire;
            self.rejected.count(|times| tracing::warn!(%peer, times, "{wire}: a peer is rejected: {reason}"));
        }
    }

    /// How many handshakes were rejected.
    pub fn rejected(&self) -> u64 {
        self.rejected.times()
    }
}
