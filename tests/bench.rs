//! `everywire bench`, and whether its harness measures what it says: a server that stops, a method that is slow.

use std::{fs, path::Path, process::Stdio, sync::Arc, time::Duration};

use everywire_benches::{
    load,
    process::Process,
    result::{Kind, Results, Series},
    run::{own_targets, started},
    target::{Target, Work},
};
use tokio::process::Command;

use crate::{
    harness::broker,
    program::{run, run_long, signal},
    serving::PROGRAM,
};
use everywire_testing::{needs, soon};

/// The program's server, and the wires on it.
async fn server() -> (Process, Vec<Target>) {
    let mut command = Command::new(PROGRAM);
    command.arg("bench-server");
    let (addresses, server) = started(command).await.unwrap();
    let targets = own_targets(&addresses, &[], server.pid()).unwrap();
    (server, targets)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_shows_in_the_open_loop() {
    const RATE: f64 = 500.0;
    let (server, targets) = server().await;
    let pid = server.pid().unwrap();
    for target in targets.iter().filter(|target| !target.address.is_empty()) {
        let client = soon(target.name, target.connect()).await.unwrap();
        let clients = [Arc::new(client)];
        let stopping = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            signal(pid, "-STOP").await;
            tokio::time::sleep(Duration::from_millis(200)).await;
            signal(pid, "-CONT").await;
        };
        let loading = load::open(&clients, &Work::Add, RATE, Duration::from_millis(900), 1);
        let (sample, ()) = soon(target.name, async { tokio::join!(loading, stopping) }).await;
        let sample = sample.unwrap();
        assert_eq!(sample.errors, 0, "{}: {:?}", target.name, sample.first_error);
        // Of the calls that were due within the 200 ms, those of the first 150 ms took 50 ms and more: about 75.
        let late = sample.times.count_between(50_000_000, u64::MAX);
        assert!(late > 50, "{}: {late} of {} calls were late", target.name, sample.times.len());
        assert!(sample.micros(1.0) > 150_000.0, "{}: at most {} µs", target.name, sample.micros(1.0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_method_is_as_slow_as_it_is() {
    let (_server, targets) = server().await;
    for target in targets.iter().filter(|target| target.name != "tcp") {
        let clients = [Arc::new(soon(target.name, target.connect()).await.unwrap())];
        let loading = load::closed(&clients, 4, &Work::Slow(50), Duration::from_millis(300));
        let sample = soon(target.name, loading).await.unwrap();
        let (least, median) = (sample.micros(0.0), sample.micros(0.5));
        assert!(least > 49_900.0 && median < 200_000.0, "{}: from {least} µs, median {median} µs", target.name);
        assert!((8..=24).contains(&sample.times.len()), "{}: {} calls", target.name, sample.times.len());
    }
}

fn results(dir: &Path) -> Results {
    Results::read(&fs::read_to_string(dir.join("results.json")).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn bench_measures_every_wire_and_compares() {
    needs!(RabbitMq);
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().to_str().unwrap();
    let broker = &broker().await.url;
    let flags = ["bench", "--rounds", "1", "--seconds", "6", "--concurrency", "1,4", "--out", out, "--amqp", broker];
    let (success, text, err) = run_long(&flags).await;
    assert!(success, "{err}");
    let results = results(dir.path());
    assert!(!results.interrupted && results.missing.is_empty(), "{:?}", results.missing);
    for wire in ["xmlrpc", "jsonrpc-http", "jsonrpc-ws", "grpc", "zerorpc", "amqp"] {
        let info = results.targets.iter().find(|target| target.name == wire).expect(wire);
        assert_eq!(info.kind, Kind::Wire, "{wire}");
        assert!(text.contains(&info.label), "{text}");
        for (series, points) in [
            (Series::Closed, 2),
            (Series::Open, 4),
            (Series::Payload, 5),
            (Series::Numbers, 3),
            (Series::Items, 3),
            (Series::Ids, 2),
        ] {
            assert_eq!(results.points(wire, series).len(), points, "{wire}: {series:?}");
        }
        assert_eq!(results.costs.iter().filter(|cost| cost.target == wire).count(), 2, "{wire}");
        let counted = results.traffic.iter().any(|traffic| traffic.target == wire && traffic.sent > 20.0);
        assert_eq!(counted, wire != "amqp", "{wire}: a broker's bytes are not those of a call");
    }
    let measured = &results.measurements;
    assert!(measured.iter().all(|one| one.errors == 0 && one.calls > 0 && one.micros.len() == results.quantiles.len()));
    let csv = fs::read_to_string(dir.path().join("results.csv")).unwrap();
    let columns = |line: &str| line.split(',').count();
    assert_eq!(csv.lines().count(), measured.len() + 1);
    assert!(csv.lines().all(|line| columns(line) == columns(csv.lines().next().unwrap())), "{csv}");
    let page = fs::read_to_string(dir.path().join("report.html")).unwrap();
    assert!(
        text.contains("next_ids(1000), ids/s") && text.contains("| Leaf, as claimed, on 4 cores | 50,000 |"),
        "{text}"
    );
    for part in [
        "<svg",
        "<h2>Ids</h2>",
        "XML-RPC is slow because of HTTP and XML",
        "ZeroMQ is quick",
        "Honest limits",
        "not optimized",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("NaN") && !page.contains("<script") && !page.contains("src="), "self-contained");

    let old = dir.path().join("results.json");
    let flags = [&flags[..], &["--wires", "zerorpc", "--compare", old.to_str().unwrap()]].concat();
    let (success, text, err) = run_long(&flags).await;
    assert!(success && text.contains("changed"), "{text}{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_bench_writes_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["bench", "--quick", "--out", dir.path().to_str().unwrap()]).stdout(Stdio::piped()).kill_on_drop(true);
    let mut bench = command.spawn().unwrap();
    let pid = bench.id().unwrap();
    // Once its server runs, it listens for the signal too.
    let threads = || fs::read_dir(format!("/proc/{pid}/task")).unwrap().map(|thread| thread.unwrap().path());
    let has_child =
        || threads().any(|thread| fs::read_to_string(thread.join("children")).is_ok_and(|ids| !ids.is_empty()));
    soon("the server", async {
        while !has_child() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    signal(pid, "-INT").await;
    assert!(soon("the end", bench.wait()).await.unwrap().success());
    let results = results(dir.path());
    assert!(results.interrupted);
    let page = fs::read_to_string(dir.path().join("report.html")).unwrap();
    assert!(page.contains("ended early"), "{page}");
}

#[tokio::test]
async fn bench_refuses_what_it_does_not_know() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().to_str().unwrap();
    for (flags, expected) in [
        (&["--wires", "carrier-pigeon"][..], "`carrier-pigeon` is no wire; there are xmlrpc, jsonrpc-http"),
        (&["--compare", "/nowhere/results.json"], "can't read /nowhere/results.json"),
        (&["--rounds", "0"], "0 is not in 1..=100"),
    ] {
        let (success, _, err) = run(&[&["bench", "--out", out], flags].concat()).await;
        assert!(!success && err.contains(expected), "{flags:?}: {err}");
    }
}
