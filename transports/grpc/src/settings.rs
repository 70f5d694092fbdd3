//! The HTTP/2 settings of a connection.

use everywire_core::Limits;
use h2::server::Builder;

/// The most bytes of headers in one request, as HTTP/2 counts them. It is more than a call may have, so that a call with too
/// many gets a gRPC status. Beyond it h2 answers 431, and beyond four times as many it ends the connection.
const HEADER_BYTES: u32 = 64 << 10;

/// Bytes that a peer may send before its calls have read them, on one stream and on all.
const WINDOW_BYTES: u32 = 1 << 20;

/// Calls that a peer may open and reset at once before it counts as an attack (CVE-2023-44487).
const RESETS: usize = 32;

/// Bytes of a stream that h2 takes before the peer has room for them.
const SEND_BYTES: usize = 16 << 10;

/// The settings for a connection within `limits`.
pub(crate) fn builder(limits: &Limits) -> Builder {
    let streams = streams(limits);
    let mut builder = Builder::new();
    builder
        .initial_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_send_buffer_size(SEND_BYTES)
        .max_concurrent_streams(u32::try_from(streams).unwrap_or(u32::MAX))
        // Frames that are under way on a rejected stream are no mistake of the peer.
        .max_concurrent_reset_streams(streams)
        .max_pending_accept_reset_streams(RESETS)
        .max_header_list_size(HEADER_BYTES);
    builder
}

/// How many streams a peer may have open. HTTP/2 has one such number, which the peer keeps to and which can't tell waiting
/// calls apart, so it is the sum of both limits.
pub(crate) fn streams(limits: &Limits) -> usize {
    limits.calls_in_flight.saturating_add(limits.waiting_calls)
}
