//! Limiters of several servers: what they promise together, and what the network makes of it.

#![expect(clippy::unwrap_used, reason = "a test fails where its assumption does, and the helpers are tests too")]

#[expect(dead_code, reason = "the locks' tests use all of it")]
#[path = "../../services/tests/locks/engine.rs"]
mod engine;
mod mesh;
mod processes;
#[expect(dead_code, reason = "the locks' tests use the rest")]
#[path = "../locks/proxy.rs"]
mod proxy;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../serving.rs"]
mod serving;
#[path = "../soon.rs"]
mod soon;
mod strict;
mod windows;
