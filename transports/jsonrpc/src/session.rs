//! A WebSocket session: one task owns the socket and the calls.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use everywire_core::{
    Budget, Limit, RpcError,
    wire::{CancellationToken, FREE_BYTES, Io, Reservation, Socket, Waiting},
};
use everywire_json::{Answer, cancelled_before, cancelled_by};
use everywire_net::poll_read_more;
use futures_util::{
    future::OptionFuture,
    stream::{FuturesUnordered, StreamExt},
};
use tokio::{
    io::AsyncWriteExt,
    task::yield_now,
    time::{Instant, Interval, MissedTickBehavior, Sleep, interval_at, sleep},
};

use crate::{
    frames::{Close, Input, PING, PONG, Taken},
    held::Held,
    send_queue::SendQueue,
};

/// How much a session still reads while its peer reads no answers, so as to notice that the peer has left.
const AHEAD_BYTES: usize = 16 << 10;

/// How often a session is pinged, and looked at for being idle; more often if that is a large part of `idle_time`.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const LOOKS_PER_IDLE_TIME: u32 = 8;

/// A whole message. A long one counts as buffered until its call is done.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) bytes: BytesMut,
    _reservation: Option<Reservation>,
}

/// Runs the session on `socket`, of which `read` has been read already, until the peer leaves or breaks a rule, or until `stop` and the end of its calls. `answer` is
/// told for each message whether the server is shutting down. Whatever ends the session cancels the calls that are left.
///
/// | what a peer does | what bounds it |
/// |---|---|
/// | announces or sends a long message | `message_bytes`, checked before anything is reserved; the buffer grows by what arrived: close 1009 |
/// | sends a message slowly | `message_time` for the whole message, however many bytes or pings trickle in: close 1008 |
/// | sends many calls | `calls_in_flight` begin, and as many more as fit into 1 MiB are held back; then reading pauses |
/// | sends many calls that wait | `waiting_calls`; one more is rejected |
/// | does not read its answers | `unsent_bytes`; then reading pauses. And `message_time` for 64 KiB of them |
/// | does any of it in many sessions | `buffered_bytes` over all connections: close 1013; a long reply becomes an error instead |
/// | calls nothing | `idle_time`: close 1001 |
/// | is gone without a word | pings, unanswered for `message_time` |
pub(crate) async fn serve<IO, F>(
    socket: Socket<IO>,
    read: Bytes,
    answer: impl Fn(Message, bool) -> F,
    budget: &Arc<Budget>,
    waiting: &Waiting,
    stop: &CancellationToken,
) -> io::Result<()>
where
    IO: Io,
    F: Future<Output = Option<Answer>>,
{
    let mut session = Session::new(socket, answer, budget, waiting);
    session.input.bytes.extend_from_slice(&read);
    let close = match stop.run_until_cancelled(poll_fn(|cx| session.poll(cx))).await {
        Some(ended) => ended?,
        None => session.finish().await?,
    };
    session.calls.clear();
    session.output.push_close(&close);
    poll_fn(|cx| session.output.poll_write(&mut session.io, cx)).await?;
    // The peer may still be sending, and must not lose the close frame.
    session.io.linger();
    session.io.shutdown().await
}

struct Session<'a, IO, A, F> {
    io: Socket<IO>,
    answer: A,
    budget: &'a Arc<Budget>,
    waiting: &'a Waiting,
    input: Input,
    output: SendQueue,
    /// Counts the input and the short answers of the output.
    reservation: Reservation,
    /// Where the next call is polled first. The allocation stays here, unless the call has to wait and takes it along.
    place: Pin<Box<OptionFuture<F>>>,
    calls: FuturesUnordered<Pin<Box<OptionFuture<F>>>>,
    held: Held,
    is_stopping: bool,
    message_deadline: Option<Pin<Box<Sleep>>>,
    life: Life,
}

