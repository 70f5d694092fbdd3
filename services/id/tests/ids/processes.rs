//! Ids of many processes: none comes twice, while processes are killed, stopped and started, clocks jump, and leases are lost.

use std::{
    env,
    time::{Duration, Instant},
};

use tokio::{process::Command, time::sleep};

use crate::{
    listening::{Listening, MACHINE, Notes, Process},
    process::TIMES,
};
use everywire_testing::{
    engine::{Engine, Kind},
    needs,
};

/// Processes that make ids at the same time. There are as many worker ids, so that each is taken over again and again.
const PROCESSES: usize = 4;
const MAX_WORKER: u64 = PROCESSES as u64 - 1;
/// Ids in an ordinary run of the tests.
const IDS: u64 = 100_000_000;
/// A run takes less; on an idle machine it makes several million ids a second.
const RUN_TIME: Duration = Duration::from_hours(1);

/// Processes whose worker ids come from an engine.
struct Cluster {
    engine: Engine,
    listening: Listening,
    processes: Vec<Process>,
}

impl Cluster {
    async fn start() -> Self {
        let (engine, listening) = (Engine::start(Kind::Redis).await, Listening::start().await);
        let mut cluster = Self { engine, listening, processes: Vec::new() };
        for _ in 0..PROCESSES {
            let process = cluster.spawn().await;
            cluster.processes.push(process);
        }
        cluster.all_make_ids().await;
        cluster
    }

    async fn spawn(&mut self) -> Process {
        self.listening.spawn(Some(&self.engine.url()), MAX_WORKER).await
    }

    async fn all_make_ids(&self) {
        let numbers: Vec<_> = self.processes.iter().map(|process| process.number).collect();
        let all_hold = |notes: &Notes| numbers.iter().all(|process| notes.holds_a_worker_id(*process));
        self.until("all have worker ids", all_hold).await;
    }

    /// Waits until the notes say so, or an id comes twice.
    async fn until(&self, what: &str, holds: impl Fn(&Notes) -> bool) {
        self.listening.until(what, |notes| notes.history.twice > 0 || holds(notes)).await;
        let example = self.listening.notes().history.example;
        assert_eq!(example, None, "an id that came twice");
    }

    async fn signal(&self, process: usize, signal: &str) {
        let pid = self.processes[process].child.id().unwrap().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().await.unwrap().success());
    }

    /// Everything fails once.
    async fn fails(&mut self) {
        self.processes.rotate_left(1);
        self.processes_die().await;
        self.a_process_sleeps().await;
        self.a_lease_is_lost().await;
        self.the_engine_is_away().await;
    }

    /// Half of the processes are killed and started again; the worker ids that they had are all that there are for them.
    async fn processes_die(&mut self) {
        for victim in 0..PROCESSES / 2 {
            self.processes[victim].child.kill().await.unwrap();
            self.processes[victim] = self.spawn().await;
        }
        self.all_make_ids().await;
    }

    /// For longer than a worker id is held, but not so long that its lease ends.
    async fn a_process_sleeps(&self) {
        self.signal(0, "-STOP").await;
        sleep(TIMES.hold * 3 / 2).await;
        self.signal(0, "-CONT").await;
    }

    /// A process sleeps until another one has its worker id. It has time to make ids before it is killed, if it would.
    async fn a_lease_is_lost(&mut self) {
        self.signal(1, "-STOP").await;
        let newcomer = self.spawn().await;
        self.until("another one has the worker id", |notes| notes.holds_a_worker_id(newcomer.number)).await;
        let refusals = self.listening.notes().refusals;
        self.signal(1, "-CONT").await;
        self.until("a process that has lost its lease makes no ids", |notes| notes.refusals > refusals).await;
        sleep(TIMES.hold).await;
        self.processes[1].child.kill().await.unwrap();
        self.processes[1] = newcomer;
    }

    /// For longer than worker ids are held.
    async fn the_engine_is_away(&self) {
        let refusals = self.listening.notes().refusals;
        self.engine.signal("STOP");
        self.until("a process that can't renew its lease makes no ids", |notes| notes.refusals > refusals).await;
        sleep(TIMES.hold / 2).await;
        let made = self.listening.notes().history.count;
        self.engine.signal("CONT");
        self.until("ids go on", |notes| notes.history.count > made).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_id_comes_twice() {
    needs!(Redis);
    let _alone = MACHINE.lock().await;
    let ids = env::var("EVERYWIRE_IDS").map_or(IDS, |ids| ids.parse().unwrap());
    let (mut cluster, began) = (Cluster::start().await, Instant::now());
    for rounds in 1.. {
        cluster.fails().await;
        let notes = cluster.listening.notes();
        let (made, took) = (notes.history.count, began.elapsed());
        if made >= ids {
            println!(
                "{made} ids of {PROCESSES} processes in {took:?}; {rounds} times each: {} processes killed and started, one \
                 asleep, one that lost its lease, the engine away; clocks set {} times; worker ids passed on {} times, ids \
                 refused {} times",
                PROCESSES / 2,
                notes.clocks_set,
                notes.passed_on,
                notes.refusals
            );
            assert!(notes.clocks_set > 10 * rounds, "clocks were set {} times only", notes.clocks_set);
            break;
        }
        assert!(took < RUN_TIME, "{made} ids in {took:?}");
    }
}

/// The same search finds what leases prevent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_leases_ids_come_twice() {
    needs!(Redis);
    let _alone = MACHINE.lock().await;
    let mut listening = Listening::start().await;
    let _two = [listening.spawn(None, 0).await, listening.spawn(None, 0).await];
    listening.until("processes with one worker id make the same ids", |notes| notes.history.twice > 0).await;
}
