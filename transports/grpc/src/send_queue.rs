//! The replies of one connection that its peer has not taken yet.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use bytes::{Buf, Bytes};
use everywire_core::{
    Budget, Limit,
    wire::{FREE_BYTES, LEAST_TAKEN_BYTES, Reservation},
};
use h2::{Reason, SendStream, server::SendResponse};
use http::Response;
use tokio::time::Instant;

use crate::{clock::after, envelope, status};

/// Replies that were passed to h2 and are not written yet, because the peer opens no window for them or does not read.
pub(crate) struct SendQueue {
    replies: Vec<Reply>,
    bytes: usize,
    /// Bytes of short replies. A long one counts in its own reservation.
    short_bytes: usize,
    reservation: Reservation,
    budget: Arc<Budget>,
}

struct Reply {
    /// Resets the stream if the reply stalls.
    stream: SendStream<Piece>,
    left: Arc<AtomicUsize>,
    is_short: bool,
    /// Set if the reply was not written at once.
    wait: Option<Wait>,
}

struct Wait {
    until: Instant,
    /// The bytes that were left when the wait began.
    left: usize,
}

impl SendQueue {
    pub(crate) fn new(budget: &Arc<Budget>) -> Self {
        let (bytes, short_bytes) = (0, 0);
        Self { replies: Vec::new(), bytes, short_bytes, reservation: budget.reserve(), budget: Arc::clone(budget) }
    }

    /// Sends `head`, `message` and the trailers of success, or an error if the budget has no room for a short message.
    pub(crate) fn send(
        &mut self,
        mut respond: SendResponse<Piece>,
        head: Response<()>,
        message: Bytes,
    ) -> Result<(), h2::Error> {
        let is_short = message.len() <= FREE_BYTES;
        if is_short {
            if let Err(full) = self.reservation.try_resize(self.short_bytes + message.len()) {
                return respond.send_response(status::response(&full).map(drop), true).map(drop);
            }
            self.short_bytes += message.len();
        }
        self.bytes += message.len();
        let left = Arc::new(AtomicUsize::new(message.len()));
        let mut stream = respond.send_response(head, false)?;
        stream.send_data(Piece { bytes: message, left: Some(Arc::clone(&left)) }, false)?;
        stream.send_trailers(envelope::success())?;
        self.replies.push(Reply { stream, left, is_short, wait: None });
        if self.is_full() {
            self.budget.record(Limit::UnsentBytes, "a peer leaves its replies unread; its calls wait");
        }
        Ok(())
    }

    /// Removes the replies that have been written in the meantime.
    pub(crate) fn settle(&mut self) {
        if self.replies.is_empty() {
            return;
        }
        self.replies.retain(|reply| reply.left() > 0);
        self.bytes = self.replies.iter().map(Reply::left).sum();
        self.short_bytes = self.replies.iter().filter(|reply| reply.is_short).map(Reply::left).sum();
        // A smaller reservation is never rejected.
        let _ = self.reservation.try_resize(self.short_bytes);
        if !self.replies.is_empty() {
            self.wait(Instant::now());
        }
    }

    /// Starts the time of new replies, and restarts that of replies of which the peer has taken enough.
    fn wait(&mut self, now: Instant) {
        let until = self.until(now);
        for reply in &mut self.replies {
            let left = reply.left();
            if reply.wait.as_ref().is_none_or(|wait| wait.left - left >= LEAST_TAKEN_BYTES) {
                reply.wait = Some(Wait { until, left });
            }
        }
    }

    /// Whether the peer has to read before its next calls run.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= self.budget.limits().unsent_bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.replies.is_empty()
    }

    /// When the first reply has waited for too long.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.replies.iter().filter_map(|reply| Some(reply.wait.as_ref()?.until)).min()
    }

    /// Resets the streams whose replies have waited for too long, which frees their memory.
    pub(crate) fn reset_stalled(&mut self, now: Instant) {
        let until = self.until(now);
        for reply in &mut self.replies {
            if let Some(wait) = reply.wait.as_mut().filter(|wait| now >= wait.until) {
                self.budget.record(Limit::MessageTime, "a peer did not take its reply");
                reply.stream.send_reset(Reason::ENHANCE_YOUR_CALM);
                // A frame that is half written stays in the queue until it is written.
                wait.until = until;
            }
        }
    }

    fn until(&self, now: Instant) -> Instant {
        after(now, self.budget.limits().message_time)
    }
}

impl Reply {
    fn left(&self) -> usize {
        self.left.load(Relaxed)
    }
}

/// Bytes that h2 writes in parts as the windows allow. The queue sees how many are left.
#[derive(Debug, Default)]
pub(crate) struct Piece {
    bytes: Bytes,
    left: Option<Arc<AtomicUsize>>,
}

impl From<Bytes> for Piece {
    fn from(bytes: Bytes) -> Self {
        Self { bytes, left: None }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if let Some(left) = &self.left {
            left.store(self.bytes.len(), Relaxed);
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if let Some(left) = &self.left {
            left.store(0, Relaxed);
        }
    }
}
