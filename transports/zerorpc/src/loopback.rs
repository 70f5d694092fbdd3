//! A call without the sockets: what it costs in format and envelope.

use std::sync::Arc;

use bytes::Bytes;
use everywire_core::{
    Budget, Caller, Context, Peer, Result, RpcError, Service, descriptor::Method, wire::MessageBuffer,
};
use everywire_zmtp::Envelope;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    call::{Connection, ReplyTo, Request, ZerorpcCall},
    client::decode,
    envelope::{self, Event},
    id::{ChannelId, MessageIds},
    positional::put_args,
};

/// A client and a server of this wire with neither ZMTP nor a socket between them.
pub struct Loopback<S> {
    service: Arc<S>,
    connection: Arc<Connection>,
    ids: MessageIds,
}

impl<S: Service> Loopback<S> {
    /// Calls `service` within the limits of `budget`.
    pub fn new(service: Arc<S>, budget: Arc<Budget>) -> Self {
        let connection = Arc::new(Connection { peer: Peer::LOCAL, budget, ids: MessageIds::new() });
        Self { service, connection, ids: MessageIds::new() }
    }
}

impl<S: Service> Caller for Loopback<S> {
    async fn call<A: Serialize + Send + Sync, R: DeserializeOwned + Send>(
        &self,
        method: &'static Method,
        _cx: &Context,
        args: &A,
    ) -> Result<R> {
        let mut request = MessageBuffer::unbounded(envelope::event(&self.ids.next().1, None, method.name()));
        put_args(&mut request, args).map_err(RpcError::internal)?;
        let request = Bytes::from(request.into_vec());
        let unreadable = || RpcError::internal("a request that can't be read");
        let event = Event::decode(&request).map_err(|_| unreadable())?;
        let channel = event.message_id.and_then(ChannelId::copy).ok_or_else(unreadable)?;
        let reply_to = ReplyTo { envelope: Envelope::delimiter(), channel };
        let args = request.slice_ref(event.args);
        let request = Request { reply_to, method, args, around: None, credit: None };
        let mut call = ZerorpcCall::new(request, &self.connection);
        let reply = self.service.dispatch(method, &mut call).await;
        decode(method.name(), reply.body().unwrap_or_default())
    }
}
