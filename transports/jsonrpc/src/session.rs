//! A WebSocket session: WebSocket as the [`Framing`] of a connection.

use std::{future::poll_fn, io, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use everywire_core::{
    Budget, Limit, Peer, RpcError,
    wire::{CancellationToken, FREE_BYTES, Io, Reservation, Socket, Waiting},
};
use everywire_json::{Subscription, cancelled_before, cancelled_by};
use everywire_net::{
    framed::{Connection, Ended, Framing, SendQueue, State, Taken},
    pull::OpenStreams,
};
use futures_util::future::{BoxFuture, Either};
use tokio::io::AsyncWriteExt;

use crate::{
    frames::{self, Assembler, Close, PING, PONG, put_header},
    gate::Shared,
    push::Answer,
};

/// How often a session is pinged; more often if that is a large part of `idle_time`.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PINGS_PER_IDLE_TIME: u32 = 8;

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
/// | sends many calls | `calls_in_flight` begin; more are held back until they take 1 MiB, then reading pauses |
/// | sends many calls that wait | `waiting_calls`; one more is rejected |
/// | does not read its answers | `unsent_bytes`; then reading pauses. And `message_time` for 64 KiB of them |
/// | does any of it in many sessions | `buffered_bytes` over all connections: close 1013; a long reply becomes an error instead |
/// | calls nothing | `idle_time`: close 1001 |
/// | leaves while reading pauses | the socket tells, and its calls are cancelled |
/// | disappears without closing | pings, unanswered for `message_time` |
pub(crate) async fn serve<IO, S, F>(
    socket: Socket<IO>,
    read: Bytes,
    shared: &Shared<S>,
    streams: &Arc<OpenStreams>,
    answer: impl Fn(Message, bool) -> F,
    stop: &CancellationToken,
) -> io::Result<()>
where
    IO: Io,
    F: Future<Output = Answer>,
{
    let websocket = WebSocket::new(shared, streams, answer);
    let mut session = Connection::new(socket, BytesMut::from(&read[..]), websocket, &shared.budget);
    let close = match session.run(stop).await {
        Ok(Ended::Left) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(Ended::Drained) => Close::new(Close::GOING_AWAY, "the server is shutting down"),
        Err(End::Closed(close)) => close,
        Err(End::Broken(error)) => return Err(error),
    };
    let Connection { io, state, .. } = &mut session;
    state.calls.clear();
    close.put(state.output.tail());
    poll_fn(|cx| state.output.poll_write(io, cx)).await?;
    // The peer may still be sending, and must not lose the close frame.
    io.linger();
    io.shutdown().await
}

struct WebSocket<'a, A> {
    answer: A,
    budget: &'a Budget,
    waiting: &'a Waiting,
    streams: &'a Arc<OpenStreams>,
    peer: &'a Peer,
    assembler: Assembler,
    ping_interval: Duration,
    unanswered_pings: u32,
}

