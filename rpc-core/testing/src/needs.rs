//! What tests need besides this workspace, and whether it is installed.

use std::{
    collections::BTreeSet,
    env, fs,
    io::{Write, stderr},
    path::Path,
    sync::{Mutex, PoisonError},
};

/// With this variable set, as `tests/run` does, a test fails if anything that it needs is missing.
const REQUIRE_ALL: &str = "EVERYWIRE_REQUIRE_ALL";

const TARGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target");

/// What a test may need. `tests/install` installs all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    RabbitMq,
    Redis,
    Postgres,
    MariaDb,
    ZooKeeper,
    PgBouncer,
    /// libfaketime, for an engine with a clock of its own.
    FakeTime,
    /// Python and Node with the packages of the foreign clients and servers.
    Foreign,
}

impl Need {
    fn name(self) -> &'static str {
        match self {
            Self::RabbitMq => "RabbitMQ",
            Self::Redis => "Redis",
            Self::Postgres => "PostgreSQL",
            Self::MariaDb => "MariaDB",
            Self::ZooKeeper => "ZooKeeper",
            Self::PgBouncer => "PgBouncer",
            Self::FakeTime => "libfaketime",
            Self::Foreign => "a foreign client",
        }
    }

    fn is_installed(self) -> bool {
        match self {
            Self::RabbitMq => Path::new("/usr/lib/rabbitmq/bin/rabbitmq-server").exists(),
            Self::Redis => on_path("redis-server"),
            Self::Postgres => fs::read_dir("/usr/lib/postgresql").is_ok_and(|mut versions| versions.next().is_some()),
            Self::MariaDb => on_path("mariadbd"),
            Self::ZooKeeper => on_path("java") && Path::new("/usr/share/java/zookeeper.jar").exists(),
            Self::PgBouncer => on_path("pgbouncer"),
            Self::FakeTime => on_path("faketime"),
            Self::Foreign => {
                ["python/installed.txt", "node/installed.txt"].iter().all(|file| Path::new(TARGET).join(file).exists())
            }
        }
    }

    /// Whether it is there. If it isn't, says so once in each test program, past what captures a test's output.
    ///
    /// # Panics
    /// If it is missing and everything is required.
    pub fn is_met(self) -> bool {
        static SAID: Mutex<BTreeSet<Need>> = Mutex::new(BTreeSet::new());
        if self.is_installed() {
            return true;
        }
        assert!(env::var_os(REQUIRE_ALL).is_none(), "{} is not installed; `tests/install` installs it", self.name());
        if SAID.lock().unwrap_or_else(PoisonError::into_inner).insert(self) {
            // In one write, so that no other test's line comes between.
            let _ = stderr().write_all(format!("skipped: {} is not installed\n", self.name()).as_bytes());
        }
        false
    }
}

fn on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).chain(["/usr/sbin".into()]).any(|folder| folder.join(program).exists())
}

/// Ends a test early unless all that it needs is installed: `needs!(RabbitMq, Redis)`.
#[macro_export]
macro_rules! needs {
    ($($need:ident),+) => {
        if [$($crate::needs::Need::$need),+].iter().any(|need| !need.is_met()) {
            return;
        }
    };
}
