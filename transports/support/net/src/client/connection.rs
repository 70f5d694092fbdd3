//! One connection of a client of HTTP/1.

use std::{
    fmt,
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
};

use bytes::Bytes;
use everywire_core::{Budget, Result, RpcError};
use http::{Request, Response};
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::encoding;

/// A connection that runs only while a call is on it, in the call's own task. So a response wakes no other task, and a call
/// that is dropped closes its connection, which tells the server.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// `None` once it has ended.
    connection: Option<Running>,
}

type Running = Pin<Box<http1::Connection<TokioIo<TcpStream>, Full<Bytes>>>>;

/// Why there is no response.
#[derive(Debug)]
pub(super) enum Failure {
    /// The connection was closed before the request was written to it. The request may be sent on another one.
    Unsent(Box<Request<Full<Bytes>>>),
    /// The connection failed after that. Whether the method ran is not known.
    Broken(hyper::Error),
    /// The response's body can't be received or decoded.
    Body(RpcError),
}

impl Connection {
    /// Connects to `address`, a `HOST:PORT`.
    pub(super) async fn open(address: &str) -> Result<Self> {
        let unreachable =
            |error: &dyn fmt::Display| RpcError::unavailable(format!("can't connect to {address}: {error}"));
        let stream = TcpStream::connect(address).await.map_err(|error| unreachable(&error))?;
        stream.set_nodelay(true).map_err(|error| unreachable(&error))?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| unreachable(&error))?;
        Ok(Self { sender, connection: Some(Box::pin(connection)) })
    }

    /// Whether another call may use it.
    pub(super) fn is_open(&self) -> bool {
        self.connection.is_some() && !self.sender.is_closed()
    }

    /// Sends `request` and reads its response, within the limits of `budget`.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        budget: &Arc<Budget>,
    ) -> Result<Response<Bytes>, Failure> {
        let Self { sender, connection } = self;
        // The server may have closed the connection while it was idle; being ready means that it has not.
        if drive(connection, sender.ready()).await.is_err() {
            return Err(Failure::Unsent(Box::new(request)));
        }
        let response = sender.try_send_request(request);
        let exchange = async {
            let response = response.await.map_err(|mut error| match error.take_message() {
                Some(request) => Failure::Unsent(Box::new(request)),
                None => Failure::Broken(error.into_error()),
            })?;
            let (head, body) = response.into_parts();
            let body = encoding::collect(&head.headers, body, budget).await.map_err(Failure::Body)?;
            Ok(Response::from_parts(head, body.bytes))
        };
        drive(connection, exchange).await
    }
}

/// Runs `work` while the connection reads and writes.
async fn drive<T>(connection: &mut Option<Running>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|context| {
        if let Some(running) = connection
            && running.as_mut().poll(context).is_ready()
        {
            // Its error, if any, reaches `work` too.
            *connection = None;
        }
        work.as_mut().poll(context)
    })
    .await
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("open", &self.is_open()).finish_non_exhaustive()
    }
}
