//! Locks, and ids, of several servers on one engine: what they promise, while everything that can fail does.
//!
//! `EVERYWIRE_FAULTS=2000 cargo test --features engines --test locks -- --nocapture` is a long run.

#![expect(clippy::unwrap_used, reason = "a test fails where its assumption does, and the helpers are tests too")]

mod checker;
mod clients;
#[path = "../../services/tests/locks/engine.rs"]
mod engine;
mod faults;
mod history;
mod ids;
mod museum;
mod proxy;
#[path = "../seeded.rs"]
mod seeded;
mod servers;
#[path = "../serving.rs"]
mod serving;
#[path = "../soon.rs"]
mod soon;
mod store;
mod survival;
mod textbook;
mod two_servers;
