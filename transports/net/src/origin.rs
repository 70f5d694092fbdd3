//! Requests that a browser sends for somebody else's page.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::{HeaderMap, header, uri::Authority};

/// Whether a browser sends this for a page that is not this server's. It does so unasked for a WebSocket, and for a POST
/// whose content type is one that forms have too.
///
/// The page is known by its `Origin`, which has to name the `Host` that was asked for; and that host has to be an IP
/// address or `localhost`. A name that its owner lets point to this machine (DNS rebinding) would be its own host too.
pub fn is_foreign_page(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let page = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    page.is_none() || page != host || !page.is_some_and(is_no_name)
}

/// Whether nobody can let `host`, perhaps with a port, point elsewhere.
fn is_no_name(host: &str) -> bool {
    let authority = host.parse::<Authority>();
    let host = authority.as_ref().map_or(host, Authority::host);
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<Ipv4Addr>().is_ok()
        || host.strip_prefix('[').and_then(|host| host.strip_suffix(']')?.parse::<Ipv6Addr>().ok()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_foreign_unless_its_origin_is_the_host() {
        let cases = [
            (None, "127.0.0.1:4242", false),
            (None, "evil.example:4242", false),
            (Some("http://127.0.0.1:4242"), "127.0.0.1:4242", false),
            (Some("https://127.0.0.1:4242"), "127.0.0.1:4242", false),
            (Some("http://localhost:4242"), "localhost:4242", false),
            (Some("http://[::1]:4242"), "[::1]:4242", false),
            (Some("http://192.0.2.7"), "192.0.2.7", false),
            (Some("http://evil.example"), "127.0.0.1:4242", true),
            (Some("http://evil.example:4242"), "evil.example:4242", true),
            (Some("http://127.0.0.1.evil.example"), "127.0.0.1.evil.example", true),
            (Some("http://127.0.0.1:4243"), "127.0.0.1:4242", true),
            (Some("null"), "127.0.0.1:4242", true),
            (Some(""), "127.0.0.1:4242", true),
        ];
        for (origin, host, expected) in cases {
            let mut headers = HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]);
            headers.extend(origin.map(|origin| (header::ORIGIN, origin.parse().unwrap())));
            assert_eq!(is_foreign_page(&headers), expected, "{origin:?} {host}");
        }
    }
}
