//! A process that makes ids until it is killed, on a clock that jumps. It is this test's program, run again.

use std::{
    env,
    net::SocketAddr,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use everywire_id::{Clock, LeaseTimes, Settings, Snowflake, SystemClock, WorkerLease};
use everywire_lock::Backend;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
    sync::Mutex,
    time::sleep,
};

/// Long enough for a lease that is renewed under load, short enough to be lost in a test.
pub(crate) const TIMES: LeaseTimes = LeaseTimes { hold: Duration::from_secs(1), rest: Duration::from_secs(2) };
/// The most that a clock differs from the real one: two of them differ by less than `rest`.
const JUMP_MS: u64 = 900;
const TO: &str = "EVERYWIRE_IDS_TO";
const LOCKS: &str = "EVERYWIRE_IDS_LOCKS";
const MAX_WORKER: &str = "EVERYWIRE_IDS_MAX_WORKER";

/// Starts a process that sends ids to the listener at `to`: with a worker id of those up to `max_worker` from the locks at
/// a URL, or with worker id 0.
pub(crate) fn spawn(to: SocketAddr, locks: Option<&str>, max_worker: u64) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "process::makes_ids"]).env(TO, to.to_string());
    command.env(LOCKS, locks.unwrap_or_default()).env(MAX_WORKER, max_worker.to_string());
    command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap()
}

/// A message of a process.
pub(crate) enum Said {
    /// Consecutive ids.
    Ids { first: u64, count: u64 },
    /// Its call for ids failed.
    Refused,
    /// It could not get a worker id.
    NoWorker,
    /// Its clock was set.
    ClockSet,
}

impl Said {
    /// Messages other than ids have the count 0.
    fn bytes(&self) -> [u8; 16] {
        let (first, count) = match *self {
            Self::Ids { first, count } => (first, count),
            Self::Refused => (0, 0),
            Self::NoWorker => (1, 0),
            Self::ClockSet => (2, 0),
        };
        (u128::from(count) << 64 | u128::from(first)).to_le_bytes()
    }
}

/// The next message of a process; `None` after its end.
pub(crate) async fn next(from: &mut (impl AsyncReadExt + Unpin)) -> Option<Said> {
    let (first, count) = (from.read_u64_le().await.ok()?, from.read_u64_le().await.ok()?);
    Some(match (first, count) {
        (0, 0) => Said::Refused,
        (1, 0) => Said::NoWorker,
        (_, 0) => Said::ClockSet,
        _ => Said::Ids { first, count },
    })
}

/// A clock that is set forward and back.
#[derive(Default)]
struct JumpingClock {
    real: SystemClock,
    /// From the earliest time that it may show.
    ahead_ms: Arc<AtomicU64>,
}

impl Clock for JumpingClock {
    fn now(&self) -> SystemTime {
        self.real.now() - Duration::from_millis(JUMP_MS) + Duration::from_millis(self.ahead_ms.load(Relaxed))
    }

    async fn sleep(&self, time: Duration) {
        self.real.sleep(time).await;
    }
}

type Ear = Arc<Mutex<TcpStream>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it is what other tests run as a process of its own"]
async fn makes_ids() {
    let to = Arc::new(Mutex::new(TcpStream::connect(env::var(TO).unwrap()).await.unwrap()));
    let (locks, clock) = (env::var(LOCKS).unwrap(), JumpingClock::default());
    tokio::spawn(jump(Arc::clone(&clock.ahead_ms), Arc::clone(&to)));
    let mut ids = Snowflake::on_clock(Settings::default(), clock).unwrap();
    if !locks.is_empty() {
        ids = ids.leased(lease(&to, &locks, env::var(MAX_WORKER).unwrap().parse().unwrap()).await);
    }
    loop {
        match ids.next_many(1 + random() % 50_000).await {
            Ok(ids) => to.lock().await.write_all(&runs(&ids)).await.unwrap(),
            Err(_) => refused(&to, Said::Refused).await,
        }
    }
}

async fn lease(to: &Ear, locks: &str, max_worker: u64) -> WorkerLease {
    loop {
        let lease = async { WorkerLease::acquire(Arc::new(Backend::connect(locks).await?), max_worker, TIMES).await };
        match lease.await {
            Ok(lease) => return lease,
            Err(_) => refused(to, Said::NoWorker).await,
        }
    }
}

async fn refused(to: &Ear, what: Said) {
    to.lock().await.write_all(&what.bytes()).await.unwrap();
    sleep(Duration::from_millis(20)).await;
}

async fn jump(ahead_ms: Arc<AtomicU64>, to: Ear) {
    loop {
        ahead_ms.store(u64::from(random()) % (2 * JUMP_MS), Relaxed);
        to.lock().await.write_all(&Said::ClockSet.bytes()).await.unwrap();
        sleep(Duration::from_millis(u64::from(random() % 700))).await;
    }
}

fn random() -> u32 {
    uuid::Uuid::new_v4().as_fields().0
}

/// Each run of consecutive ids.
fn runs(ids: &[u64]) -> Vec<u8> {
    let runs = ids.chunk_by(|one, next| one + 1 == *next);
    runs.flat_map(|run| Said::Ids { first: run[0], count: run.len() as u64 }.bytes()).collect()
}
