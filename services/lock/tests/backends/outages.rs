//! Watches and holds when an engine is suspended, a server dies, or somebody removes a lock in the engine itself.

use std::{
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use everywire_core::Code;
use everywire_lock::{
    Backend, Holds,
    LockEvent::{Expired, Found, Released},
    Locks, Request,
};
use everywire_testing::engine::{Engine, Kind};

use crate::{
    bench::{LONG, ms_since, pause, soon},
    operations::Subject,
};

const TTL: u64 = 4_000;

fn signal(subject: &Subject, signal: &str) {
    for engine in &subject.engines {
        engine.signal(signal);
    }
}

/// The engine is suspended in the middle of a hold. Its loss is told before the lease has ended, and so before another gets the
/// lock.
pub(crate) async fn a_loss_is_told_before_another_has_the_lock(subject: &Subject) {
    let (name, other) = (subject.name, subject.at(1, "suspended"));
    let (mut hold, _) = subject.at(0, "suspended").hold("a", TTL).await;
    let renewed = Instant::now();
    hold.next().await.unwrap().unwrap();
    let mut watch = subject.at(1, "suspended").watch().await;
    watch.sees(Found, Some("a")).await;
    signal(subject, "STOP");
    let error = hold.end().await;
    let (told, after) = (Instant::now(), ms_since(renewed));
    signal(subject, "CONT");
    let granted = soon("a grant", async {
        loop {
            let request = other.request("b", LONG);
            if other.locks.lock(request, Duration::from_secs(1)).await.is_ok_and(|grant| grant.granted) {
                return Instant::now();
            }
        }
    });
    let granted = granted.await;
    println!("{name}: the loss is told after {after} ms, {:?} before another has the lock", granted - told);
    assert_eq!(error.code(), Code::Aborted, "{name}: {error}");
    assert!(error.message().starts_with("the lock `suspended` with token "), "{name}: {error}");
    assert!(granted > told + Duration::from_millis(TTL / 20), "{name}: told {:?} before", granted - told);
    drop(hold);
    pause(TTL + 500).await;
    let state = subject.at(0, "suspended").state().await;
    assert_eq!(state.owner.as_deref(), Some("b"), "{name}: the one that lost it takes it from nobody");
    // The watch has either found the lock again or ended with an error.
    while let Ok(change) = watch.next().await {
        if change.owner.as_deref() == Some("b") {
            break;
        }
    }
}

/// A stream ends while the engine does not reply. The lock is released once it does, and not left to its lease.
pub(crate) async fn a_release_outlasts_an_outage(subject: &Subject) {
    let (hold, _) = subject.at(0, "outage").hold("a", LONG).await;
    signal(subject, "STOP");
    drop(hold);
    pause(4_000).await;
    signal(subject, "CONT");
    let at = subject.at(1, "outage");
    let freed = soon("a free lock", async {
        while at.locks.state(&at.name).await.is_ok_and(|state| state.held) {
            pause(20).await;
        }
    });
    freed.await;
}

/// A server is killed: its locks end with their leases, and not sooner.
pub(crate) async fn a_dead_server_holds_nothing_for_long(subject: &Subject, url: &str) {
    const TTL: u64 = 3_000;
    let url = url.to_owned();
    let dying = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let holds = Holds::new(Arc::new(Backend::connect(&url).await.unwrap()));
            let request = Request::new("orphan".to_owned(), TTL, Some("a".to_owned())).unwrap();
            let mut hold = holds.hold(request, Duration::ZERO).await.unwrap();
            hold.next().await.unwrap().unwrap();
            hold.next().await.unwrap().unwrap();
            std::mem::forget((hold, holds));
        });
        // Its tasks end here, as with the process, and no code of theirs runs any more.
        runtime.shutdown_background();
    });
    tokio::task::spawn_blocking(|| dying.join().unwrap()).await.unwrap();
    let (start, at) = (Instant::now(), subject.at(0, "orphan"));
    assert_eq!(at.state().await.owner.as_deref(), Some("a"), "{}", subject.name);
    assert!(at.lock("b", LONG, LONG).await.granted);
    let waited = ms_since(start);
    assert!((TTL / 2..TTL + 4_000).contains(&waited), "{}: {waited} ms", subject.name);
}

/// Somebody removes a lock in the engine itself, which reports it to nobody. A watch finds it within its interval, and a hold
/// with its next renewal.
pub(crate) async fn a_removed_lock_is_lost(subject: &Subject) {
    let (name, start) = (subject.name, Instant::now());
    let mut watch = subject.at(1, "removed").watch().await;
    watch.sees(Found, None).await;
    let (mut hold, _) = subject.at(0, "removed").hold("a", TTL).await;
    assert_eq!(watch.next().await.unwrap().owner.as_deref(), Some("a"), "{name}");
    subject.engines.iter().for_each(remove);
    let error = hold.end().await;
    assert_eq!(error.code(), Code::Aborted, "{name}: {error}");
    let change = watch.next().await.unwrap();
    // If it is found only when the lease would have ended, it counts as expired.
    assert!(matches!(change.event, Released | Expired) && !change.held, "{name}: {change:?}");
    assert!(ms_since(start) < 12_000, "{name}: {} ms", ms_since(start));
}

/// Removes the lock `removed` with the engine's own client.
fn remove(engine: &Engine) {
    let port = engine.port;
    let script = match engine.kind {
        Kind::Redis => format!("redis-cli -p {port} del everywire:lock:removed"),
        Kind::Postgres => format!(
            "psql -h 127.0.0.1 -p {port} -U postgres -c \"update everywire.locks set until = 0 where name = 'removed'\""
        ),
        Kind::MariaDb => format!(
            "mariadb -h 127.0.0.1 -P {port} -u root test -e \"update everywire_locks set until = 0 where name = 'removed'\""
        ),
        Kind::ZooKeeper => {
            // The name in hexadecimal digits.
            let path = "72656d6f766564";
            format!(
                "java -cp '/usr/share/java/zookeeper.jar:/usr/share/java/*' org.apache.zookeeper.ZooKeeperMain \
                    -server 127.0.0.1:{port} delete /everywire/locks/{path}/holder"
            )
        }
    };
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
