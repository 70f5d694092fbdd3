//! What the tests of several crates share.
//!
//! A service whose methods give their arguments back, and the replay of a fuzz corpus; deadlines; chance that a seed repeats;
//! with the feature `servers` real engines, a RabbitMQ and the network before them; with `model` random operations beside a
//! model.

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
pub mod proxy;
pub mod seeded;
mod specimen;

pub use deadline::soon;
pub use specimen::{
    Choice, Colour, Echo, EchoClient, EchoService, Echoing, Part, Several, Specimen, assert_same, at_once, replay,
};

/// Runs what one process does between its start and its end, tasks in the background included.
pub fn life<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(work)
}
