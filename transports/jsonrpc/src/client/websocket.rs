//! A WebSocket of jsonrpsee, without the timer that its client starts for each call.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
    time::Duration,
};

use everywire_core::{Result, wire::Outgoing};
use everywire_net::{Reconnecting, without_user_info};
use jsonrpsee_client_transport::ws::{Url, WsTransportClientBuilder};
use jsonrpsee_core::{
    client::{Error, RawResponse, async_client},
    middleware::{Notification, Request, RpcServiceBuilder, RpcServiceT},
};
use jsonrpsee_ws_client::{PingConfig, WsClient, WsClientBuilder, types::Id};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::runtime::Handle;

use super::{
    beside::{Beside, Sender},
    limits::{CALLS, max_response},
};
use crate::fault;

/// How often a ping is sent.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// A WebSocket over which nothing arrives for so long counts as lost.
const PING_PATIENCE: Duration = Duration::from_mins(2);

/// A WebSocket that is opened when it is needed.
#[derive(Debug, Clone)]
pub(super) struct WebSocket {
    url: String,
    connection: Reconnecting<Open>,
}

#[derive(Debug)]
pub(super) struct Open {
    url: String,
    /// Keeps it open.
    client: WsClient<async_client::RpcService>,
    service: async_client::RpcService,
    beside: Beside,
}

impl WebSocket {
    pub(super) fn new(url: &str) -> Self {
        Self { url: url.to_owned(), connection: Reconnecting::default() }
    }

    /// The connection, which is opened if there is none.
    async fn connection(&self) -> Result<Arc<Open>> {
        let open =
            || async { self.open().await.map_err(|error| fault::from_client(&without_user_info(&self.url), &error)) };
        self.connection.get(|open| open.client.is_connected(), open).await
    }

    /// Sends the request with this `id`, and returns its response and the connection that it came over.
    pub(super) async fn call(
        &self,
        id: u64,
        name: &str,
        params: Box<RawValue>,
        outgoing: Outgoing<'_>,
    ) -> Result<(RawResponse<'static>, Arc<Open>)> {
        let connection = self.connection().await?;
        let response = connection.call(id, name, params, outgoing);
        let response = self.connection.until_answered_or(&connection, response, |open| open.cancel(id)).await?;
        Ok((response, connection))
    }

    /// Takes the service from beneath jsonrpsee's client, where its middleware would be.
    async fn open(&self) -> Result<Open, Error> {
        let service = Arc::new(OnceLock::new());
        let beneath = Arc::clone(&service);
        let keep = move |service: async_client::RpcService| {
            let _ = beneath.set(service.clone());
            service
        };
        let transport = WsTransportClientBuilder {
            max_request_size: u32::MAX,
            // Beyond it jsonrpsee closes the WebSocket.
            max_response_size: u32::try_from(max_response()).unwrap_or(u32::MAX),
            ..WsTransportClientBuilder::default()
        };
        let unusable = |error: &dyn std::error::Error| Error::Transport(error.to_string().into());
        let url = Url::parse(&self.url).map_err(|error| unusable(&error))?;
        let (sender, receiver) = transport.build(url).await.map_err(|error| Error::Transport(error.into()))?;
        let beside = Beside::default();
        let sender = Sender { sender, beside: beside.clone() };
        let client = WsClientBuilder::new()
            .set_rpc_middleware(RpcServiceBuilder::new().layer_fn(keep))
            .max_concurrent_requests(2 * CALLS)
            .enable_ws_ping(PingConfig::new().ping_interval(PING_INTERVAL).inactive_limit(PING_PATIENCE))
            .build_with_transport(sender, receiver);
        let service = service.get().ok_or(Error::ServiceDisconnect)?.clone();
        Ok(Open { url: without_user_info(&self.url), client, service, beside })
    }
}

impl Open {
    /// Sends the request with this `id` and returns its response.
    pub(super) async fn call(
        &self,
        id: u64,
        name: &str,
        params: Box<RawValue>,
        outgoing: Outgoing<'_>,
    ) -> Result<RawResponse<'static>> {
        let members = everywire_json::members(&outgoing);
        everywire_json::check_request(name, params.get().len() + members.len())?;
        let _kept = self.beside.keep(id, members);
        let response = self.service.call(Request::borrowed(name, Some(&params), Id::Number(id))).await;
        Ok(response.map_err(|error| fault::from_client(&self.url, &error))?.into_response())
    }

    /// Sends a notification.
    pub(super) async fn notify(&self, name: &'static str, params: Box<RawValue>) {
        // If the connection is lost, the server knows more than this.
        let _ = self.service.notification(Notification::new(name.into(), Some(Cow::Owned(params)))).await;
    }

    /// Tells the server that nobody waits for the response with this `id`. Returns false: a server that does not know the notification
    /// ends the call only when the connection is closed.
    fn cancel(self: &Arc<Self>, id: u64) -> bool {
        let open = Arc::clone(self);
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { open.notify(everywire_json::CANCEL, everywire_json::cancellation(id)).await });
        }
        false
    }
}

/// The reply, or the error, in a response. A reply has to be the one to the request with this `id`.
pub(super) fn reply<R: DeserializeOwned>(response: &RawResponse<'_>, id: u64) -> Result<R> {
    if let Some(object) = response.as_error() {
        return Err(fault::from_object(object));
    }
    match response.as_success() {
        Some(result) if *response.id() == Id::Number(id) => everywire_json::result_of(result),
        _ => Err(everywire_json::unreadable("it responds to another request")),
    }
}
