//! What a client may have in flight, and how long a response may be.

use everywire_core::Limits;

/// Calls in flight, and as many again that wait for other calls. Over HTTP each call takes a connection.
pub(super) const CALLS: usize = 512;

/// The longest response in bytes: twice what a server sends by default.
pub(super) fn max_response() -> usize {
    Limits::default().message_bytes * 2
}
