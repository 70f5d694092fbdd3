//! What the user of the engine writes, a [`Session`], and what the engine lends to it, a [`Peer`].

use std::{
    collections::{HashMap, VecDeque},
    fmt::{self, Debug},
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use everywire_core::{RpcError, wire::FREE_BYTES};
use tokio::{
    io::AsyncWrite,
    task::{AbortHandle, Id, JoinError, JoinSet},
};

use crate::frames::{put_frame, violation};

/// One connection's side of a protocol over ZMTP.
pub trait Session: Send {
    /// A call: it ends in the reply and must not panic; a panic closes the connection.
    type Call: Future<Output = Reply> + Send + 'static;
    /// What is kept of a call while it has to wait.
    type Channel: Send;

    /// How often [`tick`](Self::tick) runs while calls wait; more than zero.
    const TICK: Duration = Duration::from_secs(5);

    /// Takes one message: the frames after the envelope. It may start a call, answer at once through
    /// [`Peer::output`], or do nothing. An error closes the connection.
    fn receive(
        &mut self,
        envelope: Envelope,
        body: &[Bytes],
        peer: &mut Peer<Self::Channel>,
    ) -> io::Result<Option<(Self::Channel, Self::Call)>>;

    /// How many of the `in_flight` calls count against `calls_in_flight`. Calls that wait for other calls need not.
    fn running(&self, in_flight: usize) -> usize {
        in_flight
    }

    /// The answer in the place of a reply that can't be sent, for the reason `error`. It should be short.
    fn refuse(&mut self, envelope: Envelope, channel: Self::Channel, error: &RpcError) -> Reply;

    /// Runs every [`TICK`](Self::TICK) while calls wait, to tell the peer so, or to give calls up.
    fn tick(&mut self, _peer: &mut Peer<Self::Channel>) {}
}

/// The frames before a message's body, to be sent back before the reply: the addresses that proxies put in front, and
/// the empty delimiter (RFC 28). REQ sends only the delimiter, and so do most DEALERs; it is empty for a bare DEALER.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Envelope {
    /// As frames, each with MORE.
    frames: Bytes,
}

/// The longest address of a peer that a proxy may put in front (RFC 28).
const IDENTITY_BYTES: usize = 255;
/// The longest envelope, which a call keeps while it waits: room for three of the longest addresses, and more of the usual five bytes.
const ENVELOPE_BYTES: usize = 1 << 10;

impl Envelope {
    /// The delimiter alone, as REQ and most DEALERs send it.
    pub fn delimiter() -> Self {
        Self { frames: Bytes::from_static(&[1, 0]) }
    }

    /// Splits a message's envelope from its body.
    pub(crate) fn split(message: &[Bytes]) -> io::Result<(Self, &[Bytes])> {
        let Some(delimiter) = message.iter().position(Bytes::is_empty) else {
            return Ok((Self { frames: Bytes::new() }, message));
        };
        let (envelope, body) = message.split_at(delimiter + 1);
        if delimiter == 0 {
            return Ok((Self::delimiter(), body));
        }
        if envelope.iter().any(|identity| identity.len() > IDENTITY_BYTES) {
            return Err(violation("an identity over 255 bytes"));
        }
        let mut frames = Vec::new();
        for frame in envelope {
            put_frame(&mut frames, frame, true);
        }
        if frames.len() > ENVELOPE_BYTES {
            return Err(violation("an envelope over 1 KiB"));
        }
        Ok((Self { frames: frames.into() }, body))
    }
}

/// The answer of a call: one message.
#[derive(Debug)]
pub struct Reply {
    /// The envelope of the message that is answered.
    pub envelope: Envelope,
    /// The only frame after it.
    pub body: Vec<u8>,
}

/// The connection as its session sees it.
#[derive(Debug)]
pub struct Peer<C> {
    /// The calls that are not done.
    pub calls: Calls<C>,
    /// What goes to the peer, besides replies.
    pub output: Output,
    pub(crate) draining: bool,
    pub(crate) paused: bool,
}

impl<C> Peer<C> {
    /// Whether the server is shutting down: no new call should start.
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// Whether reading has paused at a limit: the peer may have sent what nobody has read yet.
    pub fn is_paused(&self) -> bool {
        self.paused
    }
}

impl<C> Default for Peer<C> {
    fn default() -> Self {
        Self { calls: Calls::default(), output: Output::default(), draining: false, paused: false }
    }
}

