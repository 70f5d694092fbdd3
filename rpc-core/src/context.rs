//! What travels with a call besides its arguments.

mod extensions;
mod metadata;
mod trace;

use std::time::{Duration, Instant};

use tokio_util::sync::{CancellationToken, DropGuard};

pub use self::{extensions::Extensions, metadata::Metadata, trace::Trace};
use crate::{error::Result, listener::Peer};

/// What travels with a call besides its arguments: its deadline, its trace, its caller and the caller's metadata.
///
/// # In a method
/// A method that takes `cx: &Context` as its first parameter gets that of the call. No argument travels for it.
///
/// # In a client
/// `client.with(&cx)` is a client whose calls have this context. A method that takes `cx: &Context` gets it directly, and ignores the
/// client's.
///
/// A method passes the context that it *received* to the calls that it makes in turn. These have what is left of the time,
/// belong to the same trace, and end when the first call does. The received [metadata](Self::metadata) is not sent on,
/// because it may hold credentials; [`child`](Self::child) is a context to add other metadata to.
///
/// ```
/// # use std::time::Duration;
/// # use everywire_core::{Context, Trace};
/// let cx = Context::new().timeout(Duration::from_millis(500)).metadata("tenant", "7")?.trace(Trace::start());
/// assert!(cx.time_left() <= Some(Duration::from_millis(500)));
/// # Ok::<_, everywire_core::RpcError>(())
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Context {
    /// When the caller no longer wants the reply; none if it did not say. Only the remaining time travels, so clocks need not
    /// agree.
    pub deadline: Option<Instant>,
    /// What the caller added: the headers of HTTP, the metadata of gRPC, and their like on other wires.
    pub metadata: Metadata,
    /// Who calls; none for a context that was not received.
    pub peer: Option<Peer>,
    /// The trace that the call belongs to, and the span of its caller in it.
    pub trace: Option<Trace>,
    /// What layers leave for other layers and for the method. It does not travel.
    pub extensions: Extensions,
    cancellation: Option<CancellationToken>,
    /// Whether it arrived with a call.
    is_received: bool,
}

impl Context {
    /// An empty context.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the deadline to `timeout` from now, unless it is earlier already.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        // A time beyond the end of the clock is no deadline.
        let deadline = Instant::now().checked_add(timeout);
        self.deadline = [self.deadline, deadline].into_iter().flatten().min();
        self
    }

    /// Adds metadata; see [`Metadata::insert`] for the names and values that can travel.
    pub fn metadata(mut self, name: &str, value: &str) -> Result<Self> {
        self.metadata.insert(name, value)?;
        Ok(self)
    }

    /// Sets the trace that the calls belong to.
    #[must_use]
    pub fn trace(mut self, trace: Trace) -> Self {
        self.trace = Some(trace);
        self
    }

    /// Ends the calls with `CANCELLED` when `token` is cancelled, in the place of the cancellation that the context has.
    #[must_use]
    pub fn cancelled_by(mut self, token: CancellationToken) -> Self {
        self.cancellation = Some(token);
        self
    }

    /// What is left until the deadline, zero if it has passed; `None` without one.
    pub fn time_left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Cancelled when the call ends or nobody waits for its reply any longer, if the context was received. A method need not
    /// look at it, because its future is dropped then; a task that it spawned does.
    pub fn cancellation(&self) -> CancellationToken {
        self.cancellation.clone().unwrap_or_default()
    }

    pub(crate) fn cancellation_ref(&self) -> Option<&CancellationToken> {
        self.cancellation.as_ref()
    }

    /// The context of calls on behalf of this one: the same deadline, trace and cancellation, without metadata, peer and
    /// extensions.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            deadline: self.deadline,
            trace: self.trace.clone(),
            cancellation: self.cancellation.clone(),
            ..Self::default()
        }
    }

    /// Marks `self`, which a layer made of the received context `of`, as received too.
    pub(crate) fn received_as(self, of: &Self) -> Self {
        let peer = self.peer.or_else(|| of.peer.clone());
        Self { peer, is_received: of.is_received, ..self }
    }
}

/// The context of a call of `peer` about which nothing else is known. For authors of wires.
impl From<Peer> for Context {
    fn from(peer: Peer) -> Self {
        Self { peer: Some(peer), is_received: true, ..Self::default() }
    }
}

