//! `HOST:PORT`, as people write it.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use everywire_core::{Result, RpcError};

use crate::client::without_user_info;

/// What ZeroMQ's `*` stands for as a host: every IPv4 address of the machine.
const EVERY_HOST: &str = "0.0.0.0";

/// A host and a port: where a server listens, or where a client finds it.
///
/// It is written `HOST:PORT`, with an IPv6 address in brackets, or as ZeroMQ writes it: with `tcp://` in front, and `*` for
/// every IPv4 address or for a free port.
///
/// ```
/// use everywire_net::Address;
///
/// assert_eq!("tcp://*:7777".parse::<Address>()?.to_string(), "0.0.0.0:7777");
/// assert_eq!("[::1]:4242".parse::<Address>()?.to_string(), "[::1]:4242");
/// # Ok::<_, everywire_core::RpcError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Without brackets.
    host: String,
    port: u16,
}

impl Address {
    /// The host, without brackets, and the port.
    pub fn host_and_port(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// Whether a client can connect to it: it is not every address of a machine, and its port is known.
    pub fn is_of_one_host(&self) -> bool {
        self.port != 0 && !self.host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_unspecified())
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix("tcp://").map_or(text, |rest| rest.strip_suffix('/').unwrap_or(rest));
        let (host, port) = text.rsplit_once(':')?;
        let host = match host.strip_prefix('[') {
            Some(host) => host.strip_suffix(']').filter(|host| is_ipv6(host))?,
            None if host == "*" => EVERY_HOST,
            None => Some(host).filter(|host| is_name(host))?,
        };
        let port = if port == "*" { 0 } else { Some(port).filter(|port| is_number(port))?.parse().ok()? };
        Some(Self { host: host.to_owned(), port })
    }
}

/// An invalid address is `INVALID_ARGUMENT`, and the message says what to write instead.
impl FromStr for Address {
    type Err = RpcError;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text).ok_or_else(|| {
            let example = suggestion(text).map(|address| format!(", such as {address}")).unwrap_or_default();
            let shown = without_user_info(text);
            let shown = shown.escape_debug();
            RpcError::invalid_argument(format!("`{shown}` is not a valid address; expected HOST:PORT{example}"))
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// A name or an IPv4 address. Whether it exists is for the resolver to say.
fn is_name(host: &str) -> bool {
    !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c.is_control() || "/:@[]*?#".contains(c))
}

/// An IPv6 address, perhaps with the interface that it belongs to.
fn is_ipv6(host: &str) -> bool {
    host.split('%').next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

/// `u16` reads `+80` too.
fn is_number(port: &str) -> bool {
    !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit())
}

/// The address that `text` probably means, if it is a URL, an IPv6 address without brackets, or a port alone.
fn suggestion(text: &str) -> Option<Address> {
    if let Some((_, rest)) = text.split_once("://") {
        let rest = rest.split('/').next().unwrap_or(rest);
        return Address::parse(rest).or_else(|| suggestion(rest));
    }
    let (host, port) = text.rsplit_once(':').unwrap_or(("127.0.0.1", text));
    let host = match host {
        "" => EVERY_HOST.to_owned(),
        host if is_ipv6(host) => format!("[{host}]"),
        host => host.to_owned(),
    };
    Address::parse(&format!("{host}:{port}"))
}

/// An address at which clients on this machine reach a server that listens at `at`: loopback if it listens on every address.
pub fn reachable(at: SocketAddr) -> SocketAddr {
    let ip = match at.ip().to_canonical() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        // Returned whole, since a new address would lose the scope.
        IpAddr::V6(_) => return at,
        ip @ IpAddr::V4(_) => ip,
    };
    SocketAddr::new(ip, at.port())
}

#[cfg(test)]
mod tests {
    use everywire_core::Code;

    use super::*;

    #[test]
    fn addresses_are_read_as_people_and_zeromq_write_them() {
        for (text, expected) in [
            ("127.0.0.1:4242", "127.0.0.1:4242"),
            ("0.0.0.0:4242", "0.0.0.0:4242"),
            ("localhost:0", "localhost:0"),
            ("a-host.example:65535", "a-host.example:65535"),
            ("[::1]:4242", "[::1]:4242"),
            ("[::]:4242", "[::]:4242"),
            ("[fe80::1%eth0]:1", "[fe80::1%eth0]:1"),
            ("*:7777", "0.0.0.0:7777"),
            ("*:*", "0.0.0.0:0"),
            ("tcp://127.0.0.1:7777", "127.0.0.1:7777"),
            ("tcp://127.0.0.1:7777/", "127.0.0.1:7777"),
            ("tcp://[::1]:7777", "[::1]:7777"),
            ("tcp://*:7777", "0.0.0.0:7777"),
            ("tcp://localhost:*", "localhost:0"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_an_address_says_what_to_write() {
        for (text, example) in [
            ("", ""),
            ("nowhere", ""),
            ("localhost", ""),
            ("127.0.0.1", ""),
            ("127.0.0.1:", ""),
            ("127.0.0.1:65536", ""),
            ("127.0.0.1:+80", ""),
            ("127.0.0.1:http", ""),
            ("[::1]", ""),
            ("[localhost]:80", ""),
            ("a host:80", ""),
            ("user@host:80", ""),
            ("127.0.0.1:80/", ""),
            ("ipc:///tmp/socket", ""),
            ("tcp://", ""),
            ("TCP://*:7777", ", such as 0.0.0.0:7777"),
            ("4242", ", such as 127.0.0.1:4242"),
            (":4242", ", such as 0.0.0.0:4242"),
            ("tcp://:4242", ", such as 0.0.0.0:4242"),
            ("::1:4242", ", such as [::1]:4242"),
            ("tcp://::1:4242", ", such as [::1]:4242"),
            ("http://127.0.0.1:4242", ", such as 127.0.0.1:4242"),
            ("http://[::1]:4242/RPC2", ", such as [::1]:4242"),
            ("udp://*:1", ", such as 0.0.0.0:1"),
        ] {
            let error = text.parse::<Address>().expect_err(text);
            let expected = format!("`{text}` is not a valid address; expected HOST:PORT{example}");
            assert_eq!((error.code(), error.message()), (Code::InvalidArgument, expected.as_str()));
        }
    }

    #[test]
    fn every_address_is_reached_over_loopback() {
        for (at, expected) in [
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("[::]:1", "[::1]:1"),
            ("[::ffff:0.0.0.0]:1", "127.0.0.1:1"),
            ("[::ffff:192.0.2.7]:1", "192.0.2.7:1"),
            ("192.0.2.7:1", "192.0.2.7:1"),
            ("[2001:db8::7]:1", "[2001:db8::7]:1"),
            ("[fe80::1%3]:1", "[fe80::1%3]:1"),
        ] {
            assert_eq!(reachable(at.parse().unwrap()).to_string(), expected, "{at}");
        }
    }
}
