//! One client for the URLs of every wire.

use std::time::Duration;

use everywire_net::without_user_info;

use crate::{
    Caller, Context, Result, RpcError, Streaming,
    descriptor::Method,
    serde::{Serialize, de::DeserializeOwned},
};

/// Writes [`Client`]: the wires, each behind its feature.
macro_rules! wires {
    ($($wire:ident($feature:literal): $client:ty;)+) => {
        #[derive(Debug, Clone)]
        enum Wire {
            $(#[cfg(feature = $feature)] $wire($client),)+
        }

        impl Client {
            /// Sets how long a call may take, connecting included. Default 30 s.
            #[must_use]
            pub fn timeout(self, timeout: Duration) -> Self {
                Self(match self.0 {
                    $(#[cfg(feature = $feature)] Wire::$wire(client) => Wire::$wire(client.timeout(timeout)),)+
                })
            }

            /// Sends the whole names of methods, such as `shop.v1.Stock.take`, as a server needs it that has several services with
            /// a method of the same name.
            #[must_use]
            pub fn qualified(self) -> Self {
                Self(match self.0 {
                    $(#[cfg(feature = $feature)] Wire::$wire(client) => Wire::$wire(client.qualified()),)+
                })
            }
        }

        impl Caller for Client {
            async fn call<A: Serialize + Send + Sync, R: DeserializeOwned + Send>(
                &self,
                method: &'static Method,
                cx: &Context,
                args: &A,
            ) -> Result<R> {
                match &self.0 {
                    $(#[cfg(feature = $feature)] Wire::$wire(client) => client.call(method, cx, args).await,)+
                }
            }

            async fn stream<A: Serialize + Send + Sync, R: DeserializeOwned + Send + 'static>(
                &self,
                method: &'static Method,
                cx: &Context,
                args: &A,
            ) -> Result<Streaming<R>> {
                match &self.0 {
                    $(#[cfg(feature = $feature)] Wire::$wire(client) => client.stream(method, cx, args).await,)+
                }
            }
        }
    };
}

wires! {
    Amqp("amqp"): crate::amqp::Client;
    Grpc("grpc"): crate::grpc::Client;
    Jsonrpc("jsonrpc"): crate::jsonrpc::Client;
    Xmlrpc("xmlrpc"): crate::xmlrpc::Client;
    Zerorpc("zerorpc"): crate::zerorpc::Client;
}

/// The schemes of all wires, whatever features are on.
const SCHEMES: &[&str] = &["amqp", "grpc", "jsonrpc", "jsonrpc+ws", "tcp", "ws", "xmlrpc", "zerorpc"];

/// A client of a server on any wire, made by [`connect`]. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Client(Wire);

/// Connects to the server at `url`, whose scheme names the wire:
///
/// | URL | wire |
/// |---|---|
/// | `amqp://USER:PASSWORD@HOST:PORT/VHOST` | RabbitMQ |
/// | `grpc://HOST:PORT` | gRPC |
/// | `jsonrpc://HOST:PORT/PATH` | JSON-RPC over HTTP |
/// | `jsonrpc+ws://HOST:PORT/PATH`, `ws://HOST:PORT/PATH` | JSON-RPC over WebSocket |
/// | `xmlrpc://HOST:PORT/PATH` | XML-RPC |
/// | `zerorpc://HOST:PORT`, `tcp://HOST:PORT` | zerorpc |
///
/// The wire's own `Client::connect` says what is kept open and what its options are. A malformed URL is `INVALID_ARGUMENT`, and
/// so is one of `http://`, which three wires use; a wire whose feature is off is `UNIMPLEMENTED`.
///
/// ```no_run
/// # use everywire::{Result, service};
/// #[service(package = "demo.v1")]
/// pub trait Calculator {
///     async fn add(&self, a: i64, b: i64) -> Result<i64>;
/// }
///
/// # async fn add() -> Result<()> {
/// let client = CalculatorClient::new(everywire::connect("xmlrpc://127.0.0.1:4242").await?);
/// assert_eq!(client.add(3, 4).await?, 7);
/// # Ok(())
/// # }
/// ```
pub async fn connect(url: &str) -> Result<Client> {
    let (scheme, _) = url.split_once("://").ok_or_else(|| malformed(url))?;
    let wire = match scheme {
        #[cfg(feature = "amqp")]
        "amqp" => Wire::Amqp(crate::amqp::Client::connect(url).await?),
        #[cfg(feature = "grpc")]
        "grpc" => Wire::Grpc(crate::grpc::Client::connect(url).await?),
        #[cfg(feature = "jsonrpc")]
        "jsonrpc" | "jsonrpc+ws" | "ws" => Wire::Jsonrpc(crate::jsonrpc::Client::connect(url).await?),
        #[cfg(feature = "xmlrpc")]
        "xmlrpc" => Wire::Xmlrpc(crate::xmlrpc::Client::connect(url).await?),
        #[cfg(feature = "zerorpc")]
        "zerorpc" | "tcp" => Wire::Zerorpc(crate::zerorpc::Client::connect(url).await?),
        _ if SCHEMES.contains(&scheme) => {
            return Err(RpcError::unimplemented(format!("this program was built without the wire of {scheme}://")));
        }
        _ => return Err(malformed(url)),
    };
    Ok(Client(wire))
}

fn malformed(url: &str) -> RpcError {
    RpcError::invalid_argument(format!(
        "`{}` is not a valid URL; expected xmlrpc://, jsonrpc://, jsonrpc+ws://, grpc://, zerorpc:// or amqp:// and \
         HOST:PORT",
        without_user_info(url)
    ))
}
