//! One connection of a client: calls send their requests, and one task reads the responses.
//!
//! The `zeromq` crate's DEALER has a queue and a task for writing, so a call enqueues its request without waiting, under a lock
//! that is held only meanwhile.

use std::{
    collections::HashMap,
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use everywire_core::{
    Result, RpcError,
    wire::{MessageBuffer, Outgoing},
};
use futures_util::{FutureExt, StreamExt};
use serde::Serialize;
use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};
use tokio_util::task::AbortOnDropHandle;
use zeromq::{
    DealerRecvHalf, DealerSendHalf, DealerSocket, Socket, SocketEvent, SocketOptions, SocketRecv, SocketSend,
    ZmqMessage,
};

use crate::{
    envelope::{self, Event, HEARTBEAT, LOST_AFTER, MORE, PERIOD, STREAM},
    id::{MessageId, MessageIds, id_number},
    positional::put_args,
};

/// How long connecting may take, and then the handshake.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// A connection to the server, until it is lost.
pub(crate) struct Connection {
    shared: Arc<Shared>,
    ids: MessageIds,
    _reader: AbortOnDropHandle<()>,
}

/// A request that was sent. Dropping it cancels the call: its heartbeats end, which the server notices.
pub(crate) struct Pending<C: Deref<Target = Connection>> {
    connection: C,
    number: u64,
}

/// A call that waits for its response.
pub(crate) struct PendingResponse<'a> {
    pending: Pending<&'a Connection>,
    response: oneshot::Receiver<Result<Bytes>>,
}

/// A call whose response has many events.
pub(crate) struct PendingEvents {
    pending: Pending<Arc<Connection>>,
    events: mpsc::Receiver<Result<Bytes>>,
    /// How many further events the server may send.
    granted: u32,
}

/// How many events of a stream may be on the way or unread, as in Python's client.
const MOST_GRANTED: u32 = 100;

struct Shared {
    /// Where the server is, for messages.
    address: String,
    /// None once the connection is lost.
    open: Mutex<Option<Open>>,
}

struct Open {
    sender: DealerSendHalf,
    /// By the number of the request.
    channels: HashMap<u64, Channel>,
}

/// The client's side of a call that waits for its response.
struct Channel {
    id: MessageId,
    receiver: Receiver,
    /// Ticks since a message of the server arrived in this channel.
    missed: u8,
}

/// Who waits for what arrives in a channel.
enum Receiver {
    Response(oneshot::Sender<Result<Bytes>>),
    Events { events: mpsc::Sender<Result<Bytes>>, has_begun: bool },
}

impl Receiver {
    /// Delivers the last event, or why there is none.
    fn end(self, event: Result<Bytes>) {
        match self {
            Self::Response(receiver) => drop(receiver.send(event)),
            Self::Events { events, .. } => drop(events.try_send(event)),
        }
    }
}

impl Connection {
    /// Connects to `address`, a host and a port.
    pub(crate) async fn open(address: &str) -> Result<Self> {
        let failed = |reason: String| RpcError::unavailable(format!("no zerorpc server at tcp://{address}: {reason}"));
        // The crate retries a refused connection until its timeout. A connection of our own fails at once.
        timeout(CONNECT_TIME, TcpStream::connect(address))
            .await
            .map_err(|_| failed(format!("no connection within {CONNECT_TIME:?}")))?
            .map_err(|error| failed(error.to_string()))?;
        let mut options = SocketOptions::default();
        options.connect_timeout(CONNECT_TIME);
        let mut socket = DealerSocket::with_options(options);
        let events = socket.monitor();
        socket.connect(&format!("tcp://{address}")).await.map_err(|error| failed(error.to_string()))?;
        let (sender, receiver) = socket.split();
        let open = Mutex::new(Some(Open { sender, channels: HashMap::new() }));
        let shared = Arc::new(Shared { address: address.to_owned(), open });
        let reader = tokio::spawn(read(receiver, events, Arc::clone(&shared)));
        Ok(Self { shared, ids: MessageIds::new(), _reader: AbortOnDropHandle::new(reader) })
    }

