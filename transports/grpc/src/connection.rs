//! One HTTP/2 connection: its calls, and what it may cost.
//!
//! One task owns it and drives h2 by hand, so that each stream whose reply is not taken is known and can be reset.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use everywire_core::{
    Budget, Limit, Limits, Service,
    wire::{CancellationToken, Io, Socket},
};
use h2::{
    Ping, PingPong, RecvStream,
    server::{self, Builder, SendResponse},
};
use http::{Request, Response};
use tokio::{
    task::JoinSet,
    time::{Instant, Sleep, sleep_until, timeout},
};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::{
    authority::AnyAuthority,
    body::{Incoming, pipe},
    envelope::Body,
    send_queue::{Piece, SendQueue},
    server::Session,
};

/// Calls that one connection begins before the others have their turn.
const TURN_CALLS: usize = 32;

/// The most bytes of headers in one request, as HTTP/2 counts them. It is more than a call may have, so that a call with too
/// many gets a gRPC status. Beyond it h2 answers 431, and beyond four times as many it ends the connection.
const HEADER_BYTES: u32 = 64 << 10;

/// Bytes that a peer may send before its calls have read them, on one stream and on all.
const WINDOW_BYTES: u32 = 1 << 20;

/// Calls that a peer may open and reset at once before it counts as an attack (CVE-2023-44487).
const RESETS: usize = 32;

/// How long a peer may take to answer the goodbye once it has no call left, and to take the last word of a stream.
pub(crate) const FAREWELL: Duration = Duration::from_secs(1);

/// Longer times are the same: `Instant` has an end.
const FOREVER: Duration = Duration::from_hours(365 * 24);

/// A request, and where its answer goes.
type Asked = (Request<RecvStream>, SendResponse<Piece>);
type Answered = (SendResponse<Piece>, Response<Body>);

/// A connection.
///
/// Each call is run on the connection's task first, and gets a task of its own only if it has to wait. Most methods
/// answer without waiting. All calls that one read brought are answered before the connection writes next, with one
/// system call and without a task and its wake-ups for each. A method that computes for long holds up its connection,
/// and no other.
pub(crate) struct Connection<S, IO> {
    http: server::Connection<AnyAuthority<Socket<IO>>, Piece>,
    session: Arc<Session<S>>,
    budget: Arc<Budget>,
    /// Calls that have not begun. They wait if the peer leaves its replies unread.
    new: VecDeque<Asked>,
    /// Dropping it ends the calls.
    waiting: JoinSet<Option<Answered>>,
    send_queue: SendQueue,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    /// It has said that it takes no more calls.
    is_leaving: bool,
    /// When the last call came or ended, or the goodbye was said.
    quiet_since: Instant,
    ping: PingPong,
    ping_at: Instant,
    timer: Pin<Box<Sleep>>,
}

impl<S: Service, IO: Io> Connection<S, IO> {
    /// Serves until the peer closes, or until the stop and the end of the calls in flight.
    pub(crate) async fn serve(
        session: Arc<Session<S>>,
        socket: Socket<IO>,
        budget: Arc<Budget>,
        stop: CancellationToken,
    ) -> io::Result<()> {
        let handshake =
            timeout(budget.limits().handshake_time, http2(budget.limits()).handshake(AnyAuthority::new(socket)));
        let greeted = tokio::select! {
            greeted = handshake => greeted,
            () = stop.cancelled() => return Ok(()),
        };
        let Ok(greeted) = greeted else {
            budget.record(Limit::HandshakeTime, "the preface of an HTTP/2 connection did not arrive in time");
            return Err(io::ErrorKind::TimedOut.into());
        };
        let mut connection = Self::new(greeted.map_err(io::Error::other)?, session, budget, stop);
        poll_fn(|cx| connection.poll(cx)).await.map_err(io::Error::other)
    }

    fn new(
        mut http: server::Connection<AnyAuthority<Socket<IO>>, Piece>,
        session: Arc<Session<S>>,
        budget: Arc<Budget>,
        stop: CancellationToken,
    ) -> Self {
        let now = Instant::now();
        let ping = http.ping_pong().expect("nobody else has taken it");
        let ping_at = after(now, budget.limits().message_time);
        Self {
            http,
            session,
            new: VecDeque::new(),
            waiting: JoinSet::new(),
            send_queue: SendQueue::new(&budget),
            stop: Box::pin(stop.cancelled_owned()),
            is_leaving: false,
            quiet_since: now,
            ping,
            ping_at,
            timer: Box::pin(sleep_until(ping_at)),
            budget,
        }
    }

