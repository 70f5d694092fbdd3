//! Engines that can't do what they are needed for, and engines that change under a server, each of them real.

#![expect(clippy::unwrap_used, reason = "a test fails where its assumption does, and the helpers are tests too")]

mod failover;
mod log;
mod pooler;
mod start;
mod users;

use std::{
    process::Command,
    time::{Duration, Instant},
};

use everywire_testing::engine::{Engine, Kind};
use tokio::time::sleep;

/// Longer than anything takes that should happen within seconds, on a machine that does much else.
const SOON: Duration = Duration::from_secs(30);

/// Asks until the answer is there.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(since.elapsed() < SOON, "{what}: not within {SOON:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Lets the engine's own client do something; statements of a database are parted by `;`, and each is for itself.
fn client(engine: &Engine, words: &str) -> String {
    let port = engine.port;
    let statements: Vec<_> = words.split(';').map(|words| format!("'{}'", words.replace('\'', r"'\''"))).collect();
    let script = match engine.kind {
        Kind::Redis => format!("redis-cli -p {port} {words}"),
        Kind::Postgres => {
            let psql = "psql -h 127.0.0.1 -U postgres -v ON_ERROR_STOP=1 -qtA";
            format!("{psql} -p {port} -c {}", statements.join(" -c "))
        }
        Kind::MariaDb => format!("mariadb -h 127.0.0.1 -P {port} -u root -e {}", statements.join("';'")),
        Kind::ZooKeeper => unreachable!("no test needs its client"),
    };
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{script}: {said}");
    said
}
