//! A connection to the broker.

use std::{
    fmt, io, mem,
    net::Shutdown,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use everywire_core::{Result, RpcError};
use everywire_net::without_user_info;
use lapin::{
    AsyncTcpStream, Connection, ConnectionProperties,
    tcp::AMQPUriTcpExt,
    types::ShortString,
    uri::{AMQPScheme, AMQPUri},
};
use socket2::{SockRef, Socket};
use tokio::time::timeout;
use url::{Host, Url};

use crate::stream;

/// How long connecting may take, the handshake included.
pub(crate) const CONNECT_TIME: Duration = Duration::from_secs(5);

/// Seconds between the heartbeats of both sides, unless the URL has `?heartbeat=`. A side that is silent for twice as long is
/// lost.
const HEARTBEAT: u16 = 10;

/// The virtual host that every broker has.
const DEFAULT_VHOST: &str = "/";

/// Where a broker is, and the user to log in as.
#[derive(Clone)]
pub(crate) struct Broker {
    uri: AMQPUri,
}

impl Broker {
    pub(crate) fn parse(url: &str) -> Result<Self> {
        // The URL may have a password, so it is not repeated.
        let malformed = |reason: String| {
            RpcError::invalid_argument(format!(
                "the URL of the broker is not valid: {reason}; expected amqp://USER:PASSWORD@HOST:PORT/VHOST"
            ))
        };
        let mut uri: AMQPUri =
            url.parse().map_err(|reason: String| malformed(reason.replace(url, &without_user_info(url))))?;
        // `AMQPUri` reads an IPv6 address as an absent host, which is `localhost`.
        if let Ok(url) = Url::parse(url)
            && let Some(Host::Ipv6(address)) = url.host()
        {
            uri.authority.host = address.to_string();
        }
        // Strictly, `amqp://host/` is the virtual host with the empty name, which does not occur.
        if uri.vhost.is_empty() {
            DEFAULT_VHOST.clone_into(&mut uri.vhost);
        }
        if ShortString::try_new(uri.vhost.clone()).is_err() {
            return Err(malformed("the name of a virtual host has at most 255 bytes".to_owned()));
        }
        if uri.scheme == AMQPScheme::AMQPS {
            return Err(RpcError::unimplemented("amqps: there is no encryption yet; expected amqp://"));
        }
        uri.query.heartbeat.get_or_insert(HEARTBEAT);
        Ok(Self { uri })
    }

    /// Connects; `name` is shown by the broker's tools.
    pub(crate) async fn connect(&self, name: &str) -> Result<Connection> {
        self.connect_with_socket(name).await.map(|(connection, _)| connection)
    }

    /// Connects, and returns also the socket of the connection.
    pub(crate) async fn connect_with_socket(&self, name: &str) -> Result<(Connection, ConnectionSocket)> {
        let socket = ConnectionSocket::default();
        let runtime = stream::runtime(self.uri.query.frame_max);
        let (reactor, copy) = (runtime.clone(), socket.clone());
        let connect = async move |uri: AMQPUri, _| {
            let stream = uri.connect_async(&reactor).await?;
            if let AsyncTcpStream::Plain(stream) = &stream {
                *copy.lock() = Some(SockRef::from(stream.get_ref().get_ref()).try_clone()?);
            }
            Ok(stream)
        };
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connected = Connection::connector(self.uri.clone(), runtime, connect, properties);
        match socket.within(CONNECT_TIME, connected).await {
            Some(connected) => {
                connected.map(|connection| (connection, socket)).map_err(|error| self.unreachable(&error))
            }
            None => Err(self.unreachable(&io::Error::from(io::ErrorKind::TimedOut).into())),
        }
    }
}

/// The name of a queue.
pub(crate) fn queue_name(name: &str) -> Result<ShortString> {
    ShortString::try_new(name.to_owned()).map_err(|_| {
        let start = &name[..name.floor_char_boundary(32)];
        RpcError::failed_precondition(format!("amqp: the name of a queue has at most 255 bytes: `{start}…`"))
    })
}

/// Without the user and the password.
impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AMQPUri { authority, vhost, .. } = &self.uri;
        let (host, port) = (&authority.host, authority.port);
        // Only an IPv6 address has a colon.
        if host.contains(':') { write!(f, "amqp://[{host}]:{port}") } else { write!(f, "amqp://{host}:{port}") }?;
        if vhost == DEFAULT_VHOST { Ok(()) } else { write!(f, "/{vhost}") }
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A copy of the socket of a connection, to shut it down. lapin gives each connection a thread that waits for as long as the peer
/// is silent, and only a shutdown of the socket wakes it.
#[derive(Clone, Default)]
pub(crate) struct ConnectionSocket(Arc<Mutex<Option<Socket>>>);

impl ConnectionSocket {
    /// Runs `exchange`, and shuts the socket down if that takes longer than `time` or is dropped.
    pub(crate) async fn within<T>(&self, time: Duration, exchange: impl Future<Output = T>) -> Option<T> {
        let unfinished = Unfinished(self);
        let output = timeout(time, exchange).await.ok()?;
        mem::forget(unfinished);
        Some(output)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Socket>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An exchange on a connection. Dropping it shuts the socket down.
struct Unfinished<'a>(&'a ConnectionSocket);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(socket) = self.0.lock().take() {
            // This fails only if the peer has closed the connection already.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

#[cfg(test)]
mod tests {
    use everywire_core::Code;

    use super::*;

    #[test]
    fn the_host_of_a_url_is_where_it_connects() {
        let long = format!("amqp://h/{}", "v".repeat(256));
        #[rustfmt::skip]
        let cases = [
            ("amqp://localhost", Some(("localhost", 5672, "/", "amqp://localhost:5672"))),
            ("amqp://u:p@127.0.0.1:1/%2f", Some(("127.0.0.1", 1, "/", "amqp://127.0.0.1:1"))),
            ("amqp://h:1/", Some(("h", 1, "/", "amqp://h:1"))),
            ("amqp://h/?heartbeat=5", Some(("h", 5672, "/", "amqp://h:5672"))),
            ("amqp://h/a%2Fb", Some(("h", 5672, "a/b", "amqp://h:5672/a/b"))),
            ("amqp://[::1]", Some(("::1", 5672, "/", "amqp://[::1]:5672"))),
            ("amqp://u:p@[2001:DB8:0::1]:7/v", Some(("2001:db8::1", 7, "v", "amqp://[2001:db8::1]:7/v"))),
            ("amqp://[::ffff:127.0.0.1]/", Some(("::ffff:127.0.0.1", 5672, "/", "amqp://[::ffff:127.0.0.1]:5672"))),
            ("amqp://[::1", None),
            ("amqp://[localhost]", None),
            ("amqp://::1:5672", None),
            (&long, None),
        ];
        for (url, expected) in cases {
            let broker = Broker::parse(url);
            let found = broker.as_ref().ok().map(|broker| {
                let (authority, vhost) = (&broker.uri.authority, broker.uri.vhost.as_str());
                (authority.host.as_str(), authority.port, vhost, broker.to_string())
            });
            let expected = expected.map(|(host, port, vhost, shown)| (host, port, vhost, shown.to_owned()));
            assert_eq!(found, expected, "{url}");
            assert!(broker.is_ok() || broker.is_err_and(|error| error.code() == Code::InvalidArgument), "{url}");
        }
    }
}
