//! The loop that owns one connection.

use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use rpc_core::{Budget, CancellationToken, FREE_BYTES, Limits, RpcError, Share};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    task::yield_now,
    time::{Sleep, sleep, timeout},
};
use tokio_util::io::poll_read_buf;

use crate::{
    Envelope, Peer, Session,
    frames::{self, GREETING, GREETING_BYTES, SocketType, Taken, violation},
};

/// Runs the connections of one server, within its limits.
///
/// | what a peer does | what bounds it |
/// |---|---|
/// | greets slowly or not at all | `handshake_time` |
/// | sends a message slowly | `message_time` for the whole message, however many bytes trickle in |
/// | announces or sends a long message | `message_bytes`, checked before anything is reserved; the buffer grows by what arrived |
/// | sends frames without end | 64 frames in a message |
/// | sends many calls | `calls_in_flight`; then reading pauses |
/// | does not read its replies | `unsent_bytes`; then reading pauses |
/// | does any of it on many connections | `buffered_bytes` over all connections; then the one that needs more closes |
#[derive(Debug)]
pub struct Engine {
    socket: SocketType,
    /// Calls that one connection may have in flight.
    calls_in_flight: usize,
    budget: Arc<Budget>,
}

/// Frames of one message: a delimiter, a body, and room for proxies on the way.
const MESSAGE_FRAMES: usize = 64;
/// What is reserved for a read, and the least room that is worth a read.
const READ_BYTES: usize = 16 << 10;
const LEAST_READ_BYTES: usize = 4 << 10;

impl Engine {
    /// An engine that announces `socket`: [`Router`](SocketType::Router) or [`Rep`](SocketType::Rep).
    pub fn new(socket: SocketType, budget: Arc<Budget>) -> Self {
        let calls_in_flight = match socket {
            // Answers of REP carry no number, so they have to come in the order of the requests.
            SocketType::Rep | SocketType::Req => 1,
            SocketType::Router | SocketType::Dealer => budget.limits().calls_in_flight,
        };
        Self { socket, calls_in_flight, budget }
    }

    /// The limits of each connection.
    pub fn limits(&self) -> &Limits {
        self.budget.limits()
    }

    /// Runs one connection until the peer closes it, or until `shutdown` and the end of its calls. `read` holds bytes
    /// that were read already, to find out which protocol the peer speaks; it may be empty.
    ///
    /// An error says why the connection broke or was broken off: kind `InvalidData` for a peer that breaks the
    /// protocol, `TimedOut`, `QuotaExceeded`, or what the socket said.
    pub async fn serve<IO, S>(&self, io: IO, read: BytesMut, session: S, shutdown: CancellationToken) -> io::Result<()>
    where
        IO: AsyncRead + AsyncWrite + Send,
        S: Session,
    {
        let io = pin!(io);
        let mut connection = Connection::new(self, io, read, session);
        let handshake = timeout(self.limits().handshake_time, connection.shake_hands(self.socket));
        let Some(shaken) = shutdown.run_until_cancelled(handshake).await else { return Ok(()) };
        shaken.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no whole handshake in time"))??;
        tokio::select! {
            biased;
            ended = poll_fn(|cx| connection.poll(cx)) => return ended,
            () = shutdown.cancelled() => connection.peer.draining = true,
        }
        poll_fn(|cx| connection.poll(cx)).await?;
        // A peer that asked in time would wait in vain, so the runtime gets a turn to notice what the socket holds.
        yield_now().await;
        poll_fn(|cx| connection.poll(cx)).await?;
        connection.io.shutdown().await
    }
}

struct Connection<'a, IO, S: Session> {
    io: Pin<&'a mut IO>,
    limits: &'a Limits,
    calls_in_flight: usize,
    session: S,
    peer: Peer<S::Channel>,
    input: BytesMut,
    /// At least so many bytes are missing in `input`.
    missing: usize,
    /// The frames of the message that is coming in, and their bytes.
    message: Vec<Bytes>,
    message_bytes: usize,
    /// Where the next call is polled first. The allocation stays here, unless the call takes it along into its task.
    place: Pin<Box<Option<S::Call>>>,
    message_deadline: Option<Pin<Box<Sleep>>>,
    next_tick: Option<Pin<Box<Sleep>>>,
    share: Share,
}

impl<'a, IO: AsyncRead + AsyncWrite, S: Session> Connection<'a, IO, S> {
    fn new(engine: &'a Engine, io: Pin<&'a mut IO>, input: BytesMut, session: S) -> Self {
        Self {
            io,
            limits: engine.limits(),
            calls_in_flight: engine.calls_in_flight,
            session,
            peer: Peer::default(),
            input,
            missing: 0,
            message: Vec::new(),
            message_bytes: 0,
            place: Box::pin(None),
            message_deadline: None,
            next_tick: None,
            share: engine.budget.share(),
        }
    }

    /// Greets at once, as old peers wait for it; says READY when the peer's greeting is right.
    async fn shake_hands(&mut self, socket: SocketType) -> io::Result<()> {
        self.io.write_all(&GREETING).await?;
        while !frames::check_greeting(&self.input)? {
            self.read_more().await?;
        }
        let _ = self.input.split_to(GREETING_BYTES);
        frames::put_ready(self.peer.output.raw(), socket);
        loop {
            match frames::take_frame(&mut self.input, 0)? {
                Taken::Command(ready) => {
                    return match frames::read_ready(&ready)? {
                        SocketType::Dealer | SocketType::Req => self.flush().await,
                        SocketType::Router | SocketType::Rep => Err(violation("a socket type that does not ask")),
                    };
                }
                Taken::Frame { .. } => return Err(violation("a message before READY")),
                Taken::Missing(_) => {
                    self.flush().await?;
                    self.read_more().await?;
                }
            }
        }
    }

