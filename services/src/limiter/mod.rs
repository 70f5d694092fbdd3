//! Rate limiters.

mod slot;

pub use slot::SlotLimiter;
