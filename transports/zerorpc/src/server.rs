//! The server: the requests of ZMTP connections become calls of the service.

use std::{
    io,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use everywire_net::Listener;
use rmp_serde::decode;
use rpc_core::{
    Call, CancellationToken, Limits, Result, RpcError, Service, ServiceDescriptor, Transport, bad_arguments,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::net::TcpStream;

use crate::{
    LOST_AFTER, PERIOD,
    envelope::{self, Event, Malformed, MessageId, MessageIds},
    fault,
    msgpack::{Reader, deserializer, get_value},
    schema,
    zmtp::{Engine, Envelope, Peer, Reply, Session, SocketType, frames::violation},
};

/// A zerorpc server, bound and not yet serving.
///
/// Of the [`Limits`] it keeps all but `batch_calls`; zerorpc has no batches.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    limits: Limits,
}

/// How long a connection may be silent before TCP asks whether the peer is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

impl Server {
    /// Binds `address`, such as `127.0.0.1:4243` or, as zerorpc writes it, `tcp://127.0.0.1:4243`. Port 0 takes a free
    /// one.
    pub async fn bind(address: &str) -> Result<Self> {
        let address = address.strip_prefix("tcp://").unwrap_or(address);
        Ok(Self { listener: Listener::bind("zerorpc", address).await?, limits: Limits::default() })
    }

    /// Sets what a peer may cost.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The bound address, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }
}

impl Transport for Server {
    fn endpoint(&self) -> String {
        format!("zerorpc tcp://{}", self.address())
    }

    /// Refuses types that MessagePack loses or Python can't read: maps with keys other than strings, integers of 128
    /// bits, `Option<Option<T>>`. MessagePack describes itself, so a type without a shape is fine.
    fn check(&self, descriptor: &ServiceDescriptor) -> Result<()> {
        schema::check(descriptor)
    }

    async fn serve<S: Service>(self, service: Arc<S>, shutdown: CancellationToken) -> Result<()> {
        let engine = Arc::new(Engine::new(SocketType::Router, self.limits.clone()));
        let descriptor = service.descriptor();
        let depth = self.limits.depth;
        let connection = |stream: TcpStream, peer: SocketAddr, stop: CancellationToken| {
            let service = Arc::clone(&service);
            let dispatch = move |method: Bytes, call: ZerorpcCall| {
                let service = Arc::clone(&service);
                async move { service.dispatch(std::str::from_utf8(&method).unwrap_or_default(), call).await }
            };
            let session = ZerorpcSession { dispatch, descriptor, ids: MessageIds::new(), depth };
            let engine = Arc::clone(&engine);
            async move {
                let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE);
                let _ = socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive);
                if let Err(error) = engine.serve(stream, BytesMut::new(), session, stop).await {
                    tracing::debug!(%peer, %error, "zerorpc connection ended");
                }
            }
        };
        self.listener.serve(self.limits.connections, shutdown, connection).await;
        Ok(())
    }
}

/// One connection. `dispatch` starts a call of the service.
struct ZerorpcSession<D> {
    dispatch: D,
    descriptor: &'static ServiceDescriptor,
    ids: MessageIds,
    depth: usize,
}

/// An open channel: a call that waits.
struct Channel {
    asker: Asker,
    /// Ticks since the peer was heard of.
    missed: u8,
}

/// Who asked, and in which channel.
#[derive(Debug, Clone)]
struct Asker {
    envelope: Envelope,
    /// The channel's id, as MessagePack.
    channel: Bytes,
}

impl<D, F> Session for ZerorpcSession<D>
where
    D: Fn(Bytes, ZerorpcCall) -> F + Send,
    F: Future<Output = Reply> + Send + 'static,
{
    type Call = F;
    type Channel = Channel;

    const TICK: Duration = PERIOD;

    fn receive(
        &mut self,
        envelope: Envelope,
        body: &[Bytes],
        peer: &mut Peer<Channel>,
    ) -> io::Result<Option<(Channel, F)>> {
        let [payload] = body else { return Err(violation("a message with other than one payload")) };
        let event = Event::decode(payload);
        let id = match &event {
            Ok(Event { response_to: Some(channel), .. }) => {
                heard(&envelope, channel, peer);
                return Ok(None);
            }
            Ok(Event { message_id, .. }) | Err(Malformed { message_id }) => *message_id,
        };
        let Some(id) = id else { return Err(violation("a payload that is no event, without an id to answer to")) };
        let asker = Asker { envelope, channel: payload.slice_ref(id) };
        let Ok(event) = event else {
            self.refuse(&asker, peer, fault::put_unreadable);
            return Ok(None);
        };
        Ok(self.request(asker, payload, &event, peer))
    }

    fn tick(&mut self, peer: &mut Peer<Channel>) {
        let Peer { calls, output, paused, .. } = peer;
        calls.retain(|channel| {
            // What is not read can't be heard.
            channel.missed += u8::from(!*paused);
            let Asker { envelope, channel: id } = &channel.asker;
            if channel.missed >= LOST_AFTER {
                return false;
            }
            output.push(envelope, &envelope::heartbeat(&self.ids.next().1, id));
            true
        });
    }
}

