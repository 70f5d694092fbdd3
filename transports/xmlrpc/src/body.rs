//! Bodies of HTTP messages: gzip as Python's `xmlrpc` uses it.

use std::{
    io::{Read, Write},
    sync::Arc,
};

use everywire_net::http1::{Received, collect, receive};
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use http::{HeaderMap, header};
use hyper::body::Incoming;
use rpc_core::{Budget, CancellationToken, Limit, Result, RpcError, aside};

/// A response must be longer than this to be compressed: one packet's worth, the threshold of Python's server.
pub(crate) const GZIP_THRESHOLD: usize = 1_400;

/// Receives the body of a request, coded as `headers` say.
pub(crate) async fn request(
    headers: &HeaderMap,
    body: Incoming,
    budget: &Arc<Budget>,
    stop: &CancellationToken,
) -> Result<Received> {
    let gzip = is_gzip(headers)?;
    let received = receive(body, budget, stop).await?;
    if !gzip {
        return Ok(received);
    }
    // A short body may hold a long one.
    aside(budget.limits().decompressed_bytes, || decompress(received, budget))
}

/// Receives the body of a response, coded as `headers` say.
pub(crate) async fn response(headers: &HeaderMap, body: Incoming, budget: &Arc<Budget>) -> Result<Received> {
    let gzip = is_gzip(headers)?;
    let received = collect(body, budget).await?;
    if gzip { decompress(received, budget) } else { Ok(received) }
}

fn is_gzip(headers: &HeaderMap) -> Result<bool> {
    match headers.get(header::CONTENT_ENCODING).map(|coding| coding.as_bytes().to_ascii_lowercase()).as_deref() {
        None | Some(b"identity" | b"") => Ok(false),
        Some(b"gzip" | b"x-gzip") => Ok(true),
        Some(_) => Err(RpcError::unimplemented("the one content coding known here is gzip")),
    }
}

/// Undoes gzip piece by piece, so that a bomb costs no more than the limit.
pub(crate) fn decompress(received: Received, budget: &Budget) -> Result<Received> {
    let Received { bytes, mut share } = received;
    let limit = budget.limits().decompressed_bytes;
    let mut decoder = MultiGzDecoder::new(&bytes[..]);
    let mut whole = Vec::new();
    loop {
        let before = whole.len();
        let piece = (&mut decoder).take(PIECE_BYTES).read_to_end(&mut whole);
        piece.map_err(|error| RpcError::invalid_argument(format!("the body is not gzip: {error}")))?;
        if whole.len() == before {
            return Ok(Received { bytes: whole.into(), share });
        }
        if whole.len() > limit {
            return Err(budget.over(Limit::DecompressedBytes, "the body is too long once it is decompressed"));
        }
        share.hold(bytes.len() + whole.len())?;
    }
}

/// What is decompressed before it is counted.
const PIECE_BYTES: u64 = 64 << 10;

/// `body` as gzip at the fastest level, which Python takes too; writing to memory can't fail.
pub(crate) fn compress(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let compressed = encoder.write_all(body).and_then(|()| encoder.finish());
    compressed.unwrap_or_default()
}

/// Whether `Accept-Encoding` allows gzip: named, and not with a quality of zero (RFC 9110, section 12.5.3).
pub(crate) fn accepts_gzip(headers: &HeaderMap) -> bool {
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
    use rpc_core::{Code, Limits};

    use super::*;

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

    #[test]
    fn decompression_stops_at_the_limit() {
        let bomb = compress(&vec![0; 1 << 20]);
        assert!(bomb.len() < 8_192, "{}", bomb.len());
        let undone = |body: &[u8], decompressed_bytes| {
            let budget = Budget::new(Limits { decompressed_bytes, ..Limits::default() });
            let received = Received { bytes: Bytes::copy_from_slice(body), share: budget.share() };
            decompress(received, &budget).map(|received| received.bytes.len()).map_err(|error| error.code())
        };
        assert_eq!(undone(&bomb, (1 << 20) - 1), Err(Code::ResourceExhausted));
        assert_eq!(undone(&bomb, 1 << 20), Ok(1 << 20));
        assert_eq!(undone(b"plain", 10), Err(Code::InvalidArgument));
    }
}