impl<'a, IO, A, F> Session<'a, IO, A, F>
where
    IO: Io,
    A: Fn(Message, bool) -> F,
    F: Future<Output = Option<Answer>>,
{
    fn new(io: Socket<IO>, answer: A, budget: &'a Arc<Budget>, waiting: &'a Waiting) -> Self {
        Self {
            io,
            answer,
            budget,
            waiting,
            input: Input::default(),
            output: SendQueue::default(),
            reservation: budget.reserve(),
            place: Box::pin(None.into()),
            calls: FuturesUnordered::new(),
            held: Held::default(),
            is_stopping: false,
            message_deadline: None,
            life: Life::new(budget.limits().idle_time),
        }
    }

    /// Rejects new calls until those in flight are done.
    async fn finish(&mut self) -> io::Result<Close> {
        self.is_stopping = true;
        let close = poll_fn(|cx| self.poll(cx)).await?;
        if close.code != Some(Close::GOING_AWAY) {
            return Ok(close);
        }
        // A peer that asked in time would wait in vain, so the runtime gets a turn to notice what the socket holds.
        yield_now().await;
        poll_fn(|cx| self.poll(cx)).await
    }

    /// One turn after another: dispatch, collect, write, read. Ready when the session is to end.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Close>> {
        loop {
            let was_stuck = match self.dispatch(cx) {
                Ok(was_stuck) => was_stuck,
                Err(close) => return Poll::Ready(Ok(close)),
            };
            // After dispatch: an empty set registers no waker, so it has to be asked after the last call has gone into it.
            while let Poll::Ready(Some(answer)) = self.calls.poll_next_unpin(cx) {
                self.output.extend(answer.flatten());
            }
            let written = self.output.poll_write(&mut self.io, cx)?;
            if let Err(close) = self.count() {
                return Poll::Ready(Ok(close));
            }
            let is_stuck = self.is_stuck();
            let can_start = !self.is_full() && !self.held.is_empty();
            if can_start || (was_stuck && !is_stuck) {
                continue;
            }
            if is_stuck && self.input.bytes.len() >= AHEAD_BYTES {
                return self.poll_time(cx, is_stuck);
            }
            match self.poll_read(cx)? {
                Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Poll::Ready(_) => self.life.was_heard = true,
                // Only now: what has arrived is answered, even if there was no place for it before.
                Poll::Pending if self.is_stopping && self.calls.is_empty() && written.is_ready() => {
                    return Poll::Ready(Ok(Close::new(Close::GOING_AWAY, "the server is shutting down")));
                }
                Poll::Pending => return self.poll_time(cx, is_stuck),
            }
            if let Err(close) = self.count() {
                return Poll::Ready(Ok(close));
            }
        }
    }

    /// Starts the calls that have arrived, and reads on, until the end of the input or a limit is reached; true for a
    /// limit.
    fn dispatch(&mut self, cx: &mut Context<'_>) -> Result<bool, Close> {
        while !self.is_full()
            && let Some(message) = self.held.pop()
        {
            self.start(message, cx);
        }
        while !self.is_stuck() {
            match self.input.take(self.budget.limits().message_bytes) {
                Ok(Taken::Nothing) => return Ok(false),
                Ok(Taken::Message(message)) if self.is_full() => self.hold_back(message, cx),
                Ok(Taken::Message(message)) => self.start(message, cx),
                Ok(Taken::Ping(payload)) => self.output.push_control(PONG, &payload),
                Ok(Taken::Pong) => {}
                Err(Close { code: Some(Close::TOO_LONG), .. }) => {
                    let error = self.budget.exceeded(Limit::MessageBytes, "the message is too long");
                    return Err(over(Close::TOO_LONG, &error));
                }
                Ok(Taken::Close(close)) | Err(close) => return Err(close),
            }
        }
        Ok(true)
    }

    /// Polls a new call in place; one that has to wait joins the others.
    fn start(&mut self, bytes: BytesMut, cx: &mut Context<'_>) {
        self.message_deadline = None;
        self.life.was_called = true;
        let reservation = (bytes.len() > FREE_BYTES).then(|| self.reservation.split_off(bytes.len()));
        let call = (self.answer)(Message { bytes, _reservation: reservation }, self.is_stopping);
        self.place.set(Some(call).into());
        match self.place.as_mut().poll(cx) {
            Poll::Ready(answer) => {
                self.place.set(None.into());
                self.output.extend(answer.flatten());
            }
            Poll::Pending => self.calls.push(std::mem::replace(&mut self.place, Box::pin(None.into()))),
        }
    }

    /// Keeps a message until other calls are done. A cancellation takes effect at once, also on calls that are held back.
    fn hold_back(&mut self, message: BytesMut, cx: &mut Context<'_>) {
        self.message_deadline = None;
        let Some(id) = cancelled_by(&message) else { return self.held.push(message) };
        let answers = self.held.take_answered(|held| cancelled_before(held, id));
        self.output.extend(answers);
        self.start(message, cx);
    }

    /// Whether no more calls may be started now.
    fn is_full(&self) -> bool {
        self.output_is_full() || self.waiting.running(self.calls.len()) >= self.budget.limits().calls_in_flight
    }

    /// Whether no more may be read now. While calls are only held back, reading goes on: a ping or a close may come.
    fn is_stuck(&self) -> bool {
        self.output_is_full() || self.held.is_full()
    }

    fn output_is_full(&self) -> bool {
        self.output.len() >= self.budget.limits().unsent_bytes
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        poll_read_more(Pin::new(&mut self.io), cx, &mut self.input.bytes, self.input.missing)
    }

    /// Counts what is buffered.
    fn count(&mut self) -> Result<(), Close> {
        let held = self.reservation.try_resize(self.input.len() + self.held.bytes() + self.output.short_len());
        held.map_err(|error| over(Close::TRY_LATER, &error))
    }

    /// Pending, unless it is time for the session to end.
    fn poll_time(&mut self, cx: &mut Context<'_>, is_stuck: bool) -> Poll<io::Result<Close>> {
        let limits = self.budget.limits();
        if is_stuck || !self.input.is_unfinished() {
            self.message_deadline = None;
        } else {
            let deadline = self.message_deadline.get_or_insert_with(|| Box::pin(sleep(limits.message_time)));
            if deadline.as_mut().poll(cx).is_ready() {
                let error = self.budget.exceeded(Limit::MessageTime, "the message did not arrive in time");
                return Poll::Ready(Ok(over(Close::POLICY, &error)));
            }
        }
        while self.life.ticks.poll_tick(cx).is_ready() {
            if self.life.idle(self.calls.is_empty()) >= limits.idle_time {
                let error = self.budget.exceeded(Limit::IdleTime, "no call has come");
                return Poll::Ready(Ok(over(Close::GOING_AWAY, &error)));
            }
            // While reading is paused a pong would go unnoticed.
            if self.life.silent(is_stuck) >= limits.message_time {
                self.budget.record(Limit::MessageTime, "a peer answers no ping");
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            // A peer that has something to read needs no ping to show that it is there.
            if self.output.len() == 0 {
                self.output.push_control(PING, b"");
                let _ = self.output.poll_write(&mut self.io, cx)?;
            }
        }
        Poll::Pending
    }
}

