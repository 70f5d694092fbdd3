//! The runtime of the mesh.

use std::{convert::Infallible, io, thread};

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
    task::JoinSet,
};

/// A runtime for the sockets, with one thread.
///
/// The `zeromq` crate keeps subscribers in a map whose locks it holds across an await, and it also takes them in ways that block
/// the thread. With several threads, peers that leave all at once could block every one of them. With one thread, no lock is
/// held when another task runs.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) runtime: Handle,
    /// Aborted on drop. The thread ends when `_lives` is dropped.
    tasks: JoinSet<()>,
    _lives: oneshot::Sender<Infallible>,
}

impl Sockets {
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (handle, (lives, ended)) = (runtime.handle().clone(), oneshot::channel());
        thread::Builder::new().name("mesh".to_owned()).spawn(move || runtime.block_on(ended).err())?;
        Ok(Self { runtime: handle, tasks: JoinSet::new(), _lives: lives })
    }

    /// Spawns a task that is aborted when this is dropped.
    pub(super) fn run(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(task, &self.runtime);
    }
}
