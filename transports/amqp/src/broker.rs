//! A connection to the broker.

use std::{
    fmt, io,
    net::Shutdown,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lapin::{
    AsyncTcpStream, Connection, ConnectionProperties, Error, ErrorKind,
    protocol::{AMQPErrorKind, AMQPSoftError},
    runtime::default_runtime,
    tcp::AMQPUriTcpExt,
    types::ShortString,
    uri::{AMQPScheme, AMQPUri},
};
use rpc_core::{Code, Result, RpcError};
use socket2::{SockRef, Socket};
use tokio::time::timeout;

/// The property `content_type` of every message.
pub(crate) const CONTENT_TYPE: &str = "application/json";

/// How long a connection may take, its handshake included.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// Seconds between the signs of life that both sides send, unless the URL has `?heartbeat=`. A side that is silent for
/// twice as long is lost.
const HEARTBEAT: u16 = 10;

/// Where a broker is, and whom it knows us as.
#[derive(Clone)]
pub(crate) struct Broker {
    uri: AMQPUri,
}

impl Broker {
    pub(crate) fn parse(url: &str) -> Result<Self> {
        // The URL may have a password, so it is not repeated.
        let malformed = |reason: String| {
            RpcError::invalid_argument(format!(
                "no URL of a broker: {reason}; expected amqp://USER:PASSWORD@HOST:PORT/VHOST"
            ))
        };
        let mut uri: AMQPUri = url.parse().map_err(malformed)?;
        if uri.scheme == AMQPScheme::AMQPS {
            return Err(RpcError::unimplemented("amqps: there is no encryption yet; expected amqp://"));
        }
        uri.query.heartbeat.get_or_insert(HEARTBEAT);
        Ok(Self { uri })
    }

    /// Connects; `name` is shown by the broker's tools.
    pub(crate) async fn connect(&self, name: &str) -> Result<Connection> {
        let mut handshake = Handshake::default();
        let socket = Arc::clone(&handshake.socket);
        let runtime = default_runtime().map_err(|error| self.unreachable(&error))?;
        let reactor = runtime.clone();
        let connect = async move |uri: AMQPUri, _| {
            let stream = uri.connect_async(&reactor).await?;
            if let AsyncTcpStream::Plain(stream) = &stream {
                let copy = SockRef::from(stream.get_ref()).try_clone()?;
                *socket.lock().unwrap_or_else(PoisonError::into_inner) = Some(copy);
            }
            Ok(stream)
        };
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connected = Connection::connector(self.uri.clone(), runtime, connect, properties);
        match timeout(CONNECT_TIME, connected).await {
            Ok(connected) => {
                handshake.socket = Arc::default();
                connected.map_err(|error| self.unreachable(&error))
            }
            Err(_) => Err(self.unreachable(&io::Error::from(io::ErrorKind::TimedOut).into())),
        }
    }

    fn unreachable(&self, error: &Error) -> RpcError {
        let code = match error.kind() {
            ErrorKind::ProtocolError(error) if *error.kind() == AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => {
                Code::Unauthenticated
            }
            _ => Code::Unavailable,
        };
        RpcError::new(code, format!("no broker at {self}: {error}"))
    }

    /// The error of a call, or of a server, whose connection broke.
    pub(crate) fn lost(&self, reason: impl fmt::Display) -> RpcError {
        RpcError::unavailable(format!("the connection to the broker at {self} is lost: {reason}"))
    }
}

/// The queue of a service, called like it.
pub(crate) fn queue_of(service: &str) -> Result<ShortString> {
    ShortString::try_new(service.to_owned())
        .map_err(|_| RpcError::failed_precondition(format!("amqp: a queue's name has at most 255 bytes: {service}")))
}

/// Without the user and the password.
impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AMQPUri { authority, vhost, .. } = &self.uri;
        write!(f, "amqp://{}:{}", authority.host, authority.port)?;
        if vhost == "/" { Ok(()) } else { write!(f, "/{vhost}") }
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The socket of a handshake. lapin gives it a thread that waits for as long as the peer is silent, and only the
/// socket's end wakes it: so that end comes with the end of this.
#[derive(Default)]
struct Handshake {
    socket: Arc<Mutex<Option<Socket>>>,
}

impl Drop for Handshake {
    fn drop(&mut self) {
        if let Some(socket) = self.socket.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // It fails only if the peer has ended it already.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}
