//! What the user of the engine writes, a [`Session`], and what the engine lends to it, a [`Peer`].

use std::{
    collections::HashMap,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use rpc_core::{FREE_BYTES, RpcError};
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
    /// The calls that wait.
    pub calls: Calls<C>,
    /// What goes to the peer, besides replies.
    pub output: Output,
    pub(crate) draining: bool,
    pub(crate) paused: bool,
}

impl<C> Peer<C> {
    /// Whether the server is stopping: no new call should start.
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

/// The calls of one connection that wait, each a task.
#[derive(Debug)]
pub struct Calls<C> {
    tasks: JoinSet<Reply>,
    channels: HashMap<Id, (AbortHandle, C)>,
}

impl<C> Default for Calls<C> {
    fn default() -> Self {
        Self { tasks: JoinSet::new(), channels: HashMap::new() }
    }
}

impl<C> Calls<C> {
    /// How many calls wait.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether no call waits.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// The channels of all calls that wait.
    pub fn channels(&mut self) -> impl Iterator<Item = &mut C> {
        self.channels.values_mut().map(|(_, channel)| channel)
    }

    /// Cancels the calls for whose channel `keep` is false.
    pub fn retain(&mut self, mut keep: impl FnMut(&mut C) -> bool) {
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
