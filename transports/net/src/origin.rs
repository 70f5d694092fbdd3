//! Requests that a browser sends for somebody else's page.

use http::{HeaderMap, HeaderValue, header};

/// Whether a browser sends this for a page that is not this server's. It does so unasked for a WebSocket, and for a POST
/// whose content type is one that forms have too.
///
/// The page is known by its `Origin`, which has to name the `Host` that was asked for.
pub fn is_foreign_page(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let origin_host = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host.as_bytes());
    origin_host.is_none() || origin_host != headers.get(header::HOST).map(HeaderValue::as_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_foreign_unless_its_origin_is_the_host() {
        let cases = [
            (None, false),
            (Some("http://127.0.0.1:4242"), false),
            (Some("https://127.0.0.1:4242"), false),
            (Some("http://evil.example"), true),
            (Some("http://127.0.0.1:4243"), true),
            (Some("null"), true),
            (Some(""), true),
        ];
        for (origin, expected) in cases {
            let mut headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("127.0.0.1:4242"))]);
            headers.extend(origin.map(|origin| (header::ORIGIN, HeaderValue::from_static(origin))));
            assert_eq!(is_foreign_page(&headers), expected, "{origin:?}");
        }
    }
}
