//! Bodies of HTTP messages: gzip as Python's `xmlrpc` uses it.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, header};

/// A response must be longer than this to be compressed: one packet's worth, the threshold of Python's server.
pub(crate) const GZIP_THRESHOLD: usize = 1_400;

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
}
