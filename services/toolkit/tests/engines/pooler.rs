//! `PgBouncer` between a server and PostgreSQL.

use std::{fmt::Write, fs, os::unix::fs::PermissionsExt, process::Stdio};

use everywire_core::Code;
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

use crate::{until, users::Use};
use everywire_testing::{
    engine::{Engine, Kind, free_port},
    needs,
};

/// A `PgBouncer`, which ends when it is dropped.
struct Pooler {
    port: u16,
    _running: Child,
    _home: TempDir,
}

impl Pooler {
    async fn to(engine: &Engine, settings: &[&str]) -> Self {
        let (port, home) = (free_port(), tempfile::tempdir().unwrap());
        let mut ini = format!(
            "[databases]\npostgres = host=127.0.0.1 port={} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = \
             {port}\nunix_socket_dir =\nauth_type = any\n",
            engine.port
        );
        for setting in settings {
            writeln!(ini, "{setting}").unwrap();
        }
        let file = home.path().join("pgbouncer.ini");
        fs::write(&file, ini).unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        // It does not run as root.
        let script = r#"
            as=; [ "$(id -u)" != 0 ] || as="setpriv --reuid=postgres --regid=postgres --clear-groups"
            exec $as pgbouncer -q "$0""#;
        let running = Command::new("bash")
            .args(["-c", script, file.to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        until("a PgBouncer; `tests/install` installs it", async || TcpStream::connect(("127.0.0.1", port)).await.ok())
            .await;
        Self { port, _running: running, _home: home }
    }

    fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_is_used_for_what_it_can() {
    needs!(Postgres, PgBouncer);
    let engine = Engine::start(Kind::Postgres).await;
    let ignored = "ignore_startup_parameters = options";
    let transactions = Pooler::to(&engine, &["pool_mode = transaction", ignored]).await;
    let error = Use::Locks.connect(&transactions.url()).await.err().unwrap();
    assert_eq!(error.code(), Code::FailedPrecondition, "{error}");
    let expected =
        format!("postgres://127.0.0.1:{}: no NOTIFY reaches a LISTEN: a pooler in transaction mode", transactions.port);
    assert!(error.message().starts_with(&expected), "{error}");
    let sessions = Pooler::to(&engine, &["pool_mode = session", ignored]).await;
    for (used, pooler) in [(Use::Locks, &sessions), (Use::Segments, &transactions), (Use::Increments, &transactions)] {
        used.connect(&pooler.url()).await.unwrap().call().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_ignores_nothing_says_what_it_does_not_know() {
    needs!(Postgres, PgBouncer);
    let engine = Engine::start(Kind::Postgres).await;
    let pooler = Pooler::to(&engine, &["pool_mode = session"]).await;
    for used in [Use::Locks, Use::Segments] {
        let error = used.connect(&pooler.url()).await.err().unwrap();
        assert!(error.message().contains("unsupported startup parameter: options"), "{error}");
    }
}
