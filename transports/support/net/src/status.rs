//! What an HTTP status means for a call whose response lacks the wire's own body.

use everywire_core::Code;

/// The code for an HTTP status that comes from a proxy, from another server, or from a wire that rejected the
/// request below its own protocol.
///
/// Source: "HTTP to gRPC Status Code Mapping" of the gRPC documentation, and 405, 413, 415 besides.
pub fn code_of_status(status: u16) -> Code {
    match status {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 | 405 | 415 => Code::Unimplemented,
        413 => Code::ResourceExhausted,
        429 | 502..=504 => Code::Unavailable,
        _ => Code::Unknown,
    }
}
