//! The calls of one connection: who runs them, and who ends them.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError, Weak},
    task::{Context, Poll, Waker},
};

use tokio::task::JoinSet;

/// The calls that did not answer at once. Dropping it ends them.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    waiting: Arc<Mutex<JoinSet<()>>>,
}

impl Calls {
    /// What hyper hands each call to. It holds [`Calls`] weakly: each call holds its executor, and would keep itself alive.
    pub(crate) fn executor(&self) -> Executor {
        Executor { waiting: Arc::downgrade(&self.waiting) }
    }
}

/// Runs each call where it was read, and gives it a task of its own only if it has to wait.
///
/// Most methods answer without waiting. Then the answer is in the connection's buffer before its next write, and a task
/// with its two wake-ups is saved. A method that computes for long holds up its connection until it first waits.
#[derive(Debug, Clone)]
pub(crate) struct Executor {
    waiting: Weak<Mutex<JoinSet<()>>>,
}

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, call: F) {
        let mut call = Box::pin(call);
        // The waker is for nobody: a call that waits is polled once more, in its own task.
        let mut context = Context::from_waker(Waker::noop());
        let polled = catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(&mut context)));
        match polled {
            Ok(Poll::Ready(())) => {}
            Ok(Poll::Pending) => self.spawn(call),
            Err(_) => tracing::error!("a reply panicked while it was written; its call is reset"),
        }
    }
}

impl Executor {
    fn spawn(&self, call: impl Future<Output = ()> + Send + 'static) {
        let Some(waiting) = self.waiting.upgrade() else { return };
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while waiting.try_join_next().is_some() {}
        waiting.spawn(call);
    }
}
