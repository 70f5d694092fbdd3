//! Limiters of several servers: what they promise together, and what the network makes of it.

#![expect(clippy::unwrap_used, reason = "a test fails where its assumption does, and the helpers are tests too")]

mod mesh;
mod processes;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../serving.rs"]
mod serving;
mod strict;
mod windows;