    /// Whether the connection is still there.
    pub(crate) fn is_open(&self) -> bool {
        self.shared.lock().is_some()
    }

    /// Sends a request that has one response.
    pub(crate) fn request<A: Serialize>(
        &self,
        method: &str,
        args: &A,
        outgoing: &Outgoing<'_>,
    ) -> Result<PendingResponse<'_>> {
        let (sender, response) = oneshot::channel();
        let number = self.send(method, args, outgoing, Receiver::Response(sender))?;
        Ok(PendingResponse { pending: Pending { connection: self, number }, response })
    }

    /// Sends a request whose response has many events.
    pub(crate) fn request_events<A: Serialize>(
        self: Arc<Self>,
        method: &str,
        args: &A,
        outgoing: &Outgoing<'_>,
    ) -> Result<PendingEvents> {
        // Beside those that are granted, one may say that the stream has begun, and one that it is lost.
        let (sender, events) = mpsc::channel(MOST_GRANTED as usize + 2);
        let number = self.send(method, args, outgoing, Receiver::Events { events: sender, has_begun: false })?;
        Ok(PendingEvents { pending: Pending { connection: self, number }, events, granted: 1 })
    }

    /// Sends a request, and returns its number.
    fn send<A: Serialize>(&self, method: &str, args: &A, outgoing: &Outgoing<'_>, receiver: Receiver) -> Result<u64> {
        let (number, id) = self.ids.next();
        let mut request = MessageBuffer::unbounded(envelope::request(&id, method, outgoing));
        put_args(&mut request, args).map_err(|error| {
            RpcError::invalid_argument(format!("the arguments of {method} can't be written: {error}"))
        })?;
        let mut open = self.shared.lock();
        let open = open.as_mut().ok_or_else(|| self.shared.lost())?;
        if !open.send(request.into_vec().into()) {
            return Err(self.shared.lost());
        }
        open.channels.insert(number, Channel { id, receiver, missed: 0 });
        Ok(number)
    }
}

impl PendingResponse<'_> {
    /// The payload of the response.
    pub(crate) async fn response(mut self) -> Result<Bytes> {
        (&mut self.response).await.unwrap_or_else(|_| Err(self.pending.connection.shared.lost()))
    }
}

impl PendingEvents {
    /// The payload of the next event.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes>> {
        let event = ready!(self.events.poll_recv(cx));
        Poll::Ready(event.unwrap_or_else(|| Err(self.pending.connection.shared.lost())))
    }

    /// Notes that an item was taken, and grants more of them when half of those that were granted have come.
    pub(crate) fn taken(&mut self) {
        self.granted = self.granted.saturating_sub(1);
        if self.granted < MOST_GRANTED / 2 {
            if !self.pending.grant(MOST_GRANTED - self.granted) {
                // The server would wait for ever. What has arrived is read, and then the stream is lost.
                self.events.close();
            }
            self.granted = MOST_GRANTED;
        }
    }
}

impl<C: Deref<Target = Connection>> Pending<C> {
    /// Grants the server further events. Returns false if that can't be sent.
    fn grant(&self, events: u32) -> bool {
        let mut open = self.connection.shared.lock();
        let Some(open) = open.as_mut() else { return false };
        // After its last event a channel needs no credit.
        let Some(&Channel { id, .. }) = open.channels.get(&self.number) else { return true };
        open.send(envelope::more(&self.connection.ids.next().1, &id.encoded(), events).into())
    }
}

impl<C: Deref<Target = Connection>> Drop for Pending<C> {
    fn drop(&mut self) {
        if let Some(open) = self.connection.shared.lock().as_mut()
            && let Some(Channel { id, .. }) = open.channels.remove(&self.number)
        {
            open.send(envelope::cancel(&id, &id.encoded()).into());
        }
    }
}