/// The context of one call on a server, made when somebody asks for it. For authors of wires.
#[derive(Debug, Default)]
pub struct LazyContext(Option<Box<(Context, DropGuard)>>);

impl LazyContext {
    /// The context of a call of `peer`. The first time `read` fills in what came with the call: its deadline, its trace and its
    /// metadata. When this is dropped, the [cancellation](Context::cancellation) that the context had then is cancelled.
    pub fn get(&mut self, peer: &Peer, read: impl FnOnce(&mut Context) -> Result<()>) -> Result<&mut Context> {
        match &mut self.0 {
            Some(made) => Ok(&mut made.0),
            made @ None => {
                let cancellation = CancellationToken::new();
                let mut context = Context::from(peer.clone()).cancelled_by(cancellation.clone());
                read(&mut context)?;
                Ok(&mut made.insert(Box::new((context, cancellation.drop_guard()))).0)
            }
        }
    }
}

/// What a client sends of a context. For authors of wires.
#[derive(Debug, Clone)]
pub struct Outgoing<'a> {
    /// What is left of the call's time when it is sent.
    pub time_left: Duration,
    /// Whether the context has a deadline. Without one, this time is the client's own, which need not travel.
    pub is_timed: bool,
    /// The metadata, which is empty for a context that was received.
    pub metadata: &'a Metadata,
    /// The trace, with a new span.
    pub trace: Option<Trace>,
}

impl<'a> Outgoing<'a> {
    /// What is sent of `cx` when `time_left` is left of the call.
    pub fn new(cx: &'a Context, time_left: Duration) -> Self {
        let metadata = if cx.is_received { Metadata::EMPTY } else { &cx.metadata };
        let trace = cx.trace.as_ref().map(Trace::child);
        Self { time_left, is_timed: cx.deadline.is_some(), metadata, trace }
    }

    /// What is left of the call's time in milliseconds, at least one, if the caller set it.
    pub fn timeout_ms(&self) -> Option<u64> {
        let ms = u64::try_from(self.time_left.as_millis()).unwrap_or(u64::MAX);
        self.is_timed.then_some(ms.max(1))
    }
}

/// The moment when `timeout` is over; none if it is beyond the end of the clock. For authors of wires.
pub fn deadline_after(timeout: Duration) -> Option<Instant> {
    Instant::now().checked_add(timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received() -> Context {
        let mut lazy = LazyContext::default();
        let cx = lazy.get(&Peer::LOCAL, |cx| {
            cx.deadline = deadline_after(Duration::from_secs(5));
            cx.trace = Some(Trace::start());
            cx.metadata.insert("authorization", "Bearer secret")
        });
        cx.unwrap().clone()
    }

    #[test]
    fn what_was_received_is_not_sent_on() {
        let cx = received();
        let time = Duration::from_secs(3);
        let sent = Outgoing::new(&cx, time);
        assert!(sent.metadata.is_empty() && sent.is_timed);
        let (before, after) = (cx.trace.as_ref().unwrap(), sent.trace.unwrap());
        assert_eq!(before.trace_id(), after.trace_id());
        assert_ne!(before.span_id(), after.span_id());
        let child = cx.child().metadata("tenant", "7").unwrap();
        let sent = Outgoing::new(&child, time);
        assert_eq!(sent.metadata.iter().collect::<Vec<_>>(), [("tenant", "7")]);
        assert_eq!(child.deadline, cx.deadline);
    }

    #[test]
    fn a_call_that_ends_cancels_its_context() {
        let mut lazy = LazyContext::default();
        let cancellation = lazy.get(&Peer::LOCAL, |_| Ok(())).unwrap().cancellation();
        assert!(!cancellation.is_cancelled());
        drop(lazy);
        assert!(cancellation.is_cancelled());
    }

    #[test]
    fn the_earlier_deadline_counts() {
        let cx = Context::new().timeout(Duration::from_secs(1)).timeout(Duration::from_mins(1));
        assert!(cx.time_left().unwrap() <= Duration::from_secs(1));
        assert_eq!(Context::new().timeout(Duration::MAX).time_left(), None);
        let late = Context::new().timeout(Duration::ZERO);
        assert_eq!(late.time_left(), Some(Duration::ZERO));
    }
}
