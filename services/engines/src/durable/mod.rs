//! State that survives a restart: the highest number handed out, for fencing tokens and for ids.
//!
//! Numbers are reserved on disk in blocks before they are handed out: a [`HighWater`] mark is ahead of them, and no number beyond
//! it leaves the process. So a process that is killed at any moment wastes part of a block and repeats nothing. Calls do not
//! wait for the disk, because the next block is reserved before the current one is used up.

mod data_dir;
mod high_water;

pub use data_dir::DataDir;
pub use high_water::HighWater;
