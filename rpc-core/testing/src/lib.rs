//! Helpers that the tests of several crates share: an echo service, the replay of a fuzz corpus, deadlines and seeded random
//! numbers. The feature `servers` adds real engines, a RabbitMQ broker, whether they are installed, and a faulty network in front of them; `model` adds random
//! operations that are checked against a model.

#![allow(missing_docs, reason = "tests are its only users")]
#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test fails where its assumption does")]

#[cfg(feature = "servers")]
pub mod broker;
mod deadline;
#[cfg(feature = "servers")]
pub mod engine;
#[cfg(feature = "model")]
pub mod model;
#[cfg(feature = "servers")]
pub mod needs;
#[cfg(feature = "servers")]
pub mod proxy;
pub mod seeded;
mod specimen;

pub use deadline::soon;
pub use specimen::{
    Choice, Colour, Echo, EchoClient, EchoService, Echoing, Part, Several, Specimen, assert_same, at_once, replay,
};

/// Runs `work` on a runtime of its own, as one process from start to end, background tasks included.
pub fn life<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(work)
}
