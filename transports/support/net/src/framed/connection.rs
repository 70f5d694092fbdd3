//! The loop that owns one connection.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::BytesMut;
use everywire_core::{
    Budget, Limit, Limits,
    wire::{CancellationToken, Io, Socket},
};
use tokio::task::yield_now;

use super::{
    Framing, State, Taken,
    clocks::{IdleClock, MessageClock, TickClock},
};
use crate::poll_read_more;

/// One connection.
pub struct Connection<'a, IO, F: Framing> {
    /// The socket.
    pub io: Socket<IO>,
    /// What the framing works on.
    pub state: State<F>,
    framing: F,
    limits: &'a Limits,
    /// At least so many bytes are missing in the input.
    missing: usize,
    /// Where the next call is polled first. The allocation is reused unless the call is pending; then it moves with the call.
    place: Pin<Box<Option<F::Call>>>,
    message: MessageClock,
    idle: IdleClock,
    tick: TickClock,
}

/// How many bytes of replies a call of many replies makes before others have their turn.
const TURN_BYTES: usize = 64 << 10;

/// How a connection ends that is not broken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The peer has left.
    Left,
    /// The server is stopping, and no call is left.
    Drained,
}

impl<'a, IO: Io, F: Framing> Connection<'a, IO, F> {
    /// A connection of which `input` has been read already.
    pub fn new(io: Socket<IO>, input: BytesMut, framing: F, budget: &'a Arc<Budget>) -> Self {
        let (message, idle, tick) = Default::default();
        Self {
            io,
            state: State::new(input, budget.reserve()),
            framing,
            limits: budget.limits(),
            missing: 0,
            place: Box::pin(None),
            message,
            idle,
            tick,
        }
    }

    /// Runs until the peer disconnects, an error closes the connection, or `stop` fires and all calls have finished.
    pub async fn run(&mut self, stop: &CancellationToken) -> Result<Ended, F::Error> {
        tokio::select! {
            biased;
            ended = poll_fn(|cx| self.poll(cx)) => return ended,
            () = stop.cancelled() => self.state.is_draining = true,
        }
        if poll_fn(|cx| self.poll(cx)).await? == Ended::Left {
            return Ok(Ended::Left);
        }
        // Yields once, so that the runtime can report requests that arrived before the shutdown.
        yield_now().await;
        poll_fn(|cx| self.poll(cx)).await
    }

