//! One HTTP/2 connection: reads requests, runs their calls and sends the responses.
//!
//! One task owns the connection and drives h2 by hand, so that it knows each stream whose reply the peer has not taken and
//! can reset it.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use everywire_core::{
    Budget, Limit, Service,
    wire::{CancellationToken, Io, Socket},
};
use h2::{
    RecvStream,
    server::{self, SendResponse},
};
use http::{Request, Response};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::{
    authority::AnyAuthority,
    body::{Body, Incoming},
    clock::Clock,
    pipe::pipe,
    router::Router,
    send_queue::{Piece, SendQueue},
    settings,
};

/// Calls that one connection starts before other connections have their turn.
const TURN_CALLS: usize = 32;

/// A request, and the stream that its response goes to.
type Accepted = (Request<RecvStream>, SendResponse<Piece>);
type Completed = (SendResponse<Piece>, Response<Body>);

/// A connection.
///
/// Each call first runs on the connection's task and gets a task of its own only if it has to wait. Most methods finish
/// without waiting. All calls that one read brought are answered before the connection writes next, with one system call
/// and without a task and its wake-ups for each. A method that computes for long blocks its own connection and no other.
pub(crate) struct Connection<S, IO> {
    http: server::Connection<AnyAuthority<Socket<IO>>, Piece>,
    router: Arc<Router<S>>,
    budget: Arc<Budget>,
    /// Calls that have not started. They stay here while the peer leaves its replies unread.
    accepted: VecDeque<Accepted>,
    /// Calls that wait, and bodies of many messages. Dropping the set ends them.
    tasks: JoinSet<Option<Completed>>,
    send_queue: SendQueue,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Whether GOAWAY was sent.
    is_draining: bool,
    clock: Clock,
}

impl<S: Service, IO: Io> Connection<S, IO> {
    /// Serves until the peer closes, or until the stop and the end of the calls in flight.
    pub(crate) async fn serve(
        router: Arc<Router<S>>,
        socket: Socket<IO>,
        budget: Arc<Budget>,
        stop: CancellationToken,
    ) -> io::Result<()> {
        let handshake = settings::builder(budget.limits()).handshake(AnyAuthority::new(socket));
        let greeted = tokio::select! {
            greeted = timeout(budget.limits().handshake_time, handshake) => greeted,
            () = stop.cancelled() => return Ok(()),
        };
        let Ok(greeted) = greeted else {
            budget.record(Limit::HandshakeTime, "the preface of an HTTP/2 connection did not arrive in time");
            return Err(io::ErrorKind::TimedOut.into());
        };
        let mut connection = Self::new(greeted.map_err(io::Error::other)?, router, budget, stop);
        poll_fn(|cx| connection.poll(cx)).await.map_err(io::Error::other)
    }

    fn new(
        mut http: server::Connection<AnyAuthority<Socket<IO>>, Piece>,
        router: Arc<Router<S>>,
        budget: Arc<Budget>,
        stop: CancellationToken,
    ) -> Self {
        let ping = http.ping_pong().expect("nobody else has taken it");
        Self {
            http,
            router,
            accepted: VecDeque::new(),
            tasks: JoinSet::new(),
            send_queue: SendQueue::new(&budget),
            stop: Box::pin(stop.cancelled_owned()),
            is_draining: false,
            clock: Clock::new(ping, Arc::clone(&budget)),
            budget,
        }
    }

