//! What an answer of HTTP means where the wire's own answer is missing.

use everywire_core::Code;

/// The code behind an HTTP status: some proxy or another server stands there, or the wire below refused the request.
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
