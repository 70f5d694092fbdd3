//! Which web pages may call a server through a browser.

use std::net::{Ipv4Addr, Ipv6Addr};

use everywire_core::{Result, RpcError};
use http::{HeaderValue, Uri, uri::Authority};

/// The web pages that may call a server through a browser. By default these are the server's own pages, and only under an IP
/// address or `localhost`: the owner of any other name could make it resolve to this machine (DNS rebinding) and pass for
/// the server.
///
/// A browser sends a WebSocket handshake, and a POST whose content type is one that forms have, for any page. It names the
/// page in `Origin`. A request without that header does not come from a page.
#[derive(Debug, Clone, Default)]
pub struct WebOrigins {
    origins: Vec<WebOrigin>,
    hosts: Vec<String>,
}

impl WebOrigins {
    /// Allows pages of `origin`, such as `https://app.example`, to call any host of this server. There is no wildcard, and
    /// `null` is rejected because every sandboxed page has that origin.
    ///
    /// Otherwise `INVALID_ARGUMENT`.
    pub fn allow_origin(mut self, origin: &str) -> Result<Self> {
        let parsed = WebOrigin::parse(origin).ok_or_else(|| {
            RpcError::invalid_argument(format!(
                "`{origin}` is not a valid origin; expected SCHEME://HOST or SCHEME://HOST:PORT"
            ))
        })?;
        self.origins.push(parsed);
        Ok(self)
    }

    /// Allows pages that come from this server under the name `host`, such as `rpc.example`: both their `Origin` and the
    /// `Host` that they call are this name, with the same port. Programs that send an `Origin` made from the URL that they call
    /// need this as well.
    ///
    /// `INVALID_ARGUMENT` for a name with a scheme or a port.
    pub fn allow_host(mut self, host: &str) -> Result<Self> {
        let is_host = |authority: &Authority| authority.as_str() == authority.host() && !host.contains('*');
        if !host.parse::<Authority>().is_ok_and(|authority| is_host(&authority)) {
            let text = format!("`{host}` is not a valid host name; expected a name without scheme and port");
            return Err(RpcError::invalid_argument(text));
        }
        self.hosts.push(host.to_ascii_lowercase());
        Ok(self)
    }

    /// Whether a page of `origin` may call this server as `host`.
    pub(crate) fn allows(&self, origin: &HeaderValue, host: Option<&Authority>) -> bool {
        let Some(origin) = origin.to_str().ok().and_then(WebOrigin::parse) else { return false };
        self.origins.contains(&origin)
            || host.is_some_and(|host| {
                origin.is_at(host) && (is_ip_or_localhost(&origin.host) || self.hosts.contains(&origin.host))
            })
    }

    /// Whether `origin` was allowed by [`allow_origin`](Self::allow_origin).
    pub(crate) fn lists(&self, origin: &HeaderValue) -> bool {
        !self.origins.is_empty()
            && origin.to_str().ok().and_then(WebOrigin::parse).is_some_and(|origin| self.origins.contains(&origin))
    }
}

/// An origin (RFC 6454) in lower case, with its port.
#[derive(Debug, Clone, PartialEq, Eq)]
struct WebOrigin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

impl WebOrigin {
    /// `None` without a scheme and a host, as for `null`. A trailing `/` is accepted, because some programs send it.
    fn parse(text: &str) -> Option<Self> {
        let uri = text.parse::<Uri>().ok()?;
        let (scheme, authority) = (uri.scheme_str()?.to_ascii_lowercase(), uri.authority()?);
        let is_more = authority.as_str().contains(['@', '*']) || uri.path() != "/" || uri.query().is_some();
        if is_more || authority.host().is_empty() {
            return None;
        }
        let port = port(authority, &scheme);
        Some(Self { host: authority.host().to_ascii_lowercase(), port, scheme })
    }

    /// Whether the page came from `host`. Its scheme does not matter: a proxy with TLS may stand in front of the server.
    fn is_at(&self, host: &Authority) -> bool {
        self.host.eq_ignore_ascii_case(host.host()) && self.port == port(host, &self.scheme)
    }
}

/// The port, or the default port of the scheme.
fn port(authority: &Authority, scheme: &str) -> Option<u16> {
    authority.port_u16().or(match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    })
}

