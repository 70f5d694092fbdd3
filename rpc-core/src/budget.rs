//! What all peers together use of the limits, and how often each limit was exceeded.

use std::{
    fmt,
    ops::Deref,
    sync::{
        Arc,
        atomic::{
            AtomicUsize,
            Ordering::{AcqRel, Relaxed},
        },
    },
    time::Duration,
};

use bytes::Bytes;

use crate::{
    error::{Code, Result, RpcError},
    limits::{Limit, Limits},
    tally::Tally,
};

/// Buffers up to this size are not counted, as every connection has one.
pub const FREE_BYTES: usize = 8 << 10;

/// Longer times of limits are lowered to this one, 30 years, so that adding one to a clock can't overflow.
const LONGEST_TIME: Duration = Duration::from_hours(30 * 365 * 24);

/// A greater depth is lowered to this one, far more than a stack has room for, so that counting levels can't overflow.
const GREATEST_DEPTH: usize = 1 << 20;

/// The limits of a server, and current usage of those that all its wires share. Its [`Display`](fmt::Display) shows how
/// often each was exceeded.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    /// Calls in flight, not counting those that wait.
    running: AtomicUsize,
    waiting: Arc<AtomicUsize>,
    bytes: AtomicUsize,
    /// How often each limit was exceeded.
    met: Vec<Tally>,
}

impl Budget {
    /// Creates an unused budget. Limits of zero calls or bytes, which would make a connection wait forever, are raised to one, and
    /// times beyond 30 years, and a depth beyond 2^20, are lowered to that.
    pub fn new(mut limits: Limits) -> Arc<Self> {
        for least_one in [&mut limits.calls_in_flight, &mut limits.unsent_bytes] {
            *least_one = (*least_one).max(1);
        }
        limits.depth = limits.depth.min(GREATEST_DEPTH);
        let Limits { handshake_time, idle_time, message_time, call_time, .. } = &mut limits;
        for time in [handshake_time, idle_time, message_time, call_time] {
            *time = (*time).min(LONGEST_TIME);
        }
        let met = Limit::ALL.iter().map(|_| Tally::default()).collect();
        let (running, waiting, bytes) = Default::default();
        Arc::new(Self { limits, running, waiting, bytes, met })
    }

    /// The limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Calls in flight on all wires, including those that wait.
    pub fn calls(&self) -> usize {
        self.running.load(Relaxed) + self.waiting.load(Relaxed)
    }

    /// Bytes that all connections have [reserved](Reservation).
    pub fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// How often `limit` was exceeded.
    pub fn met(&self, limit: Limit) -> u64 {
        self.met[limit as usize].times()
    }

    /// Records that a peer exceeded `limit`: counts it, and logs `what` at most once a second.
    pub fn record(&self, limit: Limit, what: impl fmt::Display) {
        self.met[limit as usize].count(|times| {
            let (name, value) = (limit.name(), limit.value(&self.limits));
            // Idle timeouts are routine.
            if limit == Limit::IdleTime {
                tracing::debug!(limit = name, value, times, "{what}");
            } else {
                tracing::warn!(limit = name, value, times, "{what}");
            }
        });
    }

    /// [Records](Self::record) it, and returns the error for the peer: `DEADLINE_EXCEEDED` for a limit of time, else
    /// `RESOURCE_EXHAUSTED`.
    pub fn exceeded(&self, limit: Limit, what: impl fmt::Display) -> RpcError {
        self.record(limit, &what);
        let code = match limit {
            Limit::HandshakeTime | Limit::IdleTime | Limit::MessageTime | Limit::CallTime | Limit::StreamIdleTime => {
                Code::DeadlineExceeded
            }
            _ => Code::ResourceExhausted,
        };
        RpcError::new(code, format!("{what}; the limit {} is {}", limit.name(), limit.value(&self.limits)))
    }

    /// [Records](Self::record) that `buffered_bytes` has no room, and returns the error for the peer.
    pub(crate) fn buffers_full(&self) -> RpcError {
        self.exceeded(Limit::BufferedBytes, "the buffers of all connections are full")
    }

