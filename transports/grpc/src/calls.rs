//! The calls of one connection: who runs them, and who ends them.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError, Weak},
    task::{Context, Poll, Waker},
};

use tokio::task::JoinSet;

type Call = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs each call on its connection's task, and gives it a task of its own only if it has to wait.
///
/// Most methods answer without waiting. All calls that one read brought are answered before the connection writes next,
/// with one system call and without a task and its wake-ups for each. A method that computes for long holds up its
/// connection, and no other.
#[derive(Default)]
pub(crate) struct Calls {
    new: Arc<Mutex<Vec<Call>>>,
    /// What was `new`, while it is being run; it keeps its room.
    starting: Vec<Call>,
    /// Dropping it ends the calls.
    waiting: JoinSet<()>,
}

/// What hyper hands each new call to. Each call holds one, so it is weak: a call would keep itself alive.
#[derive(Clone)]
pub(crate) struct Executor {
    new: Weak<Mutex<Vec<Call>>>,
}

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, call: F) {
        if let Some(new) = self.new.upgrade() {
            new.lock().unwrap_or_else(PoisonError::into_inner).push(Box::pin(call));
        }
    }
}

impl Calls {
    pub(crate) fn executor(&self) -> Executor {
        Executor { new: Arc::downgrade(&self.new) }
    }

    /// Drives `connection`, which has the [`executor`](Self::executor), and its calls. When it ends, its calls do.
    pub(crate) async fn run<T>(mut self, connection: impl Future<Output = T>) -> T {
        let mut connection = pin!(connection);
        poll_fn(|context| {
            let ended = connection.as_mut().poll(context);
            self.start();
            ended
        })
        .await
    }

    /// Starts what the connection has read. What is answered by that wakes the connection to write.
    fn start(&mut self) {
        std::mem::swap(&mut self.starting, &mut *self.new.lock().unwrap_or_else(PoisonError::into_inner));
        for mut call in self.starting.drain(..) {
            // The waker is for nobody: a call that waits is polled once more, in its own task.
            let mut context = Context::from_waker(Waker::noop());
            match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(&mut context))) {
                Ok(Poll::Ready(())) => {}
                Ok(Poll::Pending) => {
                    while self.waiting.try_join_next().is_some() {}
                    self.waiting.spawn(call);
                }
                Err(_) => tracing::error!("a reply panicked while it was written; its call is reset"),
            }
        }
    }
}
