//! Long work that doesn't hold up what else waits on its thread.

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::block_in_place,
};

/// Work on more bytes is done aside. Decoding so many takes about as long as handing the thread's other work on.
pub(crate) const LONG_BYTES: usize = 64 << 10;

/// What `work` on so many bytes results in. While it works on many, which may take milliseconds without a pause, another
/// thread goes on with the connections and calls of this one. A runtime with one thread has no other.
pub fn aside<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    aside_if(bytes > LONG_BYTES, work)
}

/// The same for work of which is known whether it is long.
pub(crate) fn aside_if<T>(long: bool, work: impl FnOnce() -> T) -> T {
    let has_others = || Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    if long && has_others() { block_in_place(work) } else { work() }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(30);

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn the_only_thread_goes_on_beside_long_work() {
        let (sender, receiver) = mpsc::channel();
        let long = tokio::spawn(async move { aside(LONG_BYTES + 1, || receiver.recv_timeout(DEADLINE)) });
        tokio::spawn(async move { sender.send(7) }).await.unwrap().expect("the long work waits for it");
        assert_eq!(long.await.unwrap(), Ok(7));
    }

    #[tokio::test]
    async fn a_runtime_of_one_thread_works_all_the_same() {
        assert_eq!(aside(LONG_BYTES + 1, || 7), 7);
    }
}
