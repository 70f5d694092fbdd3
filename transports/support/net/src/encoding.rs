//! Content codings: compressed bodies (RFC 9110, section 8.4).

use std::{
    io::{Read, Write},
    sync::Arc,
};

use everywire_core::{
    Budget, Limit, Result, RpcError,
    wire::{CancellationToken, Encoded, MessageBuffer, offload},
};
use flate2::{
    Compression,
    read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder},
    write::GzEncoder,
};
use http::{HeaderMap, header};
use hyper::body::Incoming;

use crate::body::{self, Received};

/// The content codings that bodies may have, as a value of `Accept-Encoding` (RFC 9110, section 12.5.3).
pub const ACCEPTED: &str = "gzip, deflate";

/// A response must be longer than this to be compressed: one packet's worth, the threshold of Python's XML-RPC server.
const GZIP_THRESHOLD: usize = 1_400;

/// How much is decompressed before it is counted against the limits.
const PIECE_BYTES: u64 = 64 << 10;

/// A content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// The bytes as they are.
    Identity,
    /// RFC 1952.
    Gzip,
    /// The zlib format of RFC 1950. Some clients send the bare stream of RFC 1951 under this name, so both are read.
    Deflate,
}

impl Encoding {
    /// The coding of a body with these headers. An unknown one, or one on top of another, is `UNIMPLEMENTED`, for which
    /// [`not_received`](crate::http1::not_received) responds with 415.
    pub fn of(headers: &HeaderMap) -> Result<Self> {
        let mut found = Self::Identity;
        for value in headers.get_all(header::CONTENT_ENCODING) {
            for name in value.to_str().unwrap_or("?").split(',') {
                match (found, Self::named(name)) {
                    (_, Some(Self::Identity)) => {}
                    (Self::Identity, Some(encoding)) => found = encoding,
                    _ => return Err(RpcError::unimplemented(format!("expected one content coding of {ACCEPTED}"))),
                }
            }
        }
        Ok(found)
    }

    /// The coding with this name, in any case. No name is the name of [`Identity`](Self::Identity).
    pub fn named(name: &str) -> Option<Self> {
        let known = [
            ("", Self::Identity),
            ("identity", Self::Identity),
            ("gzip", Self::Gzip),
            ("x-gzip", Self::Gzip),
            ("deflate", Self::Deflate),
        ];
        known.into_iter().find(|(known, _)| name.trim().eq_ignore_ascii_case(known)).map(|(_, encoding)| encoding)
    }

    /// Decodes a body, and stops once the result is longer than `decompressed_bytes`, which is `RESOURCE_EXHAUSTED`. A body
    /// that is not in this coding is `INVALID_ARGUMENT`.
    pub fn decode(self, received: Received, budget: &Budget) -> Result<Received> {
        match self {
            Self::Identity => Ok(received),
            // A short body may decompress to a long one, so its own length says nothing about the work.
            Self::Gzip | Self::Deflate => {
                offload(budget.limits().decompressed_bytes, || self.decompress(received, budget))
            }
        }
    }

    fn decompress(self, Received { bytes, mut reservation }: Received, budget: &Budget) -> Result<Received> {
        let limit = budget.limits().decompressed_bytes;
        let mut decoder = self.decoder(&bytes);
        let mut whole = Vec::new();
        loop {
            let before = whole.len();
            let piece = (&mut decoder).take(PIECE_BYTES).read_to_end(&mut whole);
            piece.map_err(|error| RpcError::invalid_argument(format!("the body is not {self:?}: {error}")))?;
            if whole.len() == before {
                drop(decoder);
                return Ok(Received { bytes: whole.into(), reservation });
            }
            if whole.len() > limit {
                return Err(budget.exceeded(Limit::DecompressedBytes, "the body is too long once it is decompressed"));
            }
            reservation.try_resize(bytes.len() + whole.len())?;
        }
    }

    fn decoder(self, bytes: &[u8]) -> Box<dyn Read + '_> {
        match self {
            Self::Identity => Box::new(bytes),
            Self::Gzip => Box::new(MultiGzDecoder::new(bytes)),
            Self::Deflate if is_zlib(bytes) => Box::new(ZlibDecoder::new(bytes)),
            Self::Deflate => Box::new(DeflateDecoder::new(bytes)),
        }
    }
}

/// Whether `bytes` begin with the header of RFC 1950, section 2.2. As the start of a bare stream it would be an uncompressed
/// block whose unused bits are not zero, which no encoder writes.
fn is_zlib(bytes: &[u8]) -> bool {
    matches!(bytes, &[method, flags, ..] if method & 0x8f == 8 && u16::from_be_bytes([method, flags]).is_multiple_of(31))
}

/// [Receives](crate::http1::receive) the body of a request and decodes it.
pub async fn receive(
    headers: &HeaderMap,
    body: Incoming,
    budget: &Arc<Budget>,
    stop: &CancellationToken,
) -> Result<Received> {
    let encoding = Encoding::of(headers)?;
    encoding.decode(body::receive(body, budget, stop).await?, budget)
}

/// [Collects](crate::http1::collect) the body of a response and decodes it.
pub async fn collect(headers: &HeaderMap, body: Incoming, budget: &Arc<Budget>) -> Result<Received> {
    let encoding = Encoding::of(headers)?;
    encoding.decode(body::collect(body, budget).await?, budget)
}

