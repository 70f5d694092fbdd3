//! ZMTP as the [`Framing`] of a connection.

use std::{fmt, io, time::Duration};

use bytes::{Bytes, BytesMut};
use everywire_core::{
    Budget, Code, Limit, RpcError,
    wire::{self, FREE_BYTES},
};
use everywire_net::framed::{self, Framing, State, TakenBy};
use futures_util::future::Either;

use crate::{
    Envelope, Peer, Reply, Session, SocketType,
    frames::{self, Taken, violation},
    session::{Output, Rest},
};

/// Frames of one message: a delimiter, a body, and room for proxies on the way.
const MESSAGE_FRAMES: usize = 64;

/// One connection's frames, and its session.
pub(crate) struct Zmtp<'a, S> {
    wire: &'static str,
    socket: SocketType,
    budget: &'a Budget,
    address: wire::Peer,
    session: S,
    /// The frames of the message that is coming in, and their bytes.
    message: Vec<Bytes>,
    message_bytes: usize,
}

impl<'a, S> Zmtp<'a, S> {
    pub(crate) fn new(
        (wire, socket): (&'static str, SocketType),
        address: wire::Peer,
        budget: &'a Budget,
        session: S,
    ) -> Self {
        Self { wire, socket, budget, address, session, message: Vec::new(), message_bytes: 0 }
    }

    /// Records that the peer met `limit`, and makes the error that ends its connection.
    pub(crate) fn exceeded_by(&self, limit: Limit, what: &str) -> io::Error {
        closing(self.budget.exceeded(limit, self.about(what)))
    }

    fn about(&self, what: &str) -> impl fmt::Display {
        let Self { wire, address, .. } = self;
        fmt::from_fn(move |f| write!(f, "{wire}: {address} {what}"))
    }
}

impl<S: Session> Zmtp<'_, S> {
    /// Adds a frame to the message that is coming in.
    fn frame(&mut self, body: Bytes, more: bool, state: &mut State<Self>) -> io::Result<TakenBy<Self>> {
        if body.len() > FREE_BYTES {
            // Leave the grown buffer to the frame, or an idle connection would keep it.
            state.input = BytesMut::from(&state.input[..]);
        }
        self.message_bytes += body.len();
        self.message.push(body);
        if !more {
            return self.receive(state);
        }
        if self.message.len() < MESSAGE_FRAMES { Ok(framed::Taken::Frame) } else { Err(violation("too many frames")) }
    }

    /// Hands the message to the session.
    fn receive(&mut self, state: &mut State<Self>) -> io::Result<TakenBy<Self>> {
        let (envelope, body) = Envelope::split(&self.message)?;
        let request = self.session.receive(envelope, body, &mut peer(state))?;
        self.message.clear();
        let bytes = std::mem::take(&mut self.message_bytes);
        Ok(match request {
            Some((channel, request)) => framed::Taken::Message(channel, Begin::Request(request), bytes),
            None => framed::Taken::NoCall,
        })
    }
}

/// What a call begins with.
pub(crate) enum Begin<R> {
    Request(R),
    Rest(Rest),
}

/// The calls of a connection.
pub(crate) type Calls<S> =
    framed::Calls<<S as Session>::Channel, Begin<<S as Session>::Request>, Either<<S as Session>::Call, Rest>>;

impl<S: Session> Framing for Zmtp<'_, S> {
    type Message = Begin<S::Request>;
    type Call = Either<S::Call, Rest>;
    type Channel = S::Channel;
    type Error = io::Error;

    const TICKS_WHEN_IDLE: bool = false;

    #[inline]
    fn take(&mut self, state: &mut State<Self>) -> io::Result<TakenBy<Self>> {
        let left = self.budget.limits().message_bytes - self.message_bytes;
        match frames::take_frame(&mut state.input, left) {
            Ok(Taken::Missing(missing)) => Ok(framed::Taken::Missing(missing)),
            Ok(Taken::Frame { body, more }) => self.frame(body, more, state),
            Ok(Taken::Command(command)) => {
                if let Some(pong) = frames::pong(&command)? {
                    state.output.tail().extend_from_slice(&pong);
                }
                Ok(framed::Taken::Frame)
            }
            Err(error) if error.kind() == io::ErrorKind::QuotaExceeded => {
                Err(self.exceeded_by(Limit::MessageBytes, "has sent too long a message"))
            }
            Err(violation) => Err(violation),
        }
    }

    fn unfinished(&self) -> Option<usize> {
        (!self.message.is_empty()).then_some(self.message_bytes)
    }

    fn is_full(&self, in_flight: usize) -> bool {
        let most = if self.is_serial() { 1 } else { self.budget.limits().calls_in_flight };
        self.session.running(in_flight) >= most
    }

    fn overtakes(&mut self, _message: &Self::Message, _state: &mut State<Self>) -> bool {
        false
    }

    fn begin(&mut self, message: Self::Message, _state: &mut State<Self>) -> Self::Call {
        match message {
            Begin::Request(request) => Either::Left(self.session.call(request)),
            Begin::Rest(rest) => Either::Right(rest),
        }
    }

    fn reply(
        &mut self,
        channel: S::Channel,
        reply: Reply,
        state: &mut State<Self>,
    ) -> Option<(S::Channel, Self::Message)> {
        let rest = Output(&mut state.output).reply(reply)?;
        Some((channel, Begin::Rest(rest)))
    }

    fn tick_period(&self) -> Duration {
        S::TICK
    }

    /// A peer that reads nothing is told nothing, or the output would grow without end.
    fn tick(&mut self, state: &mut State<Self>) -> io::Result<()> {
        if state.output.len() < self.budget.limits().unsent_bytes {
            self.session.tick(&mut peer(state));
        }
        Ok(())
    }

    fn is_serial(&self) -> bool {
        self.socket == SocketType::Rep
    }

    fn record(&self, limit: Limit, what: &str) {
        self.budget.record(limit, self.about(what));
    }

    fn exceeded(&self, limit: Limit) -> io::Error {
        let what = match limit {
            Limit::IdleTime => "was idle",
            _ => "has not sent a whole message in time",
        };
        self.exceeded_by(limit, what)
    }

    fn no_room(&self, error: RpcError) -> io::Error {
        closing(error)
    }
}

/// What the session sees of the connection.
fn peer<'a, S: Session>(state: &'a mut State<Zmtp<'_, S>>) -> Peer<'a, S> {
    let State { calls, output, is_draining, is_paused, .. } = state;
    Peer { calls, output: Output(output), is_draining: *is_draining, is_paused: *is_paused }
}

/// The end of a connection by a limit.
fn closing(error: RpcError) -> io::Error {
    let kind = match error.code() {
        Code::DeadlineExceeded => io::ErrorKind::TimedOut,
        _ => io::ErrorKind::QuotaExceeded,
    };
    io::Error::new(kind, error)
}
