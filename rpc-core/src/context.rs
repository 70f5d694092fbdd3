//! What travels with a call besides its arguments.

mod extensions;
mod metadata;
mod trace;

use std::{
    borrow::Cow,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

pub use self::{extensions::Extensions, metadata::Metadata, trace::Trace};
use crate::{
    error::Result,
    listener::Peer,
    streaming::{Guards, KnownGuards},
};

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
    pub(crate) guards: KnownGuards,
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
        self.deadline = [self.deadline, deadline_after(timeout)].into_iter().flatten().min();
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

    /// Reads what came with a call from its names and values: `traceparent` and `tracestate`, and everything else as
    /// [metadata](Metadata::receive). An error if there is more metadata than may travel. For authors of wires.
    pub fn receive<'a>(&mut self, entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<()> {
        let (mut parents, mut states) = (Vec::new(), Vec::new());
        for (name, value) in entries {
            match name {
                Trace::PARENT => parents.push(value),
                Trace::STATE => states.push(value),
                _ => self.metadata.receive(name, value)?,
            }
        }
        // W3C Trace Context, sections 3.2.1 and 3.3.1: there is one parent, and several states are one list.
        if let [parent] = parents[..] {
            self.trace = Trace::parse(parent, Some(&states.join(",")));
        }
        Ok(())
    }

    /// Marks `self`, which a layer made of the received context `of`, as received too.
    pub(crate) fn received_as(self, of: &Self) -> Self {
        let peer = self.peer.or_else(|| of.peer.clone());
        Self { peer, is_received: of.is_received, guards: of.guards.clone(), ..self }
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
pub struct LazyContext(Option<Box<(Context, Arc<Mutex<Guards>>)>>);

impl LazyContext {
    /// The context of a call of `peer`. The first time `read` fills in what came with the call: its deadline, its trace and its
    /// metadata. When this is dropped, the [cancellation](Context::cancellation) that the context had then is cancelled; after a reply
    /// of many items at their end.
    pub fn get(&mut self, peer: &Peer, read: impl FnOnce(&mut Context) -> Result<()>) -> Result<&mut Context> {
        match &mut self.0 {
            Some(made) => Ok(&mut made.0),
            made @ None => {
                let cancellation = CancellationToken::new();
                let mut context = Context::from(peer.clone()).cancelled_by(cancellation.clone());
                read(&mut context)?;
                let guards = Guards::new(cancellation.drop_guard());
                context.guards = KnownGuards::of(&guards);
                Ok(&mut made.insert(Box::new((context, guards))).0)
            }
        }
    }
}

/// What a client sends of a context. For authors of wires.
#[derive(Debug, Clone)]
pub struct Outgoing<'a> {
    cx: &'a Context,
    end: Option<Instant>,
    trace: Option<Trace>,
}

impl<'a> Outgoing<'a> {
    /// What is sent of `cx` by a call that begins now and may take `timeout`. The trace gets a new span.
    pub fn new(cx: &'a Context, timeout: Duration) -> Self {
        let end = [cx.deadline, deadline_after(timeout)].into_iter().flatten().min();
        Self { cx, end, trace: cx.trace.as_ref().map(Trace::child) }
    }

    /// What is left of the call's time. If the context has no deadline this is the client's own limit, which need not travel.
    pub fn time_left(&self) -> Duration {
        self.end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()))
    }

    /// What is left of the call's time, if the context has a deadline.
    pub fn timeout(&self) -> Option<Duration> {
        self.cx.deadline.map(|_| self.time_left())
    }

    /// The same in milliseconds, at least one.
    pub fn timeout_ms(&self) -> Option<u64> {
        self.timeout().map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1))
    }

    /// The trace.
    pub fn trace(&self) -> Option<&Trace> {
        self.trace.as_ref()
    }

    /// The metadata, which is empty for a context that was received.
    pub fn metadata(&self) -> &'a Metadata {
        if self.cx.is_received { Metadata::EMPTY } else { &self.cx.metadata }
    }

    /// The trace and the metadata as names and values; [`Context::receive`] reads them.
    pub fn entries(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        let trace = self.trace().into_iter().flat_map(|trace| {
            let state = trace.state().map(|state| (Trace::STATE, state.into()));
            [(Trace::PARENT, trace.to_string().into())].into_iter().chain(state)
        });
        trace.chain(self.metadata().iter().map(|(name, value)| (name, value.into())))
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
        assert!(sent.metadata().is_empty() && sent.timeout().is_some());
        let (before, after) = (cx.trace.as_ref().unwrap(), sent.trace().unwrap());
        assert_eq!(before.trace_id(), after.trace_id());
        assert_ne!(before.span_id(), after.span_id());
        let child = cx.child().metadata("tenant", "7").unwrap();
        let sent = Outgoing::new(&child, time);
        assert_eq!(sent.metadata().iter().collect::<Vec<_>>(), [("tenant", "7")]);
        assert_eq!(child.deadline, cx.deadline);
    }

    #[test]
    fn a_trace_has_one_parent_and_several_states() {
        let (one, other) = (Trace::start().to_string(), Trace::start().to_string());
        let read = |entries: &[(&'static str, &'static str)], parents: &[&str]| {
            let parents = parents.iter().map(|parent| (Trace::PARENT, *parent));
            let mut cx = Context::new();
            cx.receive(entries.iter().copied().chain(parents)).unwrap();
            cx.trace
        };
        let trace = read(&[(Trace::STATE, "a=1"), ("tenant", "7"), (Trace::STATE, "b=2")], &[&one]).unwrap();
        assert_eq!((trace.to_string(), trace.state()), (one.clone(), Some("a=1,b=2")));
        assert_eq!(read(&[], &[&one]).unwrap().state(), None);
        assert_eq!(read(&[(Trace::STATE, "a=1")], &[]), None);
        assert_eq!(read(&[], &[&one, &other]), None);
    }

    #[test]
    fn what_is_sent_can_be_received() {
        let cx = Context::new().metadata("tenant", "7").unwrap().metadata("tenant", "8").unwrap().trace(Trace::start());
        let sent = Outgoing::new(&cx, Duration::from_secs(1));
        let entries: Vec<_> = sent.entries().collect();
        let mut received = Context::new();
        received.receive(entries.iter().map(|(name, value)| (*name, &**value))).unwrap();
        assert_eq!((&received.metadata, received.trace.as_ref()), (&cx.metadata, sent.trace()));
        assert!(sent.timeout().is_none() && sent.time_left() <= Duration::from_secs(1));
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
