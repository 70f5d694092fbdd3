//! The bytes that all connections of a server may buffer.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Buffers up to this size are not counted: every connection has one.
pub(crate) const FREE_BYTES: usize = 64 << 10;

/// What is buffered now, and at most.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    buffered: Arc<AtomicUsize>,
    total: usize,
}

/// One connection's share of the bytes that all connections may buffer.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Budget,
    held: usize,
}

impl Budget {
    pub(crate) fn new(total: usize) -> Self {
        Self { buffered: Arc::default(), total }
    }

    pub(crate) fn share(&self) -> Share {
        Share { budget: self.clone(), held: 0 }
    }
}

impl Share {
    /// Sets what this connection buffers.
    pub(crate) fn hold(&mut self, bytes: usize) -> io::Result<()> {
        let bytes = bytes.saturating_sub(FREE_BYTES);
        if bytes == self.held {
            return Ok(());
        }
        let others = self.budget.buffered.fetch_sub(self.held, Ordering::Relaxed) - self.held;
        self.held = bytes;
        self.budget.buffered.fetch_add(bytes, Ordering::Relaxed);
        if bytes > 0 && others.saturating_add(bytes) > self.budget.total {
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "the buffers of all connections are full"));
        }
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.buffered.fetch_sub(self.held, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_beyond_the_total_is_refused() {
        let budget = Budget::new(100);
        let (mut one, mut two) = (budget.share(), budget.share());
        one.hold(FREE_BYTES + 60).unwrap();
        two.hold(FREE_BYTES).expect("what every connection has is free");
        assert_eq!(two.hold(FREE_BYTES + 41).unwrap_err().kind(), io::ErrorKind::QuotaExceeded);
        two.hold(FREE_BYTES + 40).unwrap();
        one.hold(0).unwrap();
        two.hold(FREE_BYTES + 100).unwrap();
        drop((one, two));
        assert_eq!(budget.buffered.load(Ordering::Relaxed), 0);
    }
}
