//! Collects the messages of the processes.

use std::{
    collections::HashMap,
    sync::{Arc, MutexGuard},
    time::Duration,
};

use tokio::{
    io::BufReader,
    net::{TcpListener, TcpStream},
    process::Child,
    sync::Mutex,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    history::History,
    process::{Said, next, spawn},
};

/// Longer than anything that a test waits for takes on a busy machine.
const SOON: Duration = Duration::from_mins(1);

/// Tests that use the whole machine run one after the other.
pub(crate) static MACHINE: Mutex<()> = Mutex::const_new(());

/// The messages of all processes so far.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) history: History,
    pub(crate) refusals: u64,
    pub(crate) clocks_set: u64,
    /// Which process has each worker id, by its last ids.
    pub(crate) holders: HashMap<u64, usize>,
    /// How often a worker id changed hands.
    pub(crate) passed_on: u64,
}

impl Notes {
    fn note(&mut self, process: usize, said: &Said) {
        match *said {
            Said::Ids { first, count } => {
                self.history.add(first, count);
                let last = self.holders.insert(worker(first), process);
                self.passed_on += u64::from(last.is_some_and(|last| last != process));
            }
            Said::Refused => self.refusals += 1,
            Said::NoWorker => {}
            Said::ClockSet => self.clocks_set += 1,
        }
    }

    pub(crate) fn holds_a_worker_id(&self, process: usize) -> bool {
        self.holders.values().any(|holder| *holder == process)
    }
}

/// The worker id in an id of the default layout.
pub(crate) fn worker(id: u64) -> u64 {
    id >> 12 & 1_023
}

/// A process, and its number in the notes.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) number: usize,
}

pub(crate) struct Listening {
    listener: TcpListener,
    notes: Arc<std::sync::Mutex<Notes>>,
    /// One for each process that ever was.
    readers: JoinSet<()>,
}

impl Listening {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener, notes: Arc::default(), readers: JoinSet::new() }
    }

    /// Starts a process and listens to it.
    pub(crate) async fn spawn(&mut self, locks: Option<&str>, max_worker: u64) -> Process {
        let child = spawn(self.listener.local_addr().unwrap(), locks, max_worker);
        let (socket, _) = timeout(SOON, self.listener.accept()).await.expect("a process").unwrap();
        let number = self.readers.len();
        self.readers.spawn(read(number, socket, Arc::clone(&self.notes)));
        Process { child, number }
    }

    pub(crate) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap()
    }

    /// Waits until the condition holds.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Notes) -> bool) {
        let waiting = async {
            while !holds(&self.notes()) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(SOON, waiting).await.expect(what);
    }
}

async fn read(process: usize, socket: TcpStream, notes: Arc<std::sync::Mutex<Notes>>) {
    let mut socket = BufReader::with_capacity(1 << 16, socket);
    while let Some(said) = next(&mut socket).await {
        notes.lock().unwrap().note(process, &said);
    }
}
