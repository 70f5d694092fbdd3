//! What peers may use: the same limits, with the same names, on every wire.

use std::time::Duration;

/// Writes [`Limits`], its defaults, and [`Limit`] with the names.
macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:expr, $variant:ident;)+) => {
        /// The limits of a [`Server`](crate::Server), enforced by each of its wires as far as they apply to it.
        ///
        /// ```
        /// let limits = everywire_core::Limits { connections: 64, ..Default::default() };
        /// assert_eq!(limits.message_bytes, 8 << 20);
        /// ```
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Limits {
            $($(#[doc = $doc])+ pub $name: $type,)+
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        /// One of the [`Limits`], for messages and counts.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Limit {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Limit {
            /// Every limit, in the order of the fields.
            pub const ALL: &'static [Limit] = &[$(Limit::$variant),+];

            /// The name of the field, such as `message_bytes`.
            pub fn name(self) -> &'static str {
                match self { $(Limit::$variant => stringify!($name),)+ }
            }

            /// Its value in `limits`, for messages.
            pub(crate) fn value(self, limits: &Limits) -> String {
                match self { $(Limit::$variant => format!("{:?}", limits.$name),)+ }
            }
        }
    };
}

limits! {
    /// Connections open at the same time on one wire, not counting those with a call that [waits](crate::descriptor::Method::waits).
    /// One more is closed at once. Default 1,024.
    connections: usize = 1_024, Connections;
    /// Connections from one address: an IPv4 address, or a /64 network of IPv6. Loopback addresses have no such limit.
    /// Default 256.
    connections_per_address: usize = 256, ConnectionsPerAddress;
    /// Time for the greeting on a new connection, and for the head of each request from its first byte.
    /// Default 5 s.
    handshake_time: Duration = Duration::from_secs(5), HandshakeTime;
    /// How long a connection may stay open without a call. Default 10 min.
    idle_time: Duration = Duration::from_mins(10), IdleTime;
    /// Time for one message to arrive, from its first byte to its last; and for a peer to read what it is sent, or 64 KiB of
    /// it. Default 30 s.
    message_time: Duration = Duration::from_secs(30), MessageTime;
    /// Bytes of one message as it is sent. Default 8 MiB.
    message_bytes: usize = 8 << 20, MessageBytes;
    /// Bytes of one message after decompression. Default 8 MiB.
    decompressed_bytes: usize = 8 << 20, DecompressedBytes;
    /// Bytes of incomplete messages and of replies that are not sent yet, over all connections of all
    /// wires; a connection's first 8 KiB are not counted. Default 32 MiB.
    buffered_bytes: usize = 32 << 20, BufferedBytes;
    /// How deep values may nest inside one another. Default 64.
    depth: usize = 64, Depth;
    /// Calls that one connection may have in flight, not counting those that [wait](crate::descriptor::Method::waits). Further calls
    /// begin later. Default 256.
    calls_in_flight: usize = 256, CallsInFlight;
    /// Calls of one connection that may [wait](crate::descriptor::Method::waits) at the same time. One more is rejected. Default 1,024.
    waiting_calls: usize = 1_024, WaitingCalls;
    /// Calls in flight over all connections of all wires, and separately as many that [wait](crate::descriptor::Method::waits). One
    /// more of either is rejected. Default 8,192.
    calls_in_all: usize = 8_192, CallsInAll;
    /// Time for one call. A method that takes longer is cut off at its current `await`. Default 65 min, more than the longest wait
    /// for a lock.
    call_time: Duration = Duration::from_mins(65), CallTime;
    /// Calls in one batch, on wires that have batches. Default 1,000.
    batch_calls: usize = 1_000, BatchCalls;
    /// Bytes of replies that one connection may leave unread; reading pauses at the limit. Default 1 MiB.
    unsent_bytes: usize = 1 << 20, UnsentBytes;
    /// How long a [stream](crate::Streaming) over HTTP/1 stays open between two calls for its items. Default 60 s.
    stream_idle_time: Duration = Duration::from_mins(1), StreamIdleTime;
}
