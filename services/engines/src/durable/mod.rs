//! What survives a restart: the highest number handed out, for the locks' fencing tokens and for the ids.
//!
//! The numbers are promised on disk before they are handed out, in blocks: a [`HighWater`] mark stands ahead of them, and no
//! number beyond it leaves the process. So a process that is killed at any moment costs a part of a block and repeats
//! nothing, and the way of a call touches no disk: the next block is promised while the present one lasts.

mod data_dir;
mod high_water;

pub use data_dir::DataDir;
pub use high_water::HighWater;
