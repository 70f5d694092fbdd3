//! What a peer may cost: the same limits, with the same names, on every wire.

use std::time::Duration;

/// The limits of one mounted server. Every wire keeps those that it has a place for.
///
/// ```
/// let limits = rpc_core::Limits { connections: 64, ..Default::default() };
/// assert_eq!(limits.message_bytes, 8 << 20);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at the same time. One more is closed at once. Default 1,024.
    pub connections: usize,
    /// Time from a connection's first moment to a whole greeting, or for the head of one request. Default 5 s.
    pub handshake_time: Duration,
    /// Time for one message to arrive, from its first byte to its last. Default 30 s.
    pub message_time: Duration,
    /// Bytes of one message, after any compression is undone. Default 8 MiB.
    pub message_bytes: usize,
    /// How deep values may nest inside one another. Default 64.
    pub depth: usize,
    /// Calls that one connection may have in flight; reading pauses at the limit. Default 256.
    pub calls_in_flight: usize,
    /// Calls in one batch, on wires that have batches. Default 1,000.
    pub batch_calls: usize,
    /// Bytes of replies that one connection may leave unread; reading pauses at the limit. Default 1 MiB.
    pub unsent_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1_024,
            handshake_time: Duration::from_secs(5),
            message_time: Duration::from_secs(30),
            message_bytes: 8 << 20,
            depth: 64,
            calls_in_flight: 256,
            batch_calls: 1_000,
            unsent_bytes: 1 << 20,
        }
    }
}
