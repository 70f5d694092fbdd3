//! What the program prints when it serves: what listens where, and a command to try for each wire.

use std::{fmt, io::Write, net::SocketAddr};

use everywire::{
    Code, Limits, Result, RpcError, Tcp, amqp, grpc, jsonrpc,
    wire::{Listener, Protocol},
    xmlrpc, zerorpc,
};
use everywire_locker as locker;
use everywire_toolkit::ToolkitService;

use super::of_flag;

/// Binds each wire and adds it to the listing. The commands in it can be pasted into a shell.
pub(crate) struct Listing {
    /// Notes on the service: where its locks are, what its ids promise, what its limiter does.
    notes: Vec<String>,
    wires: Vec<String>,
}

impl Listing {
    pub(crate) fn new(notes: Vec<String>) -> Self {
        Self { notes, wires: Vec::new() }
    }

    /// How many wires are listed.
    pub(crate) fn wires(&self) -> usize {
        self.wires.len()
    }

    pub(crate) async fn xmlrpc(&mut self, address: &str) -> Result<Tcp> {
        let (tcp, url) = bind::<xmlrpc::Server>(address).await?;
        let python = format!("from xmlrpc.client import ServerProxy; print(ServerProxy('{url}').add(3, 4))");
        self.add("XML-RPC", tcp.address(), &url, &format!("python3 -c \"{python}\""));
        Ok(tcp)
    }

    pub(crate) async fn jsonrpc(&mut self, address: &str) -> Result<Tcp> {
        let (tcp, url) = bind::<jsonrpc::Server>(address).await?;
        let body = r#"{"jsonrpc": "2.0", "id": 1, "method": "add", "params": [3, 4]}"#;
        let urls = format!("{url} {}", url.replacen("http", "ws", 1));
        self.add("JSON-RPC", tcp.address(), &urls, &format!("curl {} --json '{body}'", word(&url)));
        Ok(tcp)
    }

    pub(crate) async fn grpc(&mut self, address: &str) -> Result<Tcp> {
        let (tcp, url) = bind::<grpc::Server>(address).await?;
        self.add("gRPC", tcp.address(), &url, &add_3_4(&url.replacen("http", "grpc", 1)));
        Ok(tcp)
    }

    pub(crate) async fn zerorpc(&mut self, address: &str) -> Result<Tcp> {
        let (tcp, url) = bind::<zerorpc::Server>(address).await?;
        let python = format!("import zerorpc; c = zerorpc.Client('{url}'); print(c.add(3, 4)); c.close()");
        // libzmq connects to IPv6 addresses only if a socket option allows it, and Python's client can't set that option.
        let try_it = match tcp.address() {
            SocketAddr::V4(_) => format!("python3 -c \"{python}\""),
            SocketAddr::V6(_) => add_3_4(&url.replacen("tcp", "zerorpc", 1)),
        };
        self.add("zerorpc", tcp.address(), &url, &try_it);
        Ok(tcp)
    }

    pub(crate) async fn locker(&mut self, address: &str) -> Result<Tcp> {
        let (tcp, url) = bind::<locker::Server>(address).await?;
        let ipv6 = if tcp.address().is_ipv6() { "s.ipv6 = True; " } else { "" };
        let ask = "s.send(b'let me go'); print(s.recv())";
        let python = format!("import zmq; s = zmq.Context().socket(zmq.REQ); {ipv6}s.connect('{url}'); {ask}");
        self.add("locker", tcp.address(), &url, &format!("python3 -c \"{python}\""));
        Ok(tcp)
    }

    /// `None` if there is no broker and the server is not to wait for one. A broker that rejects the URL is an error.
    pub(crate) async fn amqp(&mut self, url: &str, wait: bool, limits: &Limits) -> Result<Option<amqp::Server>> {
        let subscribed = async {
            let server = amqp::Server::connect(url).await?;
            server.subscribe(ToolkitService::descriptor(), limits).await
        };
        let (server, listed) = match subscribed.await {
            Ok(server) => {
                let listed = format!("{}\n            {}", server.url(), add_3_4(&without_password(url)));
                (Some(server), listed)
            }
            Err(error) if error.code() != Code::Unavailable => return Err(of_flag("--amqp")(error)),
            Err(error) if wait => (Some(amqp::Server::new(url)?), format!("waits: {}", error.message())),
            Err(error) => (None, format!("off: {}", error.message())),
        };
        if server.is_none() {
            tracing::warn!("AMQP is {listed}; with --amqp-wait the server tries again");
        }
        self.wires.push(format!("  AMQP      {listed}"));
        Ok(server)
    }

    fn add(&mut self, wire: &str, at: SocketAddr, urls: &str, try_it: &str) {
        let ip = at.ip().to_canonical();
        let all = if ip.is_unspecified() { format!("  (listens on {at}, every address)") } else { String::new() };
        self.wires.push(format!("  {wire:<9} {urls}{all}\n            {try_it}"));
        if !ip.is_loopback() {
            tracing::warn!(
                "{wire} listens on {at}, and there is no authentication: any client that reaches it can call it"
            );
        }
    }

    /// Ignores a reader that is gone, as in `everywire | head -1`.
    pub(crate) fn print(&self) {
        let mut out = std::io::stdout().lock();
        let _ = write!(out, "{self}").and_then(|()| out.flush());
    }
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "everywire {} serves everywire.v1.Toolkit. Ctrl-C stops it.", env!("CARGO_PKG_VERSION"))?;
        writeln!(f, "{}", self.notes.join("\n"))?;
        self.wires.iter().try_for_each(|wire| writeln!(f, "\n{wire}"))
    }
}

/// Binds `address` for the protocol `P`, which the error names. The second value is the URL.
async fn bind<P: Protocol>(address: &str) -> Result<(Tcp, String)> {
    let tcp = Tcp::bind(address).await;
    let tcp = tcp.map_err(|error| RpcError::new(error.code(), format!("{}: {}", P::NAME, error.message())))?;
    let url = tcp.url(P::SCHEME);
    Ok((tcp, url))
}

/// The command that calls `add` at `url`, by the name under which this program was started.
fn add_3_4(url: &str) -> String {
    let program = std::env::args().next().unwrap_or_else(|| "everywire".to_owned());
    format!("{} call {} add 3 4", word(&program), word(url))
}

/// `text` as one word of a shell.
fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/:.,@%+=_-".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A broker's URL with the literal `USER:PASSWORD` in place of the user and the password.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://USER:PASSWORD@{host}{path}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_where_a_shell_would_change_it() {
        for (text, expected) in [
            ("target/debug/everywire", "target/debug/everywire"),
            ("grpc://127.0.0.1:50051", "grpc://127.0.0.1:50051"),
            ("grpc://[::1]:50051", "'grpc://[::1]:50051'"),
            ("amqp://h/v?heartbeat=1", "'amqp://h/v?heartbeat=1'"),
            ("/my own/everywire", "'/my own/everywire'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
        ] {
            assert_eq!(word(text), expected);
        }
    }

    #[test]
    fn no_password_is_printed() {
        for (url, expected) in [
            ("amqp://h:1/v", "amqp://h:1/v"),
            ("amqp://me:secret@h:1/v", "amqp://USER:PASSWORD@h:1/v"),
            ("amqp://me:sec@ret@[::1]:1", "amqp://USER:PASSWORD@[::1]:1"),
            ("amqp://me@h?heartbeat=1", "amqp://USER:PASSWORD@h?heartbeat=1"),
            ("amqp://h/a@b", "amqp://h/a@b"),
        ] {
            assert_eq!(without_password(url), expected);
        }
    }
}
