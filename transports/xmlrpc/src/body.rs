//! What the headers of HTTP messages say of their bodies.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// The content type of requests and responses. Without the `charset`, HTTP libraries read text as ISO-8859-1.
pub(crate) const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("text/xml; charset=utf-8");

/// The header in which a client names the extensions that it reads: `nil`.
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
}