/// Whether no owner of a domain can point `host` elsewhere.
fn is_ip_or_localhost(host: &str) -> bool {
    host == "localhost"
        || host.parse::<Ipv4Addr>().is_ok()
        || host.strip_prefix('[').and_then(|host| host.strip_suffix(']')?.parse::<Ipv6Addr>().ok()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(origins: &WebOrigins, origin: &str, host: &str) -> bool {
        let host = host.parse().ok();
        origins.allows(&HeaderValue::from_str(origin).unwrap(), host.as_ref())
    }

    #[test]
    fn a_page_is_foreign_unless_its_origin_is_the_host() {
        let cases = [
            ("http://127.0.0.1:4242", "127.0.0.1:4242", true),
            ("https://127.0.0.1:4242", "127.0.0.1:4242", true),
            ("http://localhost:4242", "localhost:4242", true),
            ("http://LocalHost:4242/", "localhost:4242", true),
            ("http://[::1]:4242", "[::1]:4242", true),
            ("http://192.0.2.7", "192.0.2.7", true),
            ("http://192.0.2.7", "192.0.2.7:80", true),
            ("https://192.0.2.7:443", "192.0.2.7", true),
            ("https://192.0.2.7", "192.0.2.7:80", false),
            ("http://192.0.2.7", "192.0.2.7:4242", false),
            ("http://evil.example", "127.0.0.1:4242", false),
            ("http://evil.example:4242", "evil.example:4242", false),
            ("http://127.0.0.1.evil.example", "127.0.0.1.evil.example", false),
            ("http://127.0.0.1:4243", "127.0.0.1:4242", false),
            ("http://127.0.0.1:4242@evil.example", "127.0.0.1:4242", false),
            ("http://127.0.0.1:4242/page", "127.0.0.1:4242", false),
            ("http://127.0.0.1:4242, http://127.0.0.1:4242", "127.0.0.1:4242", false),
            ("http://127.0.0.1:4242", "", false),
            ("127.0.0.1:4242", "127.0.0.1:4242", false),
            ("null", "127.0.0.1:4242", false),
            ("null", "null", false),
            ("*", "127.0.0.1:4242", false),
            ("", "", false),
        ];
        for (origin, host, expected) in cases {
            assert_eq!(allows(&WebOrigins::default(), origin, host), expected, "{origin:?} {host}");
        }
    }

    #[test]
    fn what_was_allowed_is_allowed_and_nothing_like_it() {
        let origins = WebOrigins::default().allow_origin("https://app.example").unwrap();
        let origins = origins.allow_origin("HTTP://localhost:3000/").unwrap().allow_host("RPC.example").unwrap();
        let cases = [
            ("https://app.example", "127.0.0.1:4242", true),
            ("https://APP.example:443", "evil.example", true),
            ("http://localhost:3000", "127.0.0.1:4242", true),
            ("http://app.example", "127.0.0.1:4242", false),
            ("https://app.example:4242", "127.0.0.1:4242", false),
            ("https://app.example.evil.example", "127.0.0.1:4242", false),
            ("https://evil.app.example", "127.0.0.1:4242", false),
            ("https://app.example/page", "127.0.0.1:4242", false),
            ("http://localhost:3001", "127.0.0.1:4242", false),
            ("http://rpc.example:4242", "rpc.example:4242", true),
            ("http://rpc.example", "RPC.example:80", true),
            ("http://rpc.example", "127.0.0.1:4242", false),
            ("http://rpc.example:4242", "rpc.example:4243", false),
            ("http://evil.rpc.example:4242", "evil.rpc.example:4242", false),
            ("http://evil.example:4242", "evil.example:4242", false),
            ("http://evil.example:4242", "rpc.example:4242", false),
            ("null", "rpc.example:4242", false),
        ];
        for (origin, host, expected) in cases {
            assert_eq!(allows(&origins, origin, host), expected, "{origin:?} {host}");
        }
    }

    #[test]
    fn what_is_no_origin_or_no_host_is_rejected() {
        for origin in [
            "",
            "*",
            "null",
            "app.example",
            "https://",
            "https://*",
            "https://*.example",
            "https://a.example/x",
            "https://me@a.example",
            "https://a.example?x",
            "//a.example",
        ] {
            let error = WebOrigins::default().allow_origin(origin).expect_err(origin);
            assert!(error.message().starts_with(&format!("`{origin}` is not a valid origin; expected ")), "{error}");
        }
        for host in ["", "*", "*.example", "http://a.example", "a.example:80", "me@a.example", "a.example/", "a b"] {
            let error = WebOrigins::default().allow_host(host).expect_err(host);
            assert!(error.message().starts_with(&format!("`{host}` is not a valid host name; expected ")), "{error}");
        }
    }
}
