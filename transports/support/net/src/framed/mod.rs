//! One loop for connections that carry framed messages, whose calls run at the same time: WebSocket and ZMTP.
//!
//! A [`Connection`] owns the socket, the calls and every byte, and runs in one task: it dispatches what was read, collects
//! finished calls, writes once, and reads. A call is polled in place first; one that replies at once costs no allocation,
//! no wake-up and no write of its own. A [`Framing`] is what differs between protocols.
//!
//! | what a peer does | what bounds it |
//! |---|---|
//! | sends a message slowly | `message_time` for the whole message, however many bytes trickle in |
//! | sends many calls | `calls_in_flight` begin; more are held back until they take 1 MiB, then reading pauses |
//! | does not read its replies | `unsent_bytes`; then reading pauses, and `message_time` ends it ([`Socket`]) |
//! | leaves while reading pauses | the socket tells, and its calls are cancelled |
//! | does any of it on many connections | `buffered_bytes` over all connections |
//! | sends no message, and waits for nothing | `idle_time` |
//!
//! [`Socket`]: everywire_core::wire::Socket

mod calls;
mod clocks;
mod connection;
mod send_queue;

use std::{io, time::Duration};

use bytes::BytesMut;
use everywire_core::{Limit, RpcError, wire::Reservation};

pub use calls::Calls;
pub use connection::{Connection, Ended};
pub use send_queue::SendQueue;

/// A protocol of framed messages, as one connection speaks it.
pub trait Framing: Sized {
    /// A decoded request. Keep it small: it is moved, and queued while the connection is at its limit.
    type Message;
    /// A call. It ends in its reply and must not panic; a panic of one that waits ends the connection.
    type Call: Future;
    /// What is kept of a call beside it while it waits.
    type Channel;
    /// Why a connection was closed early: an I/O error, a limit, or a violation of the protocol.
    type Error: From<io::Error>;

    /// Whether [`tick`](Self::tick) also runs while no call waits.
    const TICKS_WHEN_IDLE: bool;

    /// Takes one frame off `state.input`, and answers it if it is a control frame.
    fn take(&mut self, state: &mut State<Self>) -> Result<TakenBy<Self>, Self::Error>;

    /// The bytes of a message of which some frames were taken, but not the last one.
    fn unfinished(&self) -> Option<usize>;

    /// Whether no more calls may begin beside the `in_flight` calls that have.
    fn is_full(&self, in_flight: usize) -> bool;

    /// Whether `message` begins now although the connection [is full](Self::is_full). Otherwise it is held back.
    fn overtakes(&mut self, message: &Self::Message, state: &mut State<Self>) -> bool;

    /// Begins the call of a message.
    fn begin(&mut self, message: Self::Message, state: &mut State<Self>) -> Self::Call;

    /// Puts a reply into the output. Returns what begins the next call in the channel if more replies follow.
    fn reply(
        &mut self,
        channel: Self::Channel,
        reply: <Self::Call as Future>::Output,
        state: &mut State<Self>,
    ) -> Option<(Self::Channel, Self::Message)>;

    /// How often [`tick`](Self::tick) runs; more than zero.
    fn tick_period(&self) -> Duration;

    /// Looks for signs of life, or sends one.
    fn tick(&mut self, state: &mut State<Self>) -> Result<(), Self::Error>;

    /// Whether something is open on the connection although no call is in flight.
    fn is_in_use(&self) -> bool {
        false
    }

    /// Whether a call begins only after the one before it. Holding it back is then no limit that the peer has met.
    fn is_serial(&self) -> bool;

    /// Records that the peer met `limit`: `what` says what it did, and its name goes before that.
    fn record(&self, limit: Limit, what: &str);

    /// Records that the peer met `limit`, one of `message_time` and `idle_time`, and returns how its connection ends.
    fn exceeded(&self, limit: Limit) -> Self::Error;

    /// The error for a connection whose input does not fit into `buffered_bytes`.
    fn no_room(&self, error: RpcError) -> Self::Error;
}

/// What was taken off the input.
#[derive(Debug)]
pub enum Taken<C, M> {
    /// Nothing; at least so many bytes are missing.
    Missing(usize),
    /// A control frame, or a frame of a message that is not whole.
    Frame,
    /// A whole message without a call.
    NoCall,
    /// A whole message with a call, the call's channel, and how many bytes the message has.
    Message(C, M, usize),
}

/// What a framing takes off the input.
pub type TakenBy<F> = Taken<<F as Framing>::Channel, <F as Framing>::Message>;

/// The state of a connection that its [`Framing`] works on.
pub struct State<F: Framing> {
    /// What has been read and not been taken.
    pub input: BytesMut,
    /// The calls that are not done.
    pub calls: Calls<F::Channel, F::Message, F::Call>,
    /// What has to be sent.
    pub output: SendQueue,
    /// Counts what is buffered.
    pub reservation: Reservation,
    /// Whether the server is stopping: no new call should begin.
    pub is_draining: bool,
    /// Whether reading has paused at a limit: the peer may have sent what nobody has read yet.
    pub is_paused: bool,
    /// Whether bytes have arrived since the framing last set this to false.
    pub was_heard: bool,
}

impl<F: Framing> State<F> {
    fn new(input: BytesMut, reservation: Reservation) -> Self {
        let (calls, output) = (Calls::default(), SendQueue::default());
        Self { input, calls, output, reservation, is_draining: false, is_paused: false, was_heard: false }
    }

    /// Counts what is buffered here, and `more`.
    pub fn count(&mut self, more: usize) -> Result<(), RpcError> {
        let here = self.input.len() + self.calls.held_bytes() + self.output.short_len();
        self.reservation.try_resize(here + more)
    }
}