    /// Reads and writes, then runs the calls. What they send wakes the connection, which then writes it.
    #[inline]
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        if !self.is_draining && self.stop.as_mut().poll(cx).is_ready() {
            self.drain();
        }
        if let Poll::Ready(ended) = self.accept(cx) {
            return Poll::Ready(ended);
        }
        self.start();
        self.collect(cx);
        self.watch(cx).map(Ok)
    }

    /// Drives h2 and takes the calls that it has read. While the peer leaves its replies unread no call is taken, but h2 is
    /// still driven, as otherwise it would not read that the peer opens its windows.
    fn accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        if self.send_queue.is_full() {
            if let Poll::Ready(ended) = self.http.poll_closed(cx) {
                return Poll::Ready(ended);
            }
            self.send_queue.settle();
        }
        while !self.send_queue.is_full() {
            if self.accepted.len() >= self.budget.limits().calls_in_flight.min(TURN_CALLS) {
                cx.waker().wake_by_ref();
                break;
            }
            match self.http.poll_accept(cx) {
                Poll::Ready(Some(accepted)) => self.accepted.push_back(accepted?),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => break,
            }
        }
        self.send_queue.settle();
        Poll::Pending
    }

    /// Starts the accepted calls, and sends the responses of those that don't wait.
    fn start(&mut self) {
        if self.accepted.is_empty() {
            return;
        }
        self.clock.touch();
        while !self.send_queue.is_full()
            && let Some(accepted) = self.accepted.pop_front()
        {
            self.run(accepted);
        }
    }

    /// Runs a call on this task, and in a task of its own from where it has to wait.
    fn run(&mut self, (request, respond): Accepted) {
        let mut call = Box::pin(answer(Arc::clone(&self.router), request, respond));
        // The waker wakes nobody: a call that waits is polled once more, in its own task.
        if let Poll::Ready(completed) = call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return self.send(completed);
        }
        self.tasks.spawn(call);
        if self.tasks.len() == settings::streams(self.budget.limits()) {
            self.budget.record(Limit::CallsInFlight, "an HTTP/2 connection has as many calls as it may");
        }
    }

    /// Sends the responses of the calls that had to wait.
    fn collect(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(ended)) = self.tasks.poll_join_next(cx) {
            self.clock.touch();
            match ended {
                Ok(completed) => self.send(completed),
                Err(error) => tracing::error!(%error, "a call's task failed"),
            }
        }
    }

    fn send(&mut self, completed: Option<Completed>) {
        let Some((mut respond, response)) = completed else { return };
        let (head, body) = response.into_parts();
        let head = Response::from_parts(head, ());
        let sent = match body {
            Body::Empty => respond.send_response(head, true).map(drop),
            Body::Message(message) => self.send_queue.send(respond, head, message),
            Body::Many(body) => respond.send_response(head, false).map(|stream| {
                let piping = pipe(body, stream, Arc::clone(&self.budget));
                self.tasks.spawn(async { piping.await.map_or(None, |()| None) });
            }),
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "a response could not be sent");
        }
    }

    fn is_busy(&self) -> bool {
        !(self.accepted.is_empty() && self.tasks.is_empty() && self.send_queue.is_empty())
    }

    fn drain(&mut self) {
        self.is_draining = true;
        self.router.stop_builtins();
        self.clock.drain();
        self.http.graceful_shutdown();
    }

    /// Does what is due; ready if the connection has to end.
    fn watch(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let due = self.due();
            ready!(self.clock.poll(cx, due));
            if self.must_close(cx, Instant::now()) {
                return Poll::Ready(());
            }
            let due = self.due();
            self.clock.set(due);
        }
    }

    /// When `watch` has something to do.
    fn due(&self) -> Instant {
        let idle = if self.is_busy() { None } else { Some(self.clock.idle_until()) };
        [idle, self.send_queue.due()].into_iter().flatten().fold(self.clock.ping_at(), Instant::min)
    }

    /// Resets stalled streams, pings, and drains an idle connection. Returns whether the connection has to end.
    fn must_close(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        self.send_queue.reset_stalled(now);
        if !self.clock.ping(cx, now) {
            return true;
        }
        if self.is_busy() || now < self.clock.idle_until() {
            return false;
        }
        if !self.is_draining {
            self.budget.record(Limit::IdleTime, "an HTTP/2 connection was closed");
            self.drain();
            return false;
        }
        true
    }
}

/// Runs one call. Returns `None` if the peer resets its stream, which cancels the call.
async fn answer<S: Service>(
    router: Arc<Router<S>>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Piece>,
) -> Option<Completed> {
    let mut answer = pin!(router.answer(request.map(Incoming)));
    let response = poll_fn(|cx| match answer.as_mut().poll(cx) {
        Poll::Ready(response) => Poll::Ready(Some(response)),
        Poll::Pending => respond.poll_reset(cx).map(|_| None),
    })
    .await?;
    Some((respond, response))
}