/// How a session ends.
enum End {
    Closed(Close),
    Broken(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl<'a, A> WebSocket<'a, A> {
    fn new<S>(shared: &'a Shared<S>, streams: &'a Arc<OpenStreams>, answer: A) -> Self {
        let Shared { budget, waiting, peer, .. } = shared;
        let ping_interval = PING_INTERVAL.min(budget.limits().idle_time / PINGS_PER_IDLE_TIME);
        let ping_interval = ping_interval.max(Duration::from_millis(1));
        let assembler = Assembler::default();
        Self { answer, budget, waiting, streams, peer, assembler, ping_interval, unanswered_pings: 0 }
    }
}

/// What a call begins with.
enum Begin {
    /// With a message.
    Message(BytesMut),
    /// With the next items of a subscription.
    Next(Box<Subscription>),
}

impl<A, F> Framing for WebSocket<'_, A>
where
    A: Fn(Message, bool) -> F,
    F: Future<Output = Answer>,
{
    type Message = Begin;
    type Call = Either<F, BoxFuture<'static, Answer>>;
    type Channel = ();
    type Error = End;

    const TICKS_WHEN_IDLE: bool = true;

    fn take(&mut self, state: &mut State<Self>) -> Result<Taken<(), Begin>, End> {
        match self.assembler.take(&mut state.input, self.budget.limits().message_bytes) {
            Ok(frames::Taken::Missing(missing)) => return Ok(Taken::Missing(missing)),
            Ok(frames::Taken::Message(message)) => {
                let bytes = message.len();
                return Ok(Taken::Message((), Begin::Message(message), bytes));
            }
            Ok(frames::Taken::Ping(payload)) => put_control(&mut state.output, PONG, &payload),
            Ok(frames::Taken::Pong) => {}
            Err(Close { code: Some(Close::TOO_LONG), .. }) => {
                let error = self.budget.exceeded(Limit::MessageBytes, "the message is too long");
                return Err(over(Close::TOO_LONG, &error));
            }
            Ok(frames::Taken::Close(close)) | Err(close) => return Err(End::Closed(close)),
        }
        Ok(Taken::Frame)
    }

    fn unfinished(&self) -> Option<usize> {
        self.assembler.unfinished()
    }

    fn is_full(&self, in_flight: usize) -> bool {
        self.waiting.running(in_flight) >= self.budget.limits().calls_in_flight
    }

    /// A cancellation takes effect at once, also on calls that are held back.
    fn overtakes(&mut self, message: &Begin, state: &mut State<Self>) -> bool {
        let id = if let Begin::Message(message) = message { cancelled_by(message) } else { None };
        let Some(id) = id else {
            if state.calls.held_bytes() == 0 {
                let what = "a peer has as many calls in flight as it may, so more are held back";
                self.budget.record(Limit::CallsInFlight, what);
            }
            return false;
        };
        let output = &mut state.output;
        state.calls.retain_held(|held| {
            let Begin::Message(held) = held else { return true };
            let cancelled = cancelled_before(held, id);
            let is_kept = cancelled.is_none();
            Answer::Response(cancelled, None).put(output);
            is_kept
        });
        true
    }

    fn begin(&mut self, begin: Begin, state: &mut State<Self>) -> Self::Call {
        let bytes = match begin {
            Begin::Message(bytes) => bytes,
            Begin::Next(subscription) => {
                let next = Answer::next(subscription, Arc::clone(self.streams), self.peer.clone());
                return Either::Right(Box::pin(next));
            }
        };
        let reservation = (bytes.len() > FREE_BYTES).then(|| state.reservation.split_off(bytes.len()));
        Either::Left((self.answer)(Message { bytes, _reservation: reservation }, state.is_draining))
    }

    fn reply(&mut self, (): (), answer: Answer, state: &mut State<Self>) -> Option<((), Begin)> {
        answer.put(&mut state.output).map(|subscription| ((), Begin::Next(subscription)))
    }

    fn tick_period(&self) -> Duration {
        self.ping_interval
    }

    /// Sends a ping, unless the peer has something to read, which shows as well whether it is there: its socket is broken off if it
    /// doesn't read. While reading is paused a pong would go unnoticed.
    fn tick(&mut self, state: &mut State<Self>) -> Result<(), End> {
        if std::mem::take(&mut state.was_heard) || state.is_paused || !state.output.is_empty() {
            self.unanswered_pings = 0;
        }
        if self.ping_interval.saturating_mul(self.unanswered_pings) >= self.budget.limits().message_time {
            self.record(Limit::MessageTime, "answers no ping");
            return Err(End::Broken(io::ErrorKind::TimedOut.into()));
        }
        if state.output.is_empty() {
            put_control(&mut state.output, PING, b"");
            self.unanswered_pings += 1;
        }
        Ok(())
    }

    /// A stream lasts as long as the session, also while its items are not asked for.
    fn is_in_use(&self) -> bool {
        !self.streams.is_empty()
    }

    fn is_serial(&self) -> bool {
        false
    }

    fn record(&self, limit: Limit, what: &str) {
        self.budget.record(limit, format_args!("a peer {what}"));
    }

    fn exceeded(&self, limit: Limit) -> End {
        let (code, what) = match limit {
            Limit::IdleTime => (Close::GOING_AWAY, "no call has come"),
            _ => (Close::POLICY, "the message did not arrive in time"),
        };
        over(code, &self.budget.exceeded(limit, what))
    }

    fn no_room(&self, error: RpcError) -> End {
        over(Close::TRY_LATER, &error)
    }
}

fn put_control(output: &mut SendQueue, opcode: u8, payload: &[u8]) {
    put_header(output.tail(), opcode, payload.len());
    output.tail().extend_from_slice(payload);
}

fn over(code: u16, error: &RpcError) -> End {
    End::Closed(Close::new(code, error.message()))
}