/// Notes a sign of life in a channel: a heartbeat, or credit for more answers than the one that each call has.
fn heard(envelope: &Envelope, channel: &[u8], peer: &mut Peer<Channel>) {
    let open = peer.calls.channels().find(|open| open.asker.channel == channel && open.asker.envelope == *envelope);
    if let Some(open) = open {
        open.missed = 0;
    }
}

impl<D, F> ZerorpcSession<D>
where
    D: Fn(Bytes, ZerorpcCall) -> F,
{
    /// Starts the call of a request, or answers at once.
    fn request(
        &mut self,
        asker: Asker,
        payload: &Bytes,
        event: &Event,
        peer: &mut Peer<Channel>,
    ) -> Option<(Channel, F)> {
        if peer.draining {
            let stopping = RpcError::unavailable("the server is shutting down");
            self.refuse(&asker, peer, |args| fault::put(args, &stopping));
            return None;
        }
        if schema::is_builtin(event.name) {
            match schema::answer(self.descriptor, event.name, event.args) {
                Ok(value) => {
                    let answer = envelope::ok_encoded(&self.ids.next().1, &asker.channel, &value);
                    peer.output.push(&asker.envelope, &answer);
                }
                Err(error) => self.refuse(&asker, peer, |args| fault::put(args, &error)),
            }
            return None;
        }
        let call = ZerorpcCall {
            id: self.ids.next().1,
            asker: asker.clone(),
            args: payload.slice_ref(event.args),
            depth: self.depth,
            unreadable: false,
        };
        let call = (self.dispatch)(payload.slice_ref(event.name.as_bytes()), call);
        Some((Channel { asker, missed: 0 }, call))
    }

    fn refuse(&mut self, asker: &Asker, peer: &mut Peer<Channel>, args: impl FnOnce(&mut Vec<u8>)) {
        peer.output.push(&asker.envelope, &error(&self.ids.next().1, asker, args));
    }
}

/// An `ERR` event.
fn error(id: &MessageId, asker: &Asker, args: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut event = envelope::event(id, Some(&asker.channel), "ERR");
    args(&mut event);
    event
}

/// One request.
struct ZerorpcCall {
    /// The id of the answer.
    id: MessageId,
    asker: Asker,
    /// The arguments, as MessagePack; a part of the read buffer, let go as soon as they are decoded.
    args: Bytes,
    depth: usize,
    unreadable: bool,
}

impl Call for ZerorpcCall {
    type Reply = Reply;

    fn args<A: DeserializeOwned>(&mut self) -> Result<A> {
        let args = std::mem::take(&mut self.args);
        // The array or map of the arguments is one more level than their own values have.
        let depth = self.depth + 1;
        get_value(&args, depth).map_err(|error| {
            self.unreadable = Reader::new(&args).value().is_none();
            explain(bad_arguments::<A>(&mut deserializer(&args, depth)), &error)
        })
    }

    fn reply<R: Serialize>(self, outcome: Result<R>) -> Reply {
        let Self { id, asker, .. } = self;
        let body = match outcome {
            _ if self.unreadable => error(&id, &asker, fault::put_unreadable),
            Ok(value) => encode(&id, &asker, &value)
                .unwrap_or_else(|failed| error(&id, &asker, |args| fault::put(args, &failed))),
            Err(failed) => error(&id, &asker, |args| fault::put(args, &failed)),
        };
        Reply { envelope: asker.envelope, body }
    }
}

/// Says in words where the library names a marker: `wrong msgpack marker FixStr(1)`.
fn explain(bad: RpcError, error: &decode::Error) -> RpcError {
    let decode::Error::TypeMismatch(marker) = error else { return bad };
    let found = match marker.to_u8() {
        0x80..=0x8F | 0xDE | 0xDF => "a map",
        0x90..=0x9F | 0xDC | 0xDD => "an array",
        0xA0..=0xBF | 0xD9..=0xDB => "a string",
        0xC4..=0xC6 => "bytes",
        _ => "an extension",
    };
    let wanted = format!("invalid type: {found} where a number or a boolean is expected");
    RpcError::invalid_argument(bad.message().replace(&error.to_string(), &wanted))
}

/// The `OK` event. A value that can't be written, or panics when it is, is an error of the service.
fn encode<R: Serialize>(id: &MessageId, asker: &Asker, value: &R) -> Result<Vec<u8>> {
    catch_unwind(AssertUnwindSafe(|| envelope::ok(id, &asker.channel, value)))
        .map_err(|_| RpcError::internal("a reply panicked while it was written"))?
        .map_err(RpcError::internal)
}