fn over(code: u16, error: &RpcError) -> Close {
    Close::new(code, error.message())
}

/// Signs of life, looked at with every tick.
struct Life {
    ticks: Interval,
    was_called: bool,
    was_heard: bool,
    /// Ticks since the last call.
    idle: u32,
    /// Ticks since the last byte.
    silent: u32,
}

impl Life {
    fn new(idle_time: Duration) -> Self {
        let pause = PING_INTERVAL.min(idle_time / LOOKS_PER_IDLE_TIME).max(Duration::from_millis(1));
        let mut ticks = interval_at(Instant::now() + pause, pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ticks, was_called: false, was_heard: false, idle: 0, silent: 0 }
    }

    /// How long no call has come, or been under way.
    fn idle(&mut self, is_idle: bool) -> Duration {
        let is_idle = is_idle && !std::mem::take(&mut self.was_called);
        self.idle = if is_idle { self.idle.saturating_add(1) } else { 0 };
        self.ticks.period().saturating_mul(self.idle)
    }

    /// How long the peer has been silent since the first ping that it did not answer.
    fn silent(&mut self, is_stuck: bool) -> Duration {
        let was_heard = std::mem::take(&mut self.was_heard);
        self.silent = if was_heard || is_stuck { 0 } else { self.silent.saturating_add(1) };
        self.ticks.period().saturating_mul(self.silent.saturating_sub(1))
    }
}
