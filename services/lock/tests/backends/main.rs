//! One suite over every backend of the lock, each against the real engine.

#![expect(clippy::unwrap_used, reason = "a test fails where its assumption does, and the helpers are tests too")]

mod bench;
mod cases;
mod operations;
mod outages;
mod suite;
mod table;
