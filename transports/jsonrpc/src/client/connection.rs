//! What carries a client's requests: jsonrpsee's transports, without the timer that its clients start for each call.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use everywire_core::{Limits, Result};
use everywire_net::Shared;
use jsonrpsee_core::{
    client::{Error, MiddlewareMethodResponse, async_client},
    middleware::{Request, RpcServiceBuilder, RpcServiceT},
};
use jsonrpsee_http_client::{HttpBackend, RpcService, transport::HttpTransportClientBuilder};
use jsonrpsee_ws_client::{PingConfig, WsClient, WsClientBuilder};

use crate::fault;

/// Calls in flight, and as many again that wait for other calls. Further calls wait for a slot, and their time runs. Over HTTP
/// each call takes a connection.
pub(crate) const CALLS: usize = 512;

/// How often a WebSocket is asked for a sign of life.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// How long it may give none before it counts as lost.
const PING_PATIENCE: Duration = Duration::from_mins(2);

/// HTTP, with as many connections as there are calls at the same time.
#[derive(Debug)]
pub(crate) struct Http {
    url: String,
    service: RpcService<HttpBackend>,
}

impl Http {
    /// Nothing if `url` is malformed.
    pub(crate) fn new(url: &str) -> Option<Self> {
        let transport = HttpTransportClientBuilder::new().max_request_size(u32::MAX).max_response_size(max_response());
        let service = RpcService::new(transport.build(url).ok()?);
        Some(Self { url: url.to_owned(), service })
    }

    pub(crate) async fn call(&self, request: Request<'_>) -> Result<MiddlewareMethodResponse> {
        self.service.call(request).await.map_err(|error| fault::from_client(&self.url, &error))
    }
}

/// A WebSocket that is opened when it is needed.
#[derive(Debug)]
pub(crate) struct WebSocket {
    url: String,
    session: Shared<Session>,
}

/// An open WebSocket.
#[derive(Debug)]
struct Session {
    /// Holds it open.
    client: WsClient<async_client::RpcService>,
    service: async_client::RpcService,
}

impl WebSocket {
    pub(crate) fn new(url: &str) -> Self {
        Self { url: url.to_owned(), session: Shared::default() }
    }

    pub(crate) async fn call(&self, request: Request<'_>) -> Result<MiddlewareMethodResponse> {
        let failed = |error| fault::from_client(&self.url, &error);
        let open = || async { self.open().await.map_err(failed) };
        let session = self.session.get(|session| session.client.is_connected(), open).await?;
        self.session.answered(&session, session.service.call(request)).await.map_err(failed)
    }

    /// Takes the service from beneath jsonrpsee's client, where its middleware would be.
    async fn open(&self) -> Result<Session, Error> {
        let service = Arc::new(OnceLock::new());
        let beneath = Arc::clone(&service);
        let keep = move |service: async_client::RpcService| {
            let _ = beneath.set(service.clone());
            service
        };
        let client = WsClientBuilder::new()
            .set_rpc_middleware(RpcServiceBuilder::new().layer_fn(keep))
            .max_request_size(u32::MAX)
            .max_response_size(max_response())
            .max_concurrent_requests(2 * CALLS)
            .enable_ws_ping(PingConfig::new().ping_interval(PING_INTERVAL).inactive_limit(PING_PATIENCE))
            .build(&self.url)
            .await?;
        let service = service.get().ok_or(Error::ServiceDisconnect)?.clone();
        Ok(Session { client, service })
    }
}

/// Twice what a server sends by default, because beyond it jsonrpsee closes the WebSocket.
fn max_response() -> u32 {
    u32::try_from(Limits::default().message_bytes * 2).unwrap_or(u32::MAX)
}
