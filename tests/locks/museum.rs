//! Locks that break, and ours in the same scene.