/// The calls of one connection that are not done: those that have begun, each a task, and those that are held back until
/// others are done.
pub struct Calls<C> {
    tasks: JoinSet<Reply>,
    channels: HashMap<Id, (AbortHandle, C)>,
    held: VecDeque<Held<C>>,
    held_bytes: usize,
}

pub(crate) type HeldCall = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// A call that has not begun.
pub(crate) struct Held<C> {
    pub(crate) channel: C,
    pub(crate) call: HeldCall,
    /// How much memory it takes, including its message.
    bytes: usize,
}

/// How much memory the calls that are held back may take. Beyond it nothing is read.
const HELD_BYTES: usize = 1 << 20;

impl<C> Default for Calls<C> {
    fn default() -> Self {
        Self { tasks: JoinSet::new(), channels: HashMap::new(), held: VecDeque::new(), held_bytes: 0 }
    }
}

impl<C> Debug for Calls<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").field("begun", &self.len()).field("held", &self.held.len()).finish_non_exhaustive()
    }
}

impl<C> Calls<C> {
    /// How many calls have begun.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether no call has begun, and so none is held back either.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// The channels of all calls.
    pub fn channels(&mut self) -> impl Iterator<Item = &mut C> {
        let held = self.held.iter_mut().map(|held| &mut held.channel);
        self.channels.values_mut().map(|(_, channel)| channel).chain(held)
    }

    /// Holds back a call whose message has `message_bytes`.
    pub(crate) fn hold<F>(&mut self, channel: C, call: F, message_bytes: usize)
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        let bytes = message_bytes + size_of::<Held<C>>() + size_of::<F>();
        self.held_bytes += bytes;
        self.held.push_back(Held { channel, call: Box::pin(call), bytes });
    }

    /// Takes the first of the calls that are held back.
    pub(crate) fn pop_held(&mut self) -> Option<Held<C>> {
        let held = self.held.pop_front()?;
        self.held_bytes -= held.bytes;
        Some(held)
    }

    /// How much memory the calls that are held back take.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Whether no more calls can be held back.
    pub(crate) fn are_full(&self) -> bool {
        self.held_bytes >= HELD_BYTES
    }

    /// Cancels the calls for whose channel `keep` is false.
    pub fn retain(&mut self, mut keep: impl FnMut(&mut C) -> bool) {
        self.held.retain_mut(|held| keep(&mut held.channel));
        self.held_bytes = self.held.iter().map(|held| held.bytes).sum();
        self.channels.retain(|_, (task, channel)| {
            let kept = keep(channel);
            if !kept {
                task.abort();
            }
            kept
        });
    }

    pub(crate) fn spawn(&mut self, channel: C, call: impl Future<Output = Reply> + Send + 'static) {
        let task = self.tasks.spawn(call);
        self.channels.insert(task.id(), (task, channel));
    }

    /// The next reply and its call's channel. While calls wait, the caller is woken at the next one.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<(C, Reply), JoinError>>> {
        loop {
            let Some(joined) = ready!(self.tasks.poll_join_next_with_id(cx)) else { return Poll::Ready(None) };
            let id = joined.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
            let channel = self.channels.remove(&id).map(|(_, channel)| channel);
            match (joined, channel) {
                (Ok((_, reply)), Some(channel)) => return Poll::Ready(Some(Ok((channel, reply)))),
                (Err(error), _) if !error.is_cancelled() => return Poll::Ready(Some(Err(error))),
                // A cancelled call, which may have ended all the same.
                _ => {}
            }
        }
    }
}

/// The bytes that wait for the peer to read them.
#[derive(Debug, Default)]
pub struct Output {
    bytes: Vec<u8>,
    written: usize,
}

impl Output {
    /// Appends a message: the envelope and one more frame.
    pub fn push(&mut self, envelope: &Envelope, body: &[u8]) {
        self.bytes.extend_from_slice(&envelope.frames);
        put_frame(&mut self.bytes, body, false);
    }

    /// Bytes that are not written yet.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Whether everything is written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes in memory.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    pub(crate) fn raw(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Writes until nothing is left.
    pub(crate) fn poll_write(
        &mut self,
        mut io: Pin<&mut impl AsyncWrite>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.bytes.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while !self.is_empty() {
            match ready!(io.as_mut().poll_write(cx, &self.bytes[self.written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        self.written = 0;
        self.bytes.clear();
        self.bytes.shrink_to(FREE_BYTES);
        io.poll_flush(cx)
    }
}
