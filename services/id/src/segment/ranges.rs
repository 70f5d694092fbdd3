//! Where segments come from.

use everywire_core::Result;

/// A source of ranges of numbers.
pub trait Ranges: Send + Sync + 'static {
    /// Takes the next `count` numbers, and returns the last of them.
    fn take(&self, count: u64) -> impl Future<Output = Result<u64>> + Send;
}