    /// Returns an empty reservation of bytes that may be buffered.
    pub fn reserve(self: &Arc<Self>) -> Reservation {
        Reservation { budget: Arc::clone(self), held: 0 }
    }

    /// Counts a call that runs until its permit is dropped, or rejects it.
    pub(crate) fn start_call(&self) -> Result<CallPermit<&AtomicUsize>> {
        CallPermit::take(&self.running, self.limits.calls_in_all).ok_or_else(|| self.too_many("calls in flight"))
    }

    /// Does the same with a call that waits.
    pub(crate) fn start_waiting_call(&self) -> Result<WaitingPermit> {
        let waiting = Arc::clone(&self.waiting);
        CallPermit::take(waiting, self.limits.calls_in_all).ok_or_else(|| self.too_many("waiting calls"))
    }

    #[cold]
    fn too_many(&self, kind: &str) -> RpcError {
        self.exceeded(Limit::CallsInAll, format_args!("the server has too many {kind}"))
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} calls in flight, {} bytes buffered, limits met:", self.calls(), self.bytes())?;
        let mut met = Limit::ALL.iter().map(|limit| (limit, self.met(*limit))).filter(|(_, times)| *times > 0);
        if met.clone().next().is_none() {
            return f.write_str(" none");
        }
        met.try_for_each(|(limit, times)| write!(f, " {} {times}", limit.name()))
    }
}

/// One counted call; dropping it takes it off the count.
#[derive(Debug)]
pub(crate) struct CallPermit<C: Deref<Target = AtomicUsize>>(C);

/// That of a call that waits. It may outlive what counts.
pub(crate) type WaitingPermit = CallPermit<Arc<AtomicUsize>>;

impl<C: Deref<Target = AtomicUsize>> CallPermit<C> {
    /// Counts one more call, unless the count has reached `limit`.
    pub(crate) fn take(count: C, limit: usize) -> Option<Self> {
        let permit = Self(count);
        // A permit over the limit is dropped here, which takes it off the count again.
        (permit.0.fetch_add(1, AcqRel) < limit).then_some(permit)
    }
}

impl<C: Deref<Target = AtomicUsize>> Drop for CallPermit<C> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, AcqRel);
    }
}

/// Bytes reserved out of those that all connections may buffer. Dropping it releases them.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<Budget>,
    held: usize,
}

impl Reservation {
    /// Sets how many bytes are buffered. The first [`FREE_BYTES`] are not counted. If `buffered_bytes` would be exceeded,
    /// returns an error and leaves the reservation unchanged.
    #[inline]
    pub fn try_resize(&mut self, bytes: usize) -> Result<()> {
        if self.resize(bytes) { Ok(()) } else { Err(self.budget.buffers_full()) }
    }

    /// Does the same, and returns whether there was room. The limit is not recorded as exceeded.
    #[inline]
    pub(crate) fn resize(&mut self, bytes: usize) -> bool {
        let bytes = bytes.saturating_sub(FREE_BYTES);
        // Most messages are short, and nothing is reserved for them.
        bytes == self.held || self.hold(bytes)
    }

    fn hold(&mut self, bytes: usize) -> bool {
        let used = &self.budget.bytes;
        if bytes > self.held {
            let (more, most) = (bytes - self.held, self.budget.limits.buffered_bytes);
            // A reservation that fails takes nothing meanwhile, so that smaller ones of others succeed.
            let with_more = |used: usize| used.checked_add(more).filter(|sum| *sum <= most);
            if used.try_update(AcqRel, Relaxed, with_more).is_err() {
                return false;
            }
        } else {
            used.fetch_sub(self.held - bytes, AcqRel);
        }
        self.held = bytes;
        true
    }

    /// Does the same even if there is no room: for what is in memory already.
    pub(crate) fn force_resize(&mut self, bytes: usize) {
        let bytes = bytes.saturating_sub(FREE_BYTES);
        if !self.hold(bytes) {
            self.budget.bytes.fetch_add(bytes - self.held, AcqRel);
            self.held = bytes;
        }
    }

