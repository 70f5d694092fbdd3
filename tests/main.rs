//! The tests of the whole: every wire at once, in one binary.

#![expect(clippy::unwrap_used, reason = "a test fails where its assumption does, and the helpers are tests too")]

#[cfg(feature = "bench")]
mod bench;
mod buffers;
mod context;
mod contract;
mod durability;
mod errors;
mod examples;
mod extremes;
mod harness;
mod interop;
mod listeners;
mod listing;
mod one_service;
mod operations;
mod program;
mod proto;
mod serving;
mod several;
mod waiting;
mod waits_apart;
