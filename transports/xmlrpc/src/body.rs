//! Bodies of HTTP messages: read within a limit, and gzip as Python's `xmlrpc` uses it.

use std::{
    fmt,
    io::{self, Read, Write},
};

use bytes::Bytes;
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

/// A response must be longer than this to be compressed: one packet's worth, the threshold of Python's server.
pub(crate) const GZIP_THRESHOLD: usize = 1_400;

/// Why a body can't be had.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// It is longer than the limit, on the wire or after decompression.
    TooLong,
    /// Its coding is neither gzip nor none.
    UnknownCoding,
    /// It is not gzip, although its header says so.
    NotGzip(io::Error),
    /// The connection failed on the way.
    Broken(hyper::Error),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("the body is longer than the limit"),
            Self::UnknownCoding => f.write_str("the one content coding known here is gzip"),
            Self::NotGzip(error) => write!(f, "the body is not gzip: {error}"),
            Self::Broken(error) => write!(f, "the body broke off: {error}"),
        }
    }
}

/// Reads `body`, at most `limit` bytes, as `headers` say that it is coded. A length announced beyond the limit is refused
/// before anything is read.
pub(crate) async fn read(headers: &HeaderMap, body: Incoming, limit: usize) -> Result<Bytes, BodyError> {
    let gzip = is_gzip(headers)?;
    let body = collect(body, limit).await?;
    if gzip { decompress(&body, limit).map(Bytes::from) } else { Ok(body) }
}

fn is_gzip(headers: &HeaderMap) -> Result<bool, BodyError> {
    match headers.get(header::CONTENT_ENCODING).map(|coding| coding.as_bytes().to_ascii_lowercase()).as_deref() {
        None | Some(b"identity" | b"") => Ok(false),
        Some(b"gzip" | b"x-gzip") => Ok(true),
        Some(_) => Err(BodyError::UnknownCoding),
    }
}

async fn collect(mut body: Incoming, limit: usize) -> Result<Bytes, BodyError> {
    if body.size_hint().lower() > limit as u64 {
        return Err(BodyError::TooLong);
    }
    let Some(first) = next(&mut body).await? else { return Ok(Bytes::new()) };
    // An ordinary request arrives whole and stays where it was received.
    if body.is_end_stream() && first.len() <= limit {
        return Ok(first);
    }
    let mut whole = Vec::from(first);
    while let Some(more) = next(&mut body).await? {
        if whole.len() + more.len() > limit {
            return Err(BodyError::TooLong);
        }
        whole.extend_from_slice(&more);
    }
    if whole.len() > limit { Err(BodyError::TooLong) } else { Ok(whole.into()) }
}

async fn next(body: &mut Incoming) -> Result<Option<Bytes>, BodyError> {
    while let Some(frame) = body.frame().await {
        // What is no data is trailers, which mean nothing here.
        if let Ok(data) = frame.map_err(BodyError::Broken)?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

fn decompress(body: &[u8], limit: usize) -> Result<Vec<u8>, BodyError> {
    let mut whole = Vec::new();
    let within = limit as u64 + 1;
    MultiGzDecoder::new(body).take(within).read_to_end(&mut whole).map_err(BodyError::NotGzip)?;
    if whole.len() > limit { Err(BodyError::TooLong) } else { Ok(whole) }
}

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
        assert!(matches!(decompress(&bomb, (1 << 20) - 1), Err(BodyError::TooLong)));
        assert_eq!(decompress(&bomb, 1 << 20).unwrap().len(), 1 << 20);
        assert!(matches!(decompress(b"plain", 10), Err(BodyError::NotGzip(_))));
    }
}
