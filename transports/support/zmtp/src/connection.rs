//! The loop that owns one connection.

use std::{
    fmt,
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use everywire_core::{
    Budget, Code, Limit, Limits, RpcError,
    wire::{self, FREE_BYTES, Io, Reservation, Socket},
};
use everywire_net::poll_read_more;
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, Sleep, sleep, sleep_until},
};

use crate::{
    Envelope, HeldCall, Peer, Reply, Session,
    frames::{self, GREETING, GREETING_BYTES, SocketType, Taken, violation},
};

/// Frames of one message: a delimiter, a body, and room for proxies on the way.
const MESSAGE_FRAMES: usize = 64;

/// One connection.
pub(crate) struct Connection<'a, IO, S: Session> {
    pub(crate) io: Socket<IO>,
    wire: &'static str,
    socket: SocketType,
    budget: &'a Budget,
    address: wire::Peer,
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
    /// Since when there was no message and no call; found out when there is nothing else to do.
    idle_since: Option<Instant>,
    /// Rings when the connection may have been idle for too long.
    idle_alarm: Option<Pin<Box<Sleep>>>,
    reservation: Reservation,
}

impl<'a, IO: Io, S: Session> Connection<'a, IO, S> {
    pub(crate) fn new(
        (wire, socket): (&'static str, SocketType),
        io: Socket<IO>,
        address: wire::Peer,
        budget: &'a Arc<Budget>,
        session: S,
    ) -> Self {
        Self {
            io,
            wire,
            socket,
            budget,
            address,
            session,
            peer: Peer::default(),
            input: BytesMut::new(),
            missing: 0,
            message: Vec::new(),
            message_bytes: 0,
            place: Box::pin(None),
            message_deadline: None,
            next_tick: None,
            idle_since: None,
            idle_alarm: None,
            reservation: budget.reserve(),
        }
    }

    /// Greets at once, as old peers wait for it; says READY when the peer's greeting is right.
    pub(crate) async fn shake_hands(&mut self) -> io::Result<()> {
        self.io.write_all(&GREETING).await?;
        while !frames::check_greeting(&self.input)? {
            self.read_more().await?;
        }
        let _ = self.input.split_to(GREETING_BYTES);
        frames::put_ready(self.peer.output.raw(), self.socket);
        loop {
            match frames::take_frame(&mut self.input, 0) {
                Ok(Taken::Command(ready)) => {
                    return match frames::read_ready(&ready)? {
                        SocketType::Dealer | SocketType::Req => self.flush().await,
                        SocketType::Router | SocketType::Rep => Err(violation("a socket type that does not ask")),
                    };
                }
                Ok(Taken::Missing(_)) => {
                    self.flush().await?;
                    self.read_more().await?;
                }
                Err(violation) if violation.kind() != io::ErrorKind::QuotaExceeded => return Err(violation),
                Ok(Taken::Frame { .. }) | Err(_) => return Err(violation("a message before READY")),
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
        poll_fn(|cx| self.peer.output.poll_write(Pin::new(&mut self.io), cx)).await
    }

    /// From now on the connection ends when there is nothing left to do.
    pub(crate) fn drain(&mut self) {
        self.peer.draining = true;
    }

    /// One turn after another: dispatch, collect, write, read. Ready when the connection is to end.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let was_stuck = self.dispatch(cx)?;
            // After dispatch: an empty set of tasks registers no waker, so it has to be asked after the last spawn.
            self.collect(cx)?;
            self.tick(cx);
            let written = self.peer.output.poll_write(Pin::new(&mut self.io), cx)?;
            self.hold(0).map_err(closing)?;
            let can_start = !self.is_full() && self.peer.calls.held_bytes() > 0;
            if can_start || (was_stuck && !self.is_stuck()) {
                continue;
            }
            if self.is_stuck() {
                self.pause();
                return self.io.poll_closed(cx).map(Ok);
            }
            self.peer.paused = false;
            let done = self.peer.calls.is_empty() && written.is_ready();
            match self.poll_read(cx)? {
                Poll::Ready(0) => return Poll::Ready(Ok(())),
                Poll::Ready(_) => {}
                // Only now: what has arrived is answered, even if there was no place for it before.
                Poll::Pending if self.peer.draining && done => return Poll::Ready(Ok(())),
                Poll::Pending => return self.poll_deadline(cx).map(Err),
            }
        }
    }

    /// Starts calls and hands whole messages to the session, until the input or a limit is reached; true for a limit.
    fn dispatch(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        while !self.is_full()
            && let Some(held) = self.peer.calls.pop_held()
        {
            self.start_held(held.channel, held.call, cx);
        }
        while !self.is_stuck() {
            let left = self.limits().message_bytes - self.message_bytes;
            match frames::take_frame(&mut self.input, left) {
                Ok(Taken::Missing(missing)) => {
                    self.missing = missing;
                    return Ok(false);
                }
                Ok(Taken::Command(command)) => {
                    if let Some(pong) = frames::pong(&command)? {
                        self.peer.output.raw().extend_from_slice(&pong);
                    }
                }
                Ok(Taken::Frame { body, more }) => self.frame(body, more, cx)?,
                Err(error) if error.kind() == io::ErrorKind::QuotaExceeded => {
                    return Err(self.exceeded(Limit::MessageBytes, "has sent too long a message"));
                }
                Err(violation) => return Err(violation),
            }
        }
        Ok(true)
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
        let bytes = std::mem::take(&mut self.message_bytes);
        self.message_deadline = None;
        self.idle_since = None;
        match call {
            Some((channel, call)) if self.is_full() => self.hold_back(channel, call, bytes),
            Some((channel, call)) => self.start(channel, call, cx),
            None => {}
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
                self.answer(channel, reply);
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

    /// Keeps a call until others are done. Its message has `bytes` bytes.
    fn hold_back(&mut self, channel: S::Channel, call: S::Call, bytes: usize) {
        if self.peer.calls.held_bytes() == 0 && !self.is_serial() {
            self.record(Limit::CallsInFlight, "has as many calls in flight as it may, so more are held back");
        }
        self.peer.calls.hold(channel, call, bytes);
    }

    /// Starts a call that was held back.
    fn start_held(&mut self, channel: S::Channel, mut call: HeldCall, cx: &mut Context<'_>) {
        match call.as_mut().poll(cx) {
            Poll::Ready(reply) => self.answer(channel, reply),
            Poll::Pending => self.peer.calls.spawn(channel, call),
        }
    }

    /// Takes the replies of calls that have finished.
    fn collect(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while let Poll::Ready(Some(finished)) = self.peer.calls.poll_next(cx) {
            let (channel, reply) = finished.map_err(io::Error::other)?;
            self.answer(channel, reply);
        }
        Ok(())
    }

    /// Puts a reply into the output, or a refusal if all connections together have no room for it.
    fn answer(&mut self, channel: S::Channel, mut reply: Reply) {
        if reply.body.len() > FREE_BYTES
            && let Err(full) = self.hold(reply.body.len())
        {
            reply = self.session.refuse(reply.envelope, channel, &full);
        }
        self.peer.output.push(&reply.envelope, &reply.body);
    }

    /// Counts what is buffered, and `more`.
    fn hold(&mut self, more: usize) -> Result<(), RpcError> {
        let held = self.peer.calls.held_bytes();
        self.reservation.try_resize(self.input.len() + self.message_bytes + held + self.peer.output.len() + more)
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
            if !self.output_is_full() {
                self.session.tick(&mut self.peer);
            }
        }
    }

    /// Whether no more calls may be started now.
    fn is_full(&self) -> bool {
        self.output_is_full() || self.session.running(self.peer.calls.len()) >= self.calls_in_flight()
    }

    /// Whether no more may be read now. While calls are only held back, reading goes on: a heartbeat may come.
    fn is_stuck(&self) -> bool {
        self.output_is_full() || self.peer.calls.are_full()
    }

    fn output_is_full(&self) -> bool {
        self.peer.output.len() >= self.limits().unsent_bytes
    }

    fn calls_in_flight(&self) -> usize {
        if self.is_serial() { 1 } else { self.limits().calls_in_flight }
    }

    /// Whether one call waits for the other.
    fn is_serial(&self) -> bool {
        self.socket == SocketType::Rep
    }

    /// Notes why nothing is read. What has come of a message may wait until reading goes on.
    fn pause(&mut self) {
        self.message_deadline = None;
        if std::mem::replace(&mut self.peer.paused, true) {
            return;
        }
        if self.output_is_full() {
            self.record(Limit::UnsentBytes, "does not read its replies, so nothing of it is read");
        } else {
            self.record(Limit::CallsInFlight, "has sent more calls than can be held back, so no more of them are read");
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        poll_read_more(Pin::new(&mut self.io), cx, &mut self.input, self.missing)
    }

    /// Pending, unless a part of a message is older than it may be, or the connection is idle for longer.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.input.is_empty() && self.message.is_empty() {
            self.message_deadline = None;
            return self.poll_idle(cx);
        }
        let time = self.limits().message_time;
        let deadline = self.message_deadline.get_or_insert_with(|| Box::pin(sleep(time)));
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(self.exceeded(Limit::MessageTime, "has not sent a whole message in time"))
    }

    /// The alarm is set once, and again when it rings, so that messages and calls do not set one each.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if !self.peer.calls.is_empty() {
            self.idle_since = None;
            return Poll::Pending;
        }
        let since = *self.idle_since.get_or_insert_with(Instant::now);
        let Some(end) = since.checked_add(self.limits().idle_time) else { return Poll::Pending };
        let alarm = self.idle_alarm.get_or_insert_with(|| Box::pin(sleep_until(end)));
        ready!(alarm.as_mut().poll(cx));
        while alarm.deadline() < end {
            alarm.as_mut().reset(end);
            ready!(alarm.as_mut().poll(cx));
        }
        Poll::Ready(self.exceeded(Limit::IdleTime, "was idle"))
    }

    fn limits(&self) -> &'a Limits {
        self.budget.limits()
    }

    fn record(&self, limit: Limit, what: &str) {
        self.budget.record(limit, self.about(what));
    }

    /// Notes that the peer met `limit`, and makes the error that ends its connection.
    pub(crate) fn exceeded(&self, limit: Limit, what: &str) -> io::Error {
        closing(self.budget.exceeded(limit, self.about(what)))
    }

    fn about(&self, what: &str) -> impl fmt::Display {
        let Self { wire, address, .. } = self;
        fmt::from_fn(move |f| write!(f, "{wire}: {address} {what}"))
    }

    /// What the buffers take in memory.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.input.capacity() + self.peer.output.capacity()
    }
}

/// The end of a connection by a limit.
fn closing(error: RpcError) -> io::Error {
    let kind = match error.code() {
        Code::DeadlineExceeded => io::ErrorKind::TimedOut,
        _ => io::ErrorKind::QuotaExceeded,
    };
    io::Error::new(kind, error)
}
