//! What the user of the engine writes, a [`Session`], and what the engine lends to it, a [`Peer`].

use std::{io, time::Duration};

use bytes::Bytes;
use everywire_core::wire::Encoded;
use everywire_net::framed::{Calls, SendQueue};

use crate::frames::{put_frame, put_header, violation};

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

/// The answer of a call: one message.
#[derive(Debug)]
pub struct Reply {
    /// The envelope of the message that is answered.
    pub envelope: Envelope,
    /// The only frame after it.
    pub body: Encoded,
}

/// The connection as its session sees it.
pub struct Peer<'a, S: Session + ?Sized> {
    pub(crate) calls: &'a mut Calls<S::Channel, S::Request, S::Call>,
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

    /// Sends a reply. A long one is not copied.
    pub(crate) fn reply(&mut self, Reply { envelope, body }: Reply) {
        self.0.tail().extend_from_slice(&envelope.frames);
        put_header(self.0.tail(), body.len(), false);
        self.0.push(body);
    }
}