    /// Splits off up to `bytes` bytes into a reservation of their own.
    #[must_use]
    pub fn split_off(&mut self, bytes: usize) -> Self {
        let held = self.held.min(bytes);
        self.held -= held;
        Self { budget: Arc::clone(&self.budget), held }
    }

    /// Attaches the reservation to `bytes`. It is released when the last clone of them is dropped, which for a reply is when
    /// it has been written.
    pub fn into_bytes(self, bytes: Vec<u8>) -> Bytes {
        if self.held == 0 { bytes.into() } else { Bytes::from_owner(Kept { bytes, _reservation: self }) }
    }
}

struct Kept {
    bytes: Vec<u8>,
    _reservation: Reservation,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.bytes.fetch_sub(self.held, AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_reservation_beyond_the_total_fails() {
        let budget = Budget::new(Limits { buffered_bytes: 100, ..Limits::default() });
        let (mut one, mut two) = (budget.reserve(), budget.reserve());
        one.try_resize(FREE_BYTES + 60).unwrap();
        two.try_resize(FREE_BYTES).expect("what every connection has is free");
        assert_eq!(two.try_resize(FREE_BYTES + 41).unwrap_err().code(), Code::ResourceExhausted);
        assert_eq!(budget.bytes(), 60, "a reservation that fails is unchanged");
        two.try_resize(FREE_BYTES + 40).unwrap();
        one.try_resize(0).unwrap();
        two.try_resize(FREE_BYTES + 100).unwrap();
        drop((one, two));
        assert_eq!(budget.bytes(), 0);
        assert_eq!(budget.met(Limit::BufferedBytes), 1);
    }

    #[test]
    fn a_reply_counts_until_its_last_clone_is_dropped() {
        let budget = Budget::new(Limits { buffered_bytes: 100, ..Limits::default() });
        let mut reservation = budget.reserve();
        reservation.try_resize(FREE_BYTES + 60).unwrap();
        let reply = reservation.into_bytes(vec![7; FREE_BYTES + 60]);
        let rest = reply.slice(FREE_BYTES..);
        drop(reply);
        assert_eq!(budget.bytes(), 60);
        drop(rest);
        assert_eq!(budget.bytes(), 0);
    }

    #[test]
    fn splitting_a_reservation_keeps_the_sum() {
        let budget = Budget::new(Limits::default());
        let mut reservation = budget.reserve();
        reservation.try_resize(FREE_BYTES + 60).unwrap();
        let part = reservation.split_off(40);
        assert_eq!(budget.bytes(), 60);
        drop(part);
        assert_eq!(budget.bytes(), 20);
        drop(reservation.split_off(100));
        assert_eq!(budget.bytes(), 0);
    }

    #[test]
    fn the_longest_time_can_be_added_to_a_clock() {
        let limits = Limits { handshake_time: Duration::MAX, idle_time: Duration::MAX, ..Limits::default() };
        let budget = Budget::new(limits);
        let Limits { handshake_time, idle_time, message_time, .. } = budget.limits();
        assert!(Instant::now().checked_add(*handshake_time + *idle_time).is_some());
        assert_eq!(*message_time, Limits::default().message_time);
    }

    #[test]
    fn an_error_names_its_limit() {
        let budget = Budget::new(Limits::default());
        assert_eq!(
            budget.exceeded(Limit::BatchCalls, "the batch has too many calls").to_string(),
            "RESOURCE_EXHAUSTED: the batch has too many calls; the limit batch_calls is 1000"
        );
        assert_eq!(
            budget.exceeded(Limit::CallTime, "add was cut off").to_string(),
            "DEADLINE_EXCEEDED: add was cut off; the limit call_time is 3900s"
        );
        assert_eq!(budget.to_string(), "0 calls in flight, 0 bytes buffered, limits met: call_time 1 batch_calls 1");
    }
}