impl Open {
    /// Notes an event in a channel. Returns who gets it if it is the channel's last one.
    fn receive(&mut self, number: u64, name: &str, payload: &Bytes) -> Option<Receiver> {
        let channel = self.channels.get_mut(&number)?;
        channel.missed = 0;
        match (name, &mut channel.receiver) {
            // Credit tells the reader only that the stream has begun.
            (MORE, Receiver::Events { events, has_begun: has_begun @ false }) => {
                *has_begun = events.try_send(Ok(payload.clone())).is_ok();
                None
            }
            (STREAM, Receiver::Events { events, has_begun }) => {
                *has_begun = true;
                if events.try_send(Ok(payload.clone())).is_ok() {
                    return None;
                }
                let Channel { id, .. } = self.channels.remove(&number)?;
                // Its reader gets what has come, and then an error.
                self.send(envelope::cancel(&id, &id.encoded()).into());
                None
            }
            (HEARTBEAT | MORE, _) => None,
            (STREAM, Receiver::Response(_)) => {
                let Channel { id, receiver, .. } = self.channels.remove(&number)?;
                self.send(envelope::cancel(&id, &id.encoded()).into());
                Some(receiver)
            }
            _ => self.channels.remove(&number).map(|channel| channel.receiver),
        }
    }

    /// Puts one message into the crate's queue. Returns false if the connection is lost or the queue is full.
    fn send(&mut self, payload: Bytes) -> bool {
        let mut message = ZmqMessage::from(Bytes::new());
        message.push_back(payload);
        matches!(self.sender.send(message).now_or_never(), Some(Ok(())))
    }
}

/// Delivers responses and sends heartbeats until the connection is lost.
async fn read(
    mut receiver: DealerRecvHalf,
    mut events: impl StreamExt<Item = SocketEvent> + Unpin,
    shared: Arc<Shared>,
) {
    let mut period = interval_at(Instant::now() + PERIOD, PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            message = receiver.recv() => match message {
                Ok(message) => shared.deliver(message),
                Err(error) => {
                    tracing::debug!(%error, address = shared.address, "zerorpc connection broke");
                    break;
                }
            },
            event = events.next() => if matches!(event, None | Some(SocketEvent::Disconnected(_))) {
                break;
            },
            _ = period.tick() => shared.tick(),
        }
    }
    shared.lock().take();
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lost(&self) -> RpcError {
        RpcError::unavailable(format!("the connection to the zerorpc server at tcp://{} is lost", self.address))
    }

    /// Delivers a response to the call that waits for it.
    fn deliver(&self, message: ZmqMessage) {
        let Some(payload) = message.into_vecdeque().pop_back() else { return };
        let Ok(Event { response_to: Some(channel), name, .. }) = Event::decode(&payload) else {
            return tracing::debug!(address = self.address, "the server sent something that is not a response");
        };
        let Some(number) = id_number(channel) else { return };
        let mut open = self.lock();
        let Some(open) = open.as_mut() else { return };
        if let Some(receiver) = open.receive(number, name, &payload) {
            receiver.end(Ok(payload));
        }
    }

    /// Sends a heartbeat in every channel, and ends the calls in whose channels the server is silent.
    fn tick(&self) {
        let mut open = self.lock();
        let Some(open) = open.as_mut() else { return };
        let mut ids = Vec::new();
        let silent = open.channels.extract_if(|_, channel| {
            channel.missed += 1;
            ids.push(channel.id);
            channel.missed >= LOST_AFTER
        });
        for (_, channel) in silent {
            let reason = format!("the zerorpc server at tcp://{} is silent for {:?}", self.address, 2 * PERIOD);
            channel.receiver.end(Err(RpcError::unavailable(reason)));
        }
        for id in ids {
            open.send(envelope::heartbeat(&id, &id.encoded()).into());
        }
    }
}
