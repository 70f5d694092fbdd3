//! The tests of the whole: every wire at once, in one binary.

mod contract;
mod errors;
mod extremes;
mod harness;
mod interop;
mod one_service;
mod program;
mod proto;
