//! Bodies of HTTP messages: gzip as Python's `xmlrpc` uses it, and what headers say of them.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// A response must be longer than this to be compressed: one packet's worth, the threshold of Python's server.
pub(crate) const GZIP_THRESHOLD: usize = 1_400;

/// What requests and responses are: without the `charset`, HTTP libraries take text for ISO-8859-1.
pub(crate) const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("text/xml; charset=utf-8");

/// The header in which a client says which extensions it reads: `nil`.
pub(crate) const EXTENSIONS: HeaderName = HeaderName::from_static("xmlrpc-extensions");

/// Whether the client says that it reads `<nil/>`.
pub(crate) fn reads_nil(headers: &HeaderMap) -> bool {
    headers.get(EXTENSIONS).is_some_and(|extensions| extensions == "nil")
}

/// The encoding that the content type names, if it names one.
pub(crate) fn charset(headers: &HeaderMap) -> Option<&str> {
    let content_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches(['"', '\'']);
        (name.trim().eq_ignore_ascii_case("charset") && !value.is_empty()).then_some(value)
    })
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
    fn the_charset_is_a_parameter_of_the_content_type() {
        let cases = [
            ("text/xml", None),
            ("text/xml; charset=utf-8", Some("utf-8")),
            ("text/xml;charset=\"ISO-8859-1\"", Some("ISO-8859-1")),
            ("application/xml; x=y ; Charset = 'latin1' ; z", Some("latin1")),
            ("text/xml; charset=", None),
            ("text/xml; charset", None),
            ("text/xml; xcharset=x", None),
            ("charset=x", None),
        ];
        for (value, expected) in cases {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, value.parse().unwrap())]);
            assert_eq!(charset(&headers), expected, "{value}");
        }
        assert_eq!(charset(&HeaderMap::new()), None);
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
