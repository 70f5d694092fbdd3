//! Where a server is, which wire it serves there, and what calls of it carry.

use everywire::{Context, Result, RpcError};
use everywire_net::without_user_info;

use crate::cli::probe;

/// A wire. JSON-RPC is the same over HTTP and over WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Wire {
    Xmlrpc,
    Jsonrpc,
    Zerorpc,
    Amqp,
    Grpc,
}

impl Wire {
    fn of_scheme(scheme: &str) -> Option<Self> {
        Some(match scheme {
            "xmlrpc" => Self::Xmlrpc,
            "jsonrpc" | "jsonrpc+ws" | "ws" => Self::Jsonrpc,
            "zerorpc" | "tcp" => Self::Zerorpc,
            "amqp" => Self::Amqp,
            "grpc" => Self::Grpc,
            _ => return None,
        })
    }

    /// Its name in messages.
    pub(in crate::cli) fn name(self) -> &'static str {
        match self {
            Self::Xmlrpc => "XML-RPC",
            Self::Jsonrpc => "JSON-RPC",
            Self::Zerorpc => "zerorpc",
            Self::Amqp => "AMQP",
            Self::Grpc => "gRPC",
        }
    }

    /// Whether a request may name its arguments.
    pub(in crate::cli) fn has_names(self) -> bool {
        matches!(self, Self::Jsonrpc | Self::Amqp | Self::Grpc)
    }
}

/// A URL whose scheme names the wire.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Location {
    pub(in crate::cli) url: String,
    pub(in crate::cli) wire: Wire,
    /// What every call of the server carries.
    pub(in crate::cli) context: Context,
}

impl Location {
    /// Reads a URL of [`everywire::connect`], or one that a server prints. An `http://` server is asked which wire it serves.
    pub(in crate::cli) async fn of(url: &str, context: Context) -> Result<Self> {
        // A server at `*` listens on every address, loopback included.
        let url = url.replacen("://*", "://127.0.0.1", 1);
        let url = match url.strip_prefix("http://") {
            Some(location) => format!("{}://{location}", probe::scheme_at(location, &context.metadata).await?),
            None => url,
        };
        let wire = url.split_once("://").and_then(|(scheme, _)| Wire::of_scheme(scheme));
        wire.ok_or_else(|| malformed(&url)).map(|wire| Self { url, wire, context })
    }

    /// The URL for messages: without the user's name and password.
    pub(in crate::cli) fn shown(&self) -> String {
        without_user_info(&self.url)
    }
}

fn malformed(url: &str) -> RpcError {
    RpcError::invalid_argument(format!(
        "`{}` is not a valid URL; expected xmlrpc://, jsonrpc://, jsonrpc+ws://, grpc://, zerorpc:// or amqp:// and \
         HOST:PORT",
        without_user_info(url)
    ))
}
