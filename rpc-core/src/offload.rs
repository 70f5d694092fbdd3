//! Runs long synchronous work without blocking other tasks on the worker thread.

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::block_in_place,
};

/// Work on more bytes than this is offloaded. Decoding this many takes about as long as moving the thread's other tasks.
pub(crate) const LONG_BYTES: usize = 64 << 10;

/// Runs `work`, which handles `bytes` bytes, and returns its result.
///
/// Work on many bytes may take milliseconds without yielding. Meanwhile another thread takes over the other tasks of this one,
/// unless the runtime has a single thread.
#[inline]
pub fn offload<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    offload_if(bytes > LONG_BYTES, work)
}

/// Does the same where the caller knows whether the work is long.
#[inline]
pub(crate) fn offload_if<T>(long: bool, work: impl FnOnce() -> T) -> T {
    let has_others = || Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    if long && has_others() { block_in_place(work) } else { work() }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(30);

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn other_tasks_run_during_long_work() {
        let (sender, receiver) = mpsc::channel();
        let long = tokio::spawn(async move { offload(LONG_BYTES + 1, || receiver.recv_timeout(DEADLINE)) });
        tokio::spawn(async move { sender.send(7) }).await.unwrap().expect("the long work waits for it");
        assert_eq!(long.await.unwrap(), Ok(7));
    }

    #[tokio::test]
    async fn a_runtime_with_one_thread_runs_the_work_too() {
        assert_eq!(offload(LONG_BYTES + 1, || 7), 7);
    }
}
