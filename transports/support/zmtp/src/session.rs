//! What the user of the engine writes, a [`Session`], and what the engine lends to it, a [`Peer`].

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use everywire_core::wire::Encoded;
use everywire_net::framed::SendQueue;
use futures_util::{Stream, StreamExt, stream::BoxStream};

use crate::{
    frames::{put_frame, put_header, violation},
    framing::Calls,
};

/// One connection's side of a protocol over ZMTP.
pub trait Session: Send {
    /// A call: it ends in the reply and must not panic; a panic closes the connection.
    type Call: Future<Output = Reply> + Send;
    /// What a call begins with: small, as it is held back at a limit.
    type Request: Send;
    /// What is kept of a call while it has to wait.
    type Channel: Send;

    /// How often [`tick`](Self::tick) runs while calls wait; more than zero.
    const TICK: Duration = Duration::from_secs(5);

    /// Takes one message: the frames after the envelope. It may ask for a call, answer at once through [`Peer::output`], or do nothing.
    /// An error closes the connection.
    fn receive(
        &mut self,
        envelope: Envelope,
        body: &[Bytes],
        peer: &mut Peer<'_, Self>,
    ) -> io::Result<Option<(Self::Channel, Self::Request)>>;

    /// Begins the call that [`receive`](Self::receive) has asked for.
    fn call(&mut self, request: Self::Request) -> Self::Call;

    /// How many of the `in_flight` calls count against `calls_in_flight`. Calls that wait for other calls need not.
    fn running(&self, in_flight: usize) -> usize {
        in_flight
    }

    /// Runs every [`TICK`](Self::TICK) while calls wait, to send heartbeats or to cancel calls.
    fn tick(&mut self, _peer: &mut Peer<'_, Self>) {}
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

/// The reply of a call: one message, or many.
pub struct Reply {
    /// The envelope of the message that is answered.
    envelope: Envelope,
    /// The only frame after it.
    body: Option<Encoded>,
    /// The frames of further messages.
    rest: Option<BoxStream<'static, Encoded>>,
}

impl Reply {
    /// One message of one frame, `body`, after the `envelope` of the message that is answered.
    pub fn new(envelope: Envelope, body: impl Into<Encoded>) -> Self {
        Self { envelope, body: Some(body.into()), rest: None }
    }

    /// A message for each of `bodies`. They are asked for while the peer reads.
    pub fn many(envelope: Envelope, bodies: impl Stream<Item = Encoded> + Send + 'static) -> Self {
        Self { envelope, body: None, rest: Some(bodies.boxed()) }
    }

    /// The frame of the message, if it is one.
    pub fn body(&self) -> Option<&[u8]> {
        self.body.as_deref()
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("envelope", &self.envelope).field("body", &self.body).finish_non_exhaustive()
    }
}

/// The messages of a reply that are still to come. As a call, it ends in the next one and the rest of them.
pub(crate) struct Rest(Option<(Envelope, BoxStream<'static, Encoded>)>);

impl Future for Rest {
    type Output = Reply;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reply> {
        let Some((_, bodies)) = &mut self.0 else { return Poll::Pending };
        let body = ready!(bodies.poll_next_unpin(cx));
        let Some((envelope, bodies)) = self.0.take() else { return Poll::Pending };
        let rest = body.is_some().then_some(bodies);
        Poll::Ready(Reply { envelope, body, rest })
    }
}

/// The connection as its session sees it.
pub struct Peer<'a, S: Session + ?Sized> {
    pub(crate) calls: &'a mut Calls<S>,
    /// What goes to the peer, besides replies.
    pub output: Output<'a>,
    pub(crate) is_draining: bool,
    pub(crate) is_paused: bool,
}

impl<'a, S: Session + ?Sized> Peer<'a, S> {
    /// The channels of all calls that are not done.
    pub fn channels(&mut self) -> impl Iterator<Item = &mut S::Channel> {
        self.calls.channels()
    }

    /// Cancels the calls for whose channel `keep` is false. It can tell the peer about each.
    pub fn retain(&mut self, mut keep: impl FnMut(&mut S::Channel, &mut Output<'a>) -> bool) {
        let Self { calls, output, .. } = self;
        calls.retain(|channel| keep(channel, output));
    }

    /// Whether the server is shutting down: no new call should start.
    pub fn is_draining(&self) -> bool {
        self.is_draining
    }

    /// Whether reading has paused at a limit: the peer may have sent what nobody has read yet.
    pub fn is_paused(&self) -> bool {
        self.is_paused
    }
}

/// The bytes that wait for the peer to read them.
#[derive(Debug)]
pub struct Output<'a>(pub(crate) &'a mut SendQueue);

impl Output<'_> {
    /// Sends a message: the envelope and one more frame.
    pub fn push(&mut self, envelope: &Envelope, body: &[u8]) {
        self.0.tail().extend_from_slice(&envelope.frames);
        put_frame(self.0.tail(), body, false);
    }

    /// Sends a reply, and returns what is still to come of it. A long body is not copied.
    pub(crate) fn reply(&mut self, Reply { envelope, body, rest }: Reply) -> Option<Rest> {
        if let Some(body) = body {
            self.0.tail().extend_from_slice(&envelope.frames);
            put_header(self.0.tail(), body.len(), false);
            self.0.push(body);
        }
        rest.map(|bodies| Rest(Some((envelope, bodies))))
    }
}
