//! A data directory that can't be written for a while: what needs no higher mark goes on, and all does once it can.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    time::{Duration, Instant},
};

use everywire::{Caller, Code};
use everywire_toolkit::{Toolkit, ToolkitClient};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::process::Command;

use super::{Clients, Log, cpu_time};
use crate::{
    harness::soon,
    program::{Serving, run_after},
};

const REFUSED: &str = "the server can't write to its data directory; its log says why";

/// The next id over each wire that has ids, in this order, or the codes and messages of the errors.
async fn ids(clients: &Clients) -> Vec<(&'static str, Result<u64, (Code, String)>)> {
    async fn id<C: Caller>(
        wire: &'static str,
        client: &ToolkitClient<C>,
    ) -> (&'static str, Result<u64, (Code, String)>) {
        let id = soon(wire, client.next_id()).await;
        (wire, id.map_err(|error| (error.code(), error.message().to_owned())))
    }
    vec![
        id("xmlrpc", &clients.xmlrpc).await,
        id("jsonrpc over HTTP", &clients.jsonrpc).await,
        id("jsonrpc over WebSocket", &clients.websocket).await,
        id("grpc", &clients.grpc).await,
        id("zerorpc", &clients.zerorpc).await,
    ]
}

/// The highest of ids that grow from wire to wire.
async fn last_id(clients: &Clients, mut last: u64) -> u64 {
    for (wire, id) in ids(clients).await {
        let id = id.unwrap_or_else(|error| panic!("{wire}: {error:?}"));
        assert!(id > last, "{wire}: {id} after {last}");
        last = id;
    }
    last
}

/// Draws ids until the present mark is used up; returns the last of them.
async fn used_up(clients: &Clients) -> u64 {
    let mut last = 0;
    soon("the end of the mark", async {
        while let Ok(id) = clients.grpc.next_id().await {
            last = id;
        }
    })
    .await;
    last
}

/// Every wire refuses ids and does all the rest, without effort.
async fn goes_on_without_ids(serving: &Serving, clients: &mut Clients) {
    for (wire, id) in ids(clients).await {
        assert_eq!(id, Err((Code::Unavailable, REFUSED.to_owned())), "{wire}");
    }
    clients.are_answered().await;
    assert!(clients.zerorpc.lock("job".into(), 1, None, None).await.unwrap().granted, "a block of tokens is left");
    let (before, began) = (cpu_time(serving), Instant::now());
    while began.elapsed() < Duration::from_secs(1) {
        ids(clients).await;
    }
    let spent = cpu_time(serving).saturating_sub(before);
    assert!(spent < Duration::from_millis(500), "{spent:?} of CPU time in {:?}", began.elapsed());
}

/// What the log says of one failure.
async fn one_failure(log: &mut Log, reason: &str) {
    let line = log.line("a mark can't be written").await;
    assert!(line.contains(reason) && line.contains("everywire.redb"), "{line}");
    assert!(log.next().await.contains("marks can be written again"), "the tries in between are not logged");
}

fn limit_files(serving: &Serving, most: Option<u64>) {
    let pid = Pid::from_raw(serving.child.id().unwrap().try_into().unwrap());
    prlimit(pid, Resource::Fsize, Rlimit { current: most, maximum: None }).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_fail_are_made_up_for_without_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let flags = ["--data-dir", home.path().to_str().unwrap()];
    // Files that may not grow are a full disk to whoever writes them; the signal about it ends a program by default.
    let mut serving = Serving::start_after("trap '' XFSZ", &flags).await;
    let mut log = Log::of(&mut serving.child);
    let mut clients = Clients::of(&serving).await;
    let token = clients.xmlrpc.lock("before".into(), 60_000, None, None).await.unwrap().token;
    limit_files(&serving, Some(0));
    let last = used_up(&clients).await;
    goes_on_without_ids(&serving, &mut clients).await;
    limit_files(&serving, None);
    let last = last_id(&clients, last).await;
    one_failure(&mut log, "File too large").await;
    serving.child.kill().await.unwrap();
    let serving = Serving::start(&flags).await;
    let clients = Clients::of(&serving).await;
    last_id(&clients, last).await;
    assert!(clients.grpc.lock("after".into(), 60_000, None, None).await.unwrap().token > token);
}

/// What a shell has to do so that the program sees mounts of its own, without which nobody but root may mount.
fn with_mounts(commands: &str) -> String {
    format!(r#"exec unshare -rm sh -c '{commands} && exec "$0" "$@"' "$0" "$@""#)
}

async fn may_mount() {
    let output = soon("unshare", Command::new("unshare").args(["-rm", "true"]).output()).await;
    let refused = match &output {
        Ok(output) if output.status.success() => return,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    panic!("this test mounts, and needs root or user namespaces for `unshare -rm`: {refused}");
}

/// Runs `commands` among the program's mounts.
async fn among_mounts(serving: &Serving, commands: &str) {
    let pid = serving.child.id().unwrap().to_string();
    let mut shell = Command::new("nsenter");
    shell.args(["--preserve-credentials", "-U", "-m", "-t", &pid, "sh", "-c", commands]);
    assert!(soon(commands, shell.status()).await.unwrap().success(), "{commands}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_that_turns_read_only_is_waited_for() {
    may_mount().await;
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().to_str().unwrap();
    let mount = with_mounts(&format!("mount -t tmpfs -o size=1m none {dir}"));
    let mut serving = Serving::start_after(&mount, &["--data-dir", dir]).await;
    let mut log = Log::of(&mut serving.child);
    let mut clients = Clients::of(&serving).await;
    let filler = format!("/proc/{}/root{dir}/filler", serving.child.id().unwrap());
    assert!(clients.grpc.lock("before".into(), 60_000, None, None).await.unwrap().granted);
    let full = File::create(&filler).unwrap().write_all(&vec![0; 1 << 20]).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::StorageFull, "{full}");
    let last = used_up(&clients).await;
    goes_on_without_ids(&serving, &mut clients).await;
    among_mounts(&serving, &format!("mount --bind {dir} {dir} && mount -o remount,bind,ro {dir}")).await;
    fs::remove_file(&filler).unwrap_err();
    goes_on_without_ids(&serving, &mut clients).await;
    among_mounts(&serving, &format!("umount {dir} && rm {dir}/filler")).await;
    last_id(&clients, last).await;
    one_failure(&mut log, "No space left on device").await;
}

#[tokio::test]
async fn a_read_only_directory_is_refused() {
    may_mount().await;
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().to_str().unwrap();
    let mount = with_mounts(&format!("mount --bind {dir} {dir} && mount -o remount,bind,ro {dir}"));
    let (success, out, err) = run_after(&mount, &["--data-dir", dir]).await;
    let expected = format!("error: FAILED_PRECONDITION: --data-dir {dir}/everywire.lock: Read-only file system");
    assert!(!success && out.is_empty() && err.starts_with(&expected), "{out}{err}");
}