    async fn read_more(&mut self) -> io::Result<()> {
        match poll_fn(|cx| self.poll_read(cx)).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.peer.output.poll_write(self.io.as_mut(), cx)).await
    }

    /// One turn after another: dispatch, collect, write, read. Ready when the connection is to end.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let held_back = self.dispatch(cx)?;
            // After dispatch: an empty set of tasks registers no waker, so it has to be asked after the last spawn.
            self.collect(cx)?;
            self.tick(cx);
            let written = self.peer.output.poll_write(self.io.as_mut(), cx)?;
            self.share.hold(self.input.len() + self.message_bytes + self.peer.output.len()).map_err(over_budget)?;
            if self.is_full() {
                return Poll::Pending;
            }
            if held_back {
                continue;
            }
            let idle = self.peer.calls.is_empty() && written.is_ready();
            match self.poll_read(cx)? {
                Poll::Ready(0) => return Poll::Ready(Ok(())),
                Poll::Ready(_) => {}
                // Only now: what has arrived is answered, even if there was no place for it before.
                Poll::Pending if self.peer.draining && idle => return Poll::Ready(Ok(())),
                Poll::Pending => return self.poll_message_deadline(cx).map(Err),
            }
        }
    }

    /// Hands whole messages to the session until the input or a limit is reached; true for a limit.
    fn dispatch(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        loop {
            if self.is_full() {
                self.peer.paused = true;
                self.message_deadline = None;
                return Ok(true);
            }
            self.peer.paused = false;
            match frames::take_frame(&mut self.input, self.limits.message_bytes - self.message_bytes)? {
                Taken::Missing(missing) => {
                    self.missing = missing;
                    return Ok(false);
                }
                Taken::Command(command) => {
                    if let Some(pong) = frames::pong(&command)? {
                        self.peer.output.raw().extend_from_slice(&pong);
                    }
                }
                Taken::Frame { body, more } => self.frame(body, more, cx)?,
            }
        }
    }

    fn frame(&mut self, body: Bytes, more: bool, cx: &mut Context<'_>) -> io::Result<()> {
        if body.len() > FREE_BYTES {
            // Leave the grown buffer to the frame, or an idle connection would keep it.
            self.input = BytesMut::from(&self.input[..]);
        }
        self.message_bytes += body.len();
        self.message.push(body);
        if more {
            return if self.message.len() < MESSAGE_FRAMES { Ok(()) } else { Err(violation("too many frames")) };
        }
        let (envelope, body) = Envelope::split(&self.message)?;
        let call = self.session.receive(envelope, body, &mut self.peer)?;
        self.message.clear();
        self.message_bytes = 0;
        self.message_deadline = None;
        if let Some((channel, call)) = call {
            self.start(channel, call, cx);
        }
        Ok(())
    }

    /// Polls a new call in place; one that has to wait moves into a task.
    fn start(&mut self, channel: S::Channel, call: S::Call, cx: &mut Context<'_>) {
        self.place.set(Some(call));
        let Some(call) = self.place.as_mut().as_pin_mut() else { return };
        match call.poll(cx) {
            Poll::Ready(reply) => {
                self.place.set(None);
                self.peer.output.push(&reply.envelope, &reply.body);
            }
            Poll::Pending => {
                let mut call = std::mem::replace(&mut self.place, Box::pin(None));
                self.peer.calls.spawn(
                    channel,
                    poll_fn(move |cx| match call.as_mut().as_pin_mut() {
                        Some(call) => call.poll(cx),
                        None => Poll::Pending,
                    }),
                );
            }
        }
    }

    /// Takes the replies of calls that have finished.
    fn collect(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while let Poll::Ready(Some(finished)) = self.peer.calls.poll_next(cx) {
            let reply = finished.map_err(io::Error::other)?;
            self.peer.output.push(&reply.envelope, &reply.body);
        }
        Ok(())
    }

    /// Runs the session's tick when it is due. The timer outlives the calls until it rings, so that many short calls do
    /// not arm one each.
    fn tick(&mut self, cx: &mut Context<'_>) {
        if self.next_tick.is_none() && self.peer.calls.is_empty() {
            return;
        }
        while self.next_tick.get_or_insert_with(|| Box::pin(sleep(S::TICK))).as_mut().poll(cx).is_ready() {
            self.next_tick = None;
            if self.peer.calls.is_empty() {
                return;
            }
            // A peer that reads nothing is told nothing, or the output would grow without end.
            if self.peer.output.len() < self.limits.unsent_bytes {
                self.session.tick(&mut self.peer);
            }
        }
    }

    /// Whether no more may be read now.
    fn is_full(&self) -> bool {
        self.peer.calls.len() >= self.calls_in_flight || self.peer.output.len() >= self.limits.unsent_bytes
    }

    /// Reads once. The room grows with what has arrived, at most doubling, whatever the peer announced.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let room = self.missing.min(self.input.len()).max(LEAST_READ_BYTES);
        if self.input.capacity() - self.input.len() < room {
            self.input.reserve(room.max(READ_BYTES));
        }
        poll_read_buf(self.io.as_mut(), cx, &mut self.input)
    }

    /// Pending, unless a part of a message is older than it may be.
    fn poll_message_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.input.is_empty() && self.message.is_empty() {
            self.message_deadline = None;
            return Poll::Pending;
        }
        let time = self.limits.message_time;
        let deadline = self.message_deadline.get_or_insert_with(|| Box::pin(sleep(time)));
        deadline.as_mut().poll(cx).map(|()| io::Error::new(io::ErrorKind::TimedOut, "no whole message in time"))
    }
}

fn over_budget(error: RpcError) -> io::Error {
    io::Error::new(io::ErrorKind::QuotaExceeded, error)
}