    /// Reads and writes, then lets the calls run; what they send wakes the connection to write it.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        if !self.is_leaving && self.stop.as_mut().poll(cx).is_ready() {
            self.leave();
        }
        if let Poll::Ready(ended) = self.accept(cx) {
            return Poll::Ready(ended);
        }
        self.start();
        self.collect(cx);
        self.watch(cx).map(Ok)
    }

    /// Drives h2 and takes the calls that it has read. While the peer leaves its replies unread no call is taken, but
    /// h2 is driven all the same, or it would not learn that the peer wants more of them.
    fn accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        if self.send_queue.is_full() {
            if let Poll::Ready(ended) = self.http.poll_closed(cx) {
                return Poll::Ready(ended);
            }
            self.send_queue.settle();
        }
        while !self.send_queue.is_full() {
            if self.new.len() >= self.budget.limits().calls_in_flight.min(TURN_CALLS) {
                cx.waker().wake_by_ref();
                break;
            }
            match self.http.poll_accept(cx) {
                Poll::Ready(Some(asked)) => self.new.push_back(asked?),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => break,
            }
        }
        self.send_queue.settle();
        Poll::Pending
    }

    fn start(&mut self) {
        if self.new.is_empty() {
            return;
        }
        self.quiet_since = Instant::now();
        // The waker is for nobody: a call that waits is polled once more, in its own task.
        let mut context = Context::from_waker(Waker::noop());
        while !self.send_queue.is_full()
            && let Some((request, respond)) = self.new.pop_front()
        {
            let mut call = Box::pin(answer(Arc::clone(&self.session), request, respond));
            match call.as_mut().poll(&mut context) {
                Poll::Ready(answered) => self.send(answered),
                Poll::Pending => {
                    self.waiting.spawn(call);
                    if self.waiting.len() == streams(self.budget.limits()) {
                        self.budget.record(Limit::CallsInFlight, "an HTTP/2 connection has as many calls as it may");
                    }
                }
            }
        }
    }

    /// Sends the answers of the calls that had to wait.
    fn collect(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(ended)) = self.waiting.poll_join_next(cx) {
            self.quiet_since = Instant::now();
            match ended {
                Ok(answered) => self.send(answered),
                Err(error) => tracing::error!(%error, "a call's task failed"),
            }
        }
    }

    fn send(&mut self, answered: Option<Answered>) {
        let Some((mut respond, response)) = answered else { return };
        let (head, body) = response.into_parts();
        let head = Response::from_parts(head, ());
        let sent = match body {
            Body::Empty => respond.send_response(head, true).map(drop),
            Body::Message(message) => self.send_queue.send(respond, head, message),
            Body::Other(body) => respond.send_response(head, false).map(|stream| {
                let piping = pipe(*body, stream, Arc::clone(&self.budget), self.session.stop().clone());
                self.waiting.spawn(async { piping.await.map_or(None, |()| None) });
            }),
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "an answer could not be sent");
        }
    }

    fn is_busy(&self) -> bool {
        !(self.new.is_empty() && self.waiting.is_empty() && self.send_queue.is_empty())
    }

    fn leave(&mut self) {
        self.is_leaving = true;
        self.session.stop_builtins();
        self.quiet_since = Instant::now();
        self.http.graceful_shutdown();
    }

    /// Looks at the clock where it is time; ready if the connection has to end.
    fn watch(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // A timer that rings too early costs less than one that is set for every call.
            let due = self.due();
            if due < self.timer.deadline() {
                self.timer.as_mut().reset(due);
            }
            ready!(self.timer.as_mut().poll(cx));
            if self.rings(cx, Instant::now()) {
                return Poll::Ready(());
            }
            let due = self.due();
            self.timer.as_mut().reset(due);
        }
    }

    /// When there is something to look at.
    fn due(&mut self) -> Instant {
        let quiet = if self.is_busy() { None } else { Some(self.quiet_until()) };
        [quiet, self.send_queue.due()].into_iter().flatten().fold(self.ping_at, Instant::min)
    }

    fn quiet_until(&self) -> Instant {
        after(self.quiet_since, if self.is_leaving { FAREWELL } else { self.budget.limits().idle_time })
    }

    /// Does what is due; whether the connection has to end.
    fn rings(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        self.send_queue.reset_stalled(now);
        if now >= self.ping_at {
            // Takes the answer to the last one, without which another can't be sent.
            let _ = self.ping.poll_pong(cx);
            if self.ping.send_ping(Ping::opaque()).is_err() {
                self.budget.record(Limit::MessageTime, "a peer did not answer a PING");
                return true;
            }
            self.ping_at = after(now, self.budget.limits().message_time);
        }
        if !self.is_busy() && now >= self.quiet_until() {
            if self.is_leaving {
                return true;
            }
            self.budget.record(Limit::IdleTime, "an HTTP/2 connection was closed");
            self.leave();
        }
        false
    }
}

/// The moment `time` after `start`.
pub(crate) fn after(start: Instant, time: Duration) -> Instant {
    start + time.min(FOREVER)
}

/// How many streams a peer may have open. HTTP/2 has one such number, which the peer keeps to and which knows nothing of
/// waiting calls, so it is the sum of both limits.
fn streams(limits: &Limits) -> usize {
    limits.calls_in_flight.saturating_add(limits.waiting_calls)
}

fn http2(limits: &Limits) -> Builder {
    let streams = streams(limits);
    let mut builder = Builder::new();
    builder
        .initial_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_concurrent_streams(u32::try_from(streams).unwrap_or(u32::MAX))
        // What is still under way on a stream that was refused is no mistake of the peer.
        .max_concurrent_reset_streams(streams)
        .max_pending_accept_reset_streams(RESETS)
        .max_header_list_size(HEADER_BYTES);
    builder
}

/// Runs one call; without an answer if its stream was reset, which cancels it.
async fn answer<S: Service>(
    session: Arc<Session<S>>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Piece>,
) -> Option<Answered> {
    let mut answer = pin!(session.answer(request.map(Incoming)));
    let response = poll_fn(|cx| match answer.as_mut().poll(cx) {
        Poll::Ready(response) => Poll::Ready(Some(response)),
        Poll::Pending => respond.poll_reset(cx).map(|_| None),
    })
    .await?;
    Some((respond, response))
}