    /// One turn after another: dispatch, collect, write, read. Ready when the connection is to end.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Ended, F::Error>> {
        loop {
            let was_stuck = self.dispatch(cx)?;
            // After dispatch: an empty set registers no waker, so it has to be asked after the last call has gone into it.
            self.collect(cx)?;
            let written = self.state.output.poll_write(&mut self.io, cx)?;
            self.count()?;
            let is_stuck = self.is_stuck();
            let can_start = !self.is_full() && self.state.calls.held_bytes() > 0;
            if can_start || (was_stuck && !is_stuck) {
                continue;
            }
            if is_stuck {
                self.pause();
                if self.poll_tick(cx)?.is_ready() {
                    continue;
                }
                return self.io.poll_closed(cx).map(|()| Ok(Ended::Left));
            }
            self.state.is_paused = false;
            match poll_read_more(Pin::new(&mut self.io), cx, &mut self.state.input, self.missing)? {
                Poll::Ready(0) => return Poll::Ready(Ok(Ended::Left)),
                Poll::Ready(_) => self.state.was_heard = true,
                // Only now: what has arrived is answered, even if there was no place for it before.
                Poll::Pending
                    if self.state.is_draining
                        && self.state.calls.is_empty()
                        && written.is_ready()
                        && !self.framing.is_in_use() =>
                {
                    return Poll::Ready(Ok(Ended::Drained));
                }
                Poll::Pending if self.poll_tick(cx)?.is_ready() => continue,
                Poll::Pending if self.state.calls.continued() > 0 => {
                    // Other connections have their turn.
                    cx.waker().wake_by_ref();
                    return self.poll_time(cx).map(Err);
                }
                Poll::Pending => return self.poll_time(cx).map(Err),
            }
            self.count()?;
        }
    }

    /// Starts the calls that have arrived, until the end of the input or a limit is reached; true for a limit.
    fn dispatch(&mut self, cx: &mut Context<'_>) -> Result<bool, F::Error> {
        if self.state.calls.continued() > 0 {
            self.go_on(cx);
        }
        while !self.is_full()
            && let Some((channel, message)) = self.state.calls.pop_held()
        {
            self.start(channel, message, cx);
        }
        while !self.is_stuck() {
            match self.framing.take(&mut self.state)? {
                Taken::Missing(missing) => {
                    self.missing = missing;
                    return Ok(false);
                }
                Taken::Frame => continue,
                Taken::NoCall => {}
                Taken::Message(channel, message, bytes) => {
                    if self.is_full() && !self.framing.overtakes(&message, &mut self.state) {
                        self.hold(channel, message, bytes);
                    } else {
                        self.start(channel, message, cx);
                    }
                }
            }
            self.message.stop();
            self.idle.stop();
        }
        Ok(true)
    }

    /// Holds a message back until calls in flight are done.
    fn hold(&mut self, channel: F::Channel, message: F::Message, bytes: usize) {
        if self.state.calls.held_bytes() == 0 && !self.framing.is_serial() {
            let what = "has as many calls in flight as it may, so more are held back";
            self.framing.record(Limit::CallsInFlight, what);
        }
        self.state.calls.hold(channel, message, bytes);
    }

    /// Polls a new call in place; one that has to wait joins the others.
    fn start(&mut self, channel: F::Channel, message: F::Message, cx: &mut Context<'_>) {
        if let Some((channel, message)) = self.start_once(channel, message, cx) {
            self.state.calls.push_continued(channel, message);
        }
    }

    /// Does the same, and returns what more replies of the call begin with.
    fn start_once(
        &mut self,
        channel: F::Channel,
        message: F::Message,
        cx: &mut Context<'_>,
    ) -> Option<(F::Channel, F::Message)> {
        self.place.set(Some(self.framing.begin(message, &mut self.state)));
        match self.place.as_mut().as_pin_mut()?.poll(cx) {
            Poll::Ready(reply) => {
                self.place.set(None);
                self.framing.reply(channel, reply, &mut self.state)
            }
            Poll::Pending => {
                self.state.calls.push(channel, std::mem::replace(&mut self.place, Box::pin(None)));
                None
            }
        }
    }

    /// Makes further replies of the calls that have some: of each as many as are there, up to [`TURN_BYTES`].
    #[cold]
    fn go_on(&mut self, cx: &mut Context<'_>) {
        for _ in 0..self.state.calls.continued() {
            let mut next = if self.output_is_full() { None } else { self.state.calls.pop_continued() };
            let enough = self.state.output.len() + TURN_BYTES;
            while let Some((channel, message)) = next.take_if(|_| self.state.output.len() < enough) {
                next = self.start_once(channel, message, cx);
            }
            if let Some((channel, message)) = next {
                self.state.calls.push_continued(channel, message);
            }
        }
    }

    /// Takes the replies of calls that have finished.
    fn collect(&mut self, cx: &mut Context<'_>) -> Result<(), F::Error> {
        while let Poll::Ready(Some(finished)) = self.state.calls.poll_next(cx) {
            if let Some((channel, reply)) = finished?
                && let Some((channel, message)) = self.framing.reply(channel, reply, &mut self.state)
            {
                self.state.calls.push_continued(channel, message);
            }
        }
        Ok(())
    }

    /// Counts what is buffered.
    fn count(&mut self) -> Result<(), F::Error> {
        let unfinished = self.framing.unfinished().unwrap_or(0);
        self.state.count(unfinished).map_err(|error| self.framing.no_room(error))
    }

    /// Whether no more calls may be started now.
    fn is_full(&self) -> bool {
        self.output_is_full() || self.framing.is_full(self.state.calls.len())
    }

    /// Whether no more may be read now. While calls are only held back, reading goes on: a ping or a close may come.
    fn is_stuck(&self) -> bool {
        self.output_is_full() || self.state.calls.is_full()
    }

    fn output_is_full(&self) -> bool {
        self.state.output.len() >= self.limits.unsent_bytes
    }

    /// Nothing is read. What has come of a message may wait until reading goes on.
    fn pause(&mut self) {
        self.message.stop();
        if std::mem::replace(&mut self.state.is_paused, true) {
            return;
        }
        let (limit, what) = if self.output_is_full() {
            (Limit::UnsentBytes, "does not read its replies, so nothing of it is read")
        } else {
            (Limit::CallsInFlight, "has sent more calls than can be held back, so no more of them are read")
        };
        self.framing.record(limit, what);
    }

    /// Ready when the framing's tick has run, which may have put something into the output.
    fn poll_tick(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, F::Error> {
        let is_needed = F::TICKS_WHEN_IDLE || !self.state.calls.is_empty();
        let rung = self.tick.poll(is_needed, self.framing.tick_period(), cx);
        if rung.is_ready() {
            self.framing.tick(&mut self.state)?;
        }
        Ok(rung)
    }

    /// Pending, unless a part of a message is older than it may be, or the connection is idle for longer.
    #[inline]
    fn poll_time(&mut self, cx: &mut Context<'_>) -> Poll<F::Error> {
        let limits = self.limits;
        let (time, limit) = if !self.state.input.is_empty() || self.framing.unfinished().is_some() {
            (self.message.poll(limits.message_time, cx), Limit::MessageTime)
        } else {
            self.message.stop();
            (self.poll_idle(cx), Limit::IdleTime)
        };
        time.map(|()| self.framing.exceeded(limit))
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // A peer that still reads a reply is not idle.
        if self.state.calls.is_empty() && self.state.output.is_empty() && !self.framing.is_in_use() {
            return self.idle.poll(self.limits.idle_time, cx);
        }
        self.idle.stop();
        Poll::Pending
    }
}
