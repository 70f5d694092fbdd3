//! The numbers that are left, and when the next segment is due.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// The fewest numbers in a segment, and the length of the first one.
pub(super) const MIN_LENGTH: u64 = 1_000;
/// The most numbers in a segment.
pub(super) const MAX_LENGTH: u64 = 1_000_000;
/// A segment that lasts less is followed by one twice as long.
pub(super) const SHORT: Duration = Duration::from_mins(15);
/// A segment that lasts more is followed by one half as long.
pub(super) const LONG: Duration = Duration::from_mins(30);
/// The segments of this server: the current one, and the next.
#[derive(Debug)]
pub(super) struct Buffer {
    segments: VecDeque<Segment>,
    /// The length of the next one.
    length: u64,
    /// When the last one was requested.
    requested: Option<Instant>,
    /// Whether a step is in progress. There is one at a time.
    requesting: bool,
}

#[derive(Debug)]
struct Segment {
    next: u64,
    last: u64,
    /// With fewer numbers left, the next segment is requested.
    low: u64,
}

impl Default for Buffer {
    fn default() -> Self {
        Self { segments: VecDeque::new(), length: MIN_LENGTH, requested: None, requesting: false }
    }
}

impl Segment {
    fn left(&self) -> u64 {
        self.last + 1 - self.next
    }
}

impl Buffer {
    pub(super) fn left(&self) -> u64 {
        self.segments.iter().map(Segment::left).sum()
    }

    /// Takes `count` numbers, all or none.
    pub(super) fn take(&mut self, count: u64) -> Option<Vec<u64>> {
        if self.left() < count {
            return None;
        }
        let mut ids = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
        let mut rest = count;
        while rest > 0 {
            let segment = self.segments.front_mut()?;
            let some = rest.min(segment.left());
            ids.extend(segment.next..segment.next + some);
            (segment.next, rest) = (segment.next + some, rest - some);
            if segment.left() == 0 {
                self.segments.pop_front();
            }
        }
        Some(ids)
    }

    /// The length of the segment to request now, if one is needed. A call is short of `missing` ids.
    pub(super) fn wanted(&mut self, missing: u64, now: Instant) -> Option<u64> {
        let low = match *self.segments.make_contiguous() {
            [] => true,
            [ref current] => current.left() < current.low,
            _ => false,
        };
        if self.requesting || !low && missing == 0 {
            return None;
        }
        match self.requested.map(|requested| now - requested) {
            Some(lasted) if lasted < SHORT => self.length = (2 * self.length).min(MAX_LENGTH),
            Some(lasted) if lasted > LONG => self.length = (self.length / 2).max(MIN_LENGTH),
            _ => {}
        }
        (self.requested, self.requesting) = (Some(now), true);
        Some(self.length.max(missing))
    }

    /// Appends the requested segment of `length` numbers, up to `last`; `None` if the step failed.
    pub(super) fn refilled(&mut self, last: Option<u64>, length: u64) {
        self.requesting = false;
        match last {
            Some(last) => {
                self.segments.push_back(Segment { next: last + 1 - length, last, low: length - length / 10 });
            }
            // The time until the next request then says nothing about how long a segment lasts.
            None => self.requested = None,
        }
    }
}