/// Compresses the `body` of a response as gzip if it is longer than 1,400 bytes, the request's `headers` accept gzip, and the
/// budget has room for both.
pub fn compressed(body: &[u8], headers: &HeaderMap, budget: &Arc<Budget>) -> Option<Encoded> {
    if body.len() <= GZIP_THRESHOLD || !accepts_gzip(headers) {
        return None;
    }
    let out = MessageBuffer::new(Vec::new(), budget);
    offload(body.len(), || gzip(body, out)).finish().ok()
}

/// Appends `bytes` to `out`, which is in memory, as gzip, at the fastest level, as Python's XML-RPC server does.
pub fn gzip<W: Write>(bytes: &[u8], out: W) -> W {
    let mut encoder = GzEncoder::new(out, Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("writing to memory does not fail")
}

/// Whether `Accept-Encoding` allows gzip: named, and not with a quality of zero (RFC 9110, section 12.5.3).
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|coding| {
        let (name, parameter) = coding.split_once(';').unwrap_or((coding, ""));
        let quality = parameter.trim().strip_prefix("q=").and_then(|quality| quality.trim().parse::<f32>().ok());
        name.trim().eq_ignore_ascii_case("gzip") && quality != Some(0.0)
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use everywire_core::{Code, Limits};
    use flate2::write::{DeflateEncoder, ZlibEncoder};

    use super::*;

    fn zlib(body: &[u8], level: u32) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(level));
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn bare(body: &[u8], level: u32) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(level));
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn decoded(encoding: Encoding, body: &[u8], decompressed_bytes: usize) -> Result<Bytes, Code> {
        let budget = Budget::new(Limits { decompressed_bytes, ..Limits::default() });
        let received = Received { bytes: Bytes::copy_from_slice(body), reservation: budget.reserve() };
        encoding.decode(received, &budget).map(|received| received.bytes).map_err(|error| error.code())
    }

    #[test]
    fn the_coding_is_what_the_headers_name() {
        let cases: [(&[&str], _); 13] = [
            (&[], Some(Encoding::Identity)),
            (&[""], Some(Encoding::Identity)),
            (&["identity"], Some(Encoding::Identity)),
            (&["GZip"], Some(Encoding::Gzip)),
            (&["x-gzip"], Some(Encoding::Gzip)),
            (&[" deflate "], Some(Encoding::Deflate)),
            (&["identity, gzip"], Some(Encoding::Gzip)),
            (&["gzip", "identity"], Some(Encoding::Gzip)),
            (&["br"], None),
            (&["gzip, br"], None),
            (&["gzip, gzip"], None),
            (&["gzip", "deflate"], None),
            (&["zstd", "identity"], None),
        ];
        for (values, expected) in cases {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_ENCODING, value.parse().unwrap());
            }
            let found = Encoding::of(&headers);
            assert_eq!(found.as_ref().ok(), expected.as_ref(), "{headers:?}");
            assert!(found.is_ok() || found.is_err_and(|error| error.code() == Code::Unimplemented), "{headers:?}");
        }
    }

    #[test]
    fn what_encoders_write_is_read() {
        for text in [&b""[..], b"x", b"<methodCall/>", &b"x".repeat(100_000), &gzip(&[7; 3_000], vec![])] {
            assert_eq!(decoded(Encoding::Identity, text, 0).as_deref(), Ok(text));
            assert_eq!(decoded(Encoding::Gzip, &gzip(text, vec![]), 200_000).as_deref(), Ok(text));
            let twice = gzip(text, gzip(text, vec![]));
            assert_eq!(decoded(Encoding::Gzip, &twice, 200_000), Ok(text.repeat(2).into()));
            for level in [0, 1, 6, 9] {
                assert_eq!(decoded(Encoding::Deflate, &zlib(text, level), 200_000).as_deref(), Ok(text), "{level}");
                assert_eq!(decoded(Encoding::Deflate, &bare(text, level), 200_000).as_deref(), Ok(text), "{level}");
            }
        }
    }

    #[test]
    fn what_is_not_the_coding_or_too_long_is_an_error() {
        let text = b"x".repeat(1 << 20);
        for (encoding, body) in [
            (Encoding::Gzip, gzip(&text, vec![])),
            (Encoding::Deflate, zlib(&text, 6)),
            (Encoding::Deflate, bare(&text, 6)),
        ] {
            assert!(body.len() < 8_192, "{encoding:?}: {}", body.len());
            assert_eq!(decoded(encoding, &body, (1 << 20) - 1), Err(Code::ResourceExhausted), "{encoding:?}");
            assert_eq!(decoded(encoding, &body, 1 << 20).as_deref(), Ok(&text[..]), "{encoding:?}");
            assert_eq!(decoded(encoding, &body[..body.len() / 2], 1 << 20), Err(Code::InvalidArgument), "{encoding:?}");
            assert_eq!(decoded(encoding, b"<methodCall/>", 100), Err(Code::InvalidArgument), "{encoding:?}");
        }
    }

    #[test]
    fn gzip_is_chosen_by_name_and_quality() {
        let cases = [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip ; q=0", false),
            ("gzip;q=0.000, deflate", false),
            ("identity", false),
            ("", false),
        ];
        for (value, expected) in cases {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, value.parse().unwrap())]);
            assert_eq!(accepts_gzip(&headers), expected, "{value}");
        }
    }
}
