//! Locks, and ids, of several servers on one engine: what they promise, while everything that can fail does.
//!
//! `EVERYWIRE_FAULTS=2000 cargo test --features engines --test locks -- --nocapture` is a long run.

#![expect(clippy::unwrap_used, reason = "a test fails where its assumption does, and the helpers are tests too")]

mod checker;
mod clients;
mod faults;
mod history;
mod ids;
mod pitfalls;
mod servers;
#[path = "../serving.rs"]
mod serving;
mod store;
mod survival;
mod textbook;
mod two_servers;
