//! Compressed messages: gzip, in requests and replies.
//!
//! A client may compress any message: it sets the flag in the message's prefix and names the compression in
//! `grpc-encoding`. A reply longer than [`THRESHOLD`] is compressed if the client accepts gzip and its `grpc-encoding` is
//! gzip. Accepting alone is not enough, because every common client lists gzip in `grpc-accept-encoding`, whether it wants
//! it or not.
//!
//! Specification: <https://github.com/grpc/grpc/blob/master/doc/compression.md>.

use everywire_core::{Budget, Code, Result, RpcError};
use everywire_net::{encoding, http1::Received};
use http::{HeaderMap, HeaderName, HeaderValue};

/// The header that names the compression of the messages that have the flag.
pub(crate) const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// The header that lists the compressions that the peer may use.
pub(crate) const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// The compressions that server and client read.
pub(crate) const ACCEPTED: HeaderValue = HeaderValue::from_static("identity,gzip");

/// The compression that the server writes.
pub(crate) const GZIP: HeaderValue = HeaderValue::from_static("gzip");

/// A reply of up to so many bytes fits into one packet, so compressing it saves little.
pub(crate) const THRESHOLD: usize = 1 << 10;

/// What `grpc-encoding` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// No compression: a message with the flag is an error.
    Identity,
    Gzip,
    /// Any other compression. Messages without the flag can still be read.
    Unknown,
}

impl Encoding {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        match headers.get(&ENCODING).map(HeaderValue::as_bytes) {
            None | Some(b"" | b"identity") => Self::Identity,
            Some(b"gzip") => Self::Gzip,
            Some(_) => Self::Unknown,
        }
    }

    /// Decompresses a message that has the flag within `decompressed_bytes`.
    pub(crate) fn decode(self, message: Received, budget: &Budget) -> Result<Received> {
        match self {
            Self::Gzip => encoding::Encoding::Gzip.decode(message, budget).map_err(|error| match error.code() {
                Code::InvalidArgument => internal("a compressed message is not gzip"),
                _ => error,
            }),
            Self::Identity => {
                Err(internal("a message has the compressed flag, and grpc-encoding names no compression"))
            }
            Self::Unknown => Err(RpcError::unimplemented("unknown grpc-encoding; expected identity or gzip")),
        }
    }
}

fn internal(message: impl Into<String>) -> RpcError {
    RpcError::new(Code::Internal, message.into())
}

/// Whether the sender of these headers accepts gzip.
pub(crate) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(&ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|name| name.trim() == "gzip")
}

#[cfg(test)]
mod tests {
    use everywire_core::Limits;

    use super::*;

    #[test]
    fn gzip_is_accepted_by_name() {
        let cases: [(&[&str], bool); 7] = [
            (&["gzip"], true),
            (&["identity,deflate, gzip"], true),
            (&["identity", "gzip"], true),
            (&["identity,deflate"], false),
            (&["gzipped"], false),
            (&[""], false),
            (&[], false),
        ];
        for (values, expected) in cases {
            let headers = values.iter().map(|value| (ACCEPT_ENCODING, value.parse().unwrap()));
            let mut accepted = HeaderMap::new();
            accepted.extend(headers.map(|(name, value): (_, HeaderValue)| (Some(name), value)));
            assert_eq!(accepts_gzip(&accepted), expected, "{values:?}");
        }
    }

    #[test]
    fn decompression_stops_at_the_limit() {
        let bomb = encoding::gzip(&vec![0; 1 << 20], vec![]);
        assert!(bomb.len() < 8_192, "{}", bomb.len());
        let decoded = |encoding: Encoding, message: &[u8], decompressed_bytes| {
            let budget = Budget::new(Limits { decompressed_bytes, ..Limits::default() });
            let message = Received { bytes: message.to_vec().into(), reservation: budget.reserve() };
            let decoded = encoding.decode(message, &budget);
            assert!(budget.bytes() <= decompressed_bytes, "{}", budget.bytes());
            decoded.map(|decoded| decoded.bytes.len()).map_err(|error| error.code())
        };
        assert_eq!(decoded(Encoding::Gzip, &bomb, (1 << 20) - 1), Err(Code::ResourceExhausted));
        assert_eq!(decoded(Encoding::Gzip, &bomb, 1 << 20), Ok(1 << 20));
        assert_eq!(decoded(Encoding::Gzip, &bomb[..bomb.len() / 2], 1 << 20), Err(Code::Internal));
        assert_eq!(decoded(Encoding::Gzip, b"plain", 100), Err(Code::Internal));
        assert_eq!(decoded(Encoding::Gzip, b"", 100), Err(Code::Internal));
        assert_eq!(decoded(Encoding::Gzip, &encoding::gzip(b"", vec![]), 0), Ok(0));
        assert_eq!(decoded(Encoding::Identity, &bomb, 1 << 20), Err(Code::Internal));
        assert_eq!(decoded(Encoding::Unknown, &bomb, 1 << 20), Err(Code::Unimplemented));
    }
}
