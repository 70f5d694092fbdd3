//! The URL of a server.

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{
    HeaderValue, Uri,
    uri::{Authority, PathAndQuery},
};
use percent_encoding::percent_decode_str;

/// The URL of an HTTP server, taken apart once.
#[derive(Debug, Clone)]
pub struct Target {
    /// `HOST:PORT`, to connect to.
    pub(super) address: String,
    /// The value of `Host`: without the port if the URL has none.
    pub(super) host: HeaderValue,
    pub(super) path: Uri,
    /// The credentials (RFC 7617) of a URL with a password, in which `%40` stands for `@`.
    pub(super) authorization: Option<HeaderValue>,
    has_user_info: bool,
}

impl Target {
    /// Reads a URL with one of these `schemes`, each of which means HTTP. The error says what is wrong with it.
    pub fn parse(url: &str, schemes: &[&str]) -> Result<Self, &'static str> {
        let uri: Uri = url.parse().map_err(|_| "expected http://HOST:PORT/PATH")?;
        if !uri.scheme_str().is_some_and(|scheme| schemes.contains(&scheme)) {
            return Err("expected http://");
        }
        let authority = uri.authority().filter(|authority| !authority.host().is_empty()).ok_or("no host")?;
        let (user_info, host) = split(authority);
        let has_port = host.rsplit_once(']').map_or(host, |(_, rest)| rest).contains(':');
        if has_port && authority.port_u16().is_none() {
            return Err("the port is not a number up to 65535");
        }
        let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        Ok(Self {
            address: format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80)),
            host: host.parse().map_err(|_| "no host")?,
            path: path.parse().map_err(|_| "no path")?,
            authorization: user_info.and_then(authorization),
            has_user_info: user_info.is_some(),
        })
    }

    /// Whether the URL has a user name or a password.
    pub fn has_user_info(&self) -> bool {
        self.has_user_info
    }
}

/// `url` without its user name and password, for messages.
pub fn without_user_info(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        // Without a scheme it may still be meant as a URL with a password.
        return match url.rsplit_once('@') {
            Some((user_info, host)) if user_info.contains(':') => host.to_owned(),
            _ => url.to_owned(),
        };
    };
    // A password may hold a `/`, though it should be escaped there.
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://{host}"),
        None => url.to_owned(),
    }
}

fn authorization(user_info: &str) -> Option<HeaderValue> {
    if !user_info.contains(':') {
        return None;
    }
    let credentials: Vec<u8> = percent_decode_str(user_info).collect();
    let mut value = HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(credentials))).ok()?;
    // Keeps the password out of what `Debug` shows.
    value.set_sensitive(true);
    Some(value)
}

/// The user info, if there is one, and what stands behind it.
fn split(authority: &Authority) -> (Option<&str>, &str) {
    match authority.as_str().rsplit_once('@') {
        Some((user_info, host)) => (Some(user_info), host),
        None => (None, authority.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_show_no_password() {
        let cases = [
            ("http://user:secret@h:1/p", "http://h:1/p"),
            ("http://user:sec/ret@h:1", "http://h:1"),
            ("ws://h:1/p", "ws://h:1/p"),
            ("h:1", "h:1"),
            ("user@h:1", "user@h:1"),
            ("user:secret@h:1", "h:1"),
        ];
        for (url, expected) in cases {
            assert_eq!(without_user_info(url), expected);
        }
    }

    #[test]
    fn urls_are_taken_apart() {
        let cases = [
            ("http://127.0.0.1:4242", Some(("127.0.0.1:4242", "127.0.0.1:4242", "/", None))),
            ("http://localhost/RPC2?x=1", Some(("localhost:80", "localhost", "/RPC2?x=1", None))),
            ("wire://[::1]:1/", Some(("[::1]:1", "[::1]:1", "/", None))),
            ("http://user@h", Some(("h:80", "h", "/", None))),
            ("http://user:secret@h:1/p", Some(("h:1", "h:1", "/p", Some("Basic dXNlcjpzZWNyZXQ=")))),
            ("http://u%73er:secre%74@h:1/p", Some(("h:1", "h:1", "/p", Some("Basic dXNlcjpzZWNyZXQ=")))),
            ("http://user:%40%3a@h", Some(("h:80", "h", "/", Some("Basic dXNlcjpAOg==")))),
            ("https://localhost", None),
            ("localhost:4242", None),
            ("http://", None),
            ("", None),
            ("http://a b", None),
            ("http://h:65536", None),
            ("http://h:abc", None),
            ("http://h:", None),
            ("http://[::1]:65536", None),
            ("http://user:secret@h:-1", None),
        ];
        for (url, expected) in cases {
            let target = Target::parse(url, &["http", "wire"]);
            let found = target.as_ref().ok().map(|target| {
                let path = target.path.path_and_query().unwrap().as_str();
                let authorization = target.authorization.as_ref().map(|value| value.to_str().unwrap());
                (target.address.as_str(), target.host.to_str().unwrap(), path, authorization)
            });
            assert_eq!(found, expected, "{url}");
            let is_named = url.contains('@');
            assert!(target.is_err() || target.is_ok_and(|target| target.has_user_info() == is_named), "{url}");
        }
    }
}
