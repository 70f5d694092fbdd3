//! The schemes of the ids against real engines, and ids of many processes while everything that can fail does.
//!
//! `EVERYWIRE_IDS=1000000000 cargo test -p everywire-id --features engines --test ids no_id -- --nocapture` is a long run.

#![expect(clippy::unwrap_used, reason = "a test fails where its assumption does, and the helpers are tests too")]

mod cold_starts;
mod history;
mod listening;
mod process;
mod processes;
mod schemes;
