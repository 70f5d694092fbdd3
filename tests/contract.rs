//! What every implementation of the toolkit keeps: in the process, and over each wire.

use std::{
    collections::HashSet,
    time::{Duration, UNIX_EPOCH},
};

use everywire::{Code, Streaming};
use everywire_id::Snowflake;
use everywire_toolkit::{Embedded, LockChange, LockEvent, Toolkit, ToolkitClient, ToolkitService};
use tokio::time::{Instant, sleep};

use crate::harness::{Wires, on_every_wire, soon};

pub(crate) fn embedded() -> Embedded {
    Embedded::new(Snowflake::new(1).unwrap())
}

#[tokio::test]
async fn the_embedded_toolkit_keeps_the_contract() {
    soon("in the process", contract(&embedded(), "in the process")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wire_keeps_the_contract() {
    let wires = Wires::serve(ToolkitService::new(embedded())).await;
    on_every_wire!(wires, |wire, caller| { contract(&ToolkitClient::new(caller), wire).await });
}

/// `wire` keeps the names of one run apart from the others'.
async fn contract(toolkit: &impl Toolkit, wire: &str) {
    adds(toolkit, wire).await;
    locks_exclude(toolkit, &format!("{wire}: exclusion")).await;
    locks_re_enter(toolkit, &format!("{wire}: re-entry")).await;
    leases_end_and_renew(toolkit, &format!("{wire}: lease")).await;
    waits_are_granted(toolkit, &format!("{wire}: wait")).await;
    waits_end(toolkit, &format!("{wire}: patience")).await;
    bad_arguments_are_named(toolkit, wire).await;
    ids_grow(toolkit, wire).await;
    ids_say_what_they_are(toolkit, wire).await;
    permits_run_out(toolkit, wire).await;
    locks_are_watched(toolkit, &format!("{wire}: watch")).await;
    locks_are_held(toolkit, &format!("{wire}: hold")).await;
    holds_are_told_of_their_end(toolkit, &format!("{wire}: loss")).await;
    ids_stream(toolkit, wire).await;
}

async fn adds(toolkit: &impl Toolkit, wire: &str) {
    for (a, b) in [(3, 4), (88, 77), (0, 0), (-1, 1), (i64::MAX, 0), (i64::MIN, 0), (i64::MIN, i64::MAX)] {
        assert_eq!(toolkit.add(a, b).await, Ok(a + b), "{wire}: add({a}, {b})");
    }
    let error = toolkit.add(i64::MAX, 1).await.unwrap_err();
    assert_eq!(error.code(), Code::OutOfRange, "{wire}");
    assert_eq!(error.message(), "the sum of 9223372036854775807 and 1 is beyond 64 bits", "{wire}");
}

async fn locks_exclude(toolkit: &impl Toolkit, name: &str) {
    let first = toolkit.lock(name.into(), 60_000, None, Some("first".into())).await.unwrap();
    assert!(first.granted && first.token > 0 && first.fenced && first.holds == 1, "{name}: {first:?}");
    assert_eq!(first.owner, "first", "{name}");
    let second = toolkit.lock(name.into(), 60_000, Some(0), None).await.unwrap();
    assert!(
        !second.granted && second.token == 0 && second.ttl_ms <= 60_000 && second.ttl_ms > 50_000,
        "{name}: {second:?}"
    );
    assert!(!second.owner.is_empty(), "{name}: an absent owner is made up");
    let state = toolkit.lock_state(name.into()).await.unwrap();
    assert_eq!((state.held, state.owner.as_deref(), state.token), (true, Some("first"), first.token), "{name}");
    assert_eq!(toolkit.unlock(name.into(), "second".into()).await, Ok(false), "{name}: only the owner unlocks");
    assert_eq!(toolkit.unlock(name.into(), "first".into()).await, Ok(true), "{name}");
    let state = toolkit.lock_state(name.into()).await.unwrap();
    assert_eq!((state.held, state.owner, state.waiting), (false, None, 0), "{name}");
    let third = toolkit.lock(name.into(), 60_000, None, None).await.unwrap();
    assert!(third.granted && third.token > first.token, "{name}: tokens grow: {third:?}");
}

async fn locks_re_enter(toolkit: &impl Toolkit, name: &str) {
    let lock = || toolkit.lock(name.into(), 60_000, None, Some("owner".into()));
    let (first, second) = (lock().await.unwrap(), lock().await.unwrap());
    assert_eq!((second.token, second.holds), (first.token, 2), "{name}");
    for expected in [true, true, false] {
        assert_eq!(toolkit.unlock(name.into(), "owner".into()).await, Ok(expected), "{name}");
    }
}

async fn leases_end_and_renew(toolkit: &impl Toolkit, name: &str) {
    let grant = toolkit.lock(name.into(), 5_000, None, Some("owner".into())).await.unwrap();
    let renewed = toolkit.renew(name.into(), "owner".into(), 300).await.unwrap();
    assert!(renewed.granted && renewed.token == grant.token && renewed.ttl_ms <= 300, "{name}: {renewed:?}");
    assert!(!toolkit.renew(name.into(), "other".into(), 300).await.unwrap().granted, "{name}");
    let waited = Instant::now();
    while toolkit.lock_state(name.into()).await.unwrap().held {
        assert!(waited.elapsed() < Duration::from_secs(5), "{name}: a lease of 300 ms never ends");
        sleep(Duration::from_millis(10)).await;
    }
    assert!(!toolkit.renew(name.into(), "owner".into(), 300).await.unwrap().granted, "{name}: lost is lost");
}

async fn waits_are_granted(toolkit: &impl Toolkit, name: &str) {
    let first = toolkit.lock(name.into(), 60_000, None, Some("first".into())).await.unwrap();
    let wait = toolkit.lock(name.into(), 60_000, Some(20_000), Some("second".into()));
    let release = async {
        while toolkit.lock_state(name.into()).await.unwrap().waiting == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        toolkit.unlock(name.into(), "first".into()).await
    };
    let (second, released) = tokio::join!(wait, release);
    let second = second.unwrap();
    assert_eq!(released, Ok(true), "{name}");
    assert!(second.granted && second.owner == "second" && second.token > first.token, "{name}: {second:?}");
}

async fn waits_end(toolkit: &impl Toolkit, name: &str) {
    toolkit.lock(name.into(), 60_000, None, Some("first".into())).await.unwrap();
    let start = Instant::now();
    let second = toolkit.lock(name.into(), 60_000, Some(100), Some("second".into())).await.unwrap();
    assert!(!second.granted && start.elapsed() >= Duration::from_millis(100), "{name}: {second:?}");
    assert_eq!(toolkit.lock_state(name.into()).await.unwrap().waiting, 0, "{name}");
}

async fn bad_arguments_are_named(toolkit: &impl Toolkit, wire: &str) {
    let errors = [
        ("`ttl_ms` is 0", toolkit.lock("name".into(), 0, None, None).await.unwrap_err()),
        ("`name` is empty", toolkit.lock(String::new(), 1, None, None).await.unwrap_err()),
        ("`count` is 0", toolkit.next_ids(0).await.unwrap_err()),
        ("`count` is 100001", toolkit.next_ids(100_001).await.unwrap_err()),
    ];
    for (expected, error) in errors {
        assert_eq!(error.code(), Code::InvalidArgument, "{wire}: {expected}");
        assert!(error.message().starts_with(expected), "{wire}: {expected}: {error}");
    }
    let (of_a_server, owner) = ("everywire.id.worker.3", Some("me".to_owned()));
    let refused = [
        toolkit.lock(of_a_server.into(), 1, None, owner).await.unwrap_err(),
        toolkit.renew(of_a_server.into(), "me".into(), 1).await.unwrap_err(),
        toolkit.unlock(of_a_server.into(), "me".into()).await.unwrap_err(),
        toolkit.hold(of_a_server.into(), 1_000, None, None).await.map(drop).unwrap_err(),
    ];
    for error in refused {
        assert_eq!(error.code(), Code::PermissionDenied, "{wire}: {error}");
    }
}

async fn ids_grow(toolkit: &impl Toolkit, wire: &str) {
    let mut ids = vec![toolkit.next_id().await.unwrap()];
    ids.extend(toolkit.next_ids(5_000).await.unwrap());
    ids.push(toolkit.next_id().await.unwrap());
    assert_eq!(ids.len(), 5_002, "{wire}");
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len(), "{wire}: unique");
    assert!(ids.is_sorted(), "{wire}: they grow");
    assert!(ids.iter().all(|id| (id >> 12) & 1_023 == 1 && id >> 63 == 0), "{wire}: they carry worker 1");
}

async fn ids_say_what_they_are(toolkit: &impl Toolkit, wire: &str) {
    let id = toolkit.next_id().await.unwrap();
    let parts = toolkit.decode_id(id).await.unwrap();
    let since = UNIX_EPOCH + Duration::from_millis(parts.time_ms.unwrap());
    assert!(since.elapsed().unwrap() < Duration::from_mins(1), "{wire}: {parts:?}");
    assert_eq!((parts.worker, parts.sequence), (Some(1), id & 4_095), "{wire}");
    for (version, digit) in [(None, '7'), (Some(7), '7'), (Some(1), '1')] {
        let uuid = toolkit.next_uuid(version).await.unwrap();
        assert!(uuid.len() == 36 && uuid.chars().nth(14) == Some(digit), "{wire}: {uuid}");
    }
    assert_eq!(toolkit.next_uuid(Some(4)).await.unwrap_err().code(), Code::InvalidArgument, "{wire}");
}

async fn permits_run_out(toolkit: &impl Toolkit, wire: &str) {
    // All permits of a slot at once, so that only the last request can meet the next slot; then it is tried again.
    let resource = format!("{wire}: resource");
    let mut tries = 0;
    let sorry = loop {
        let go = toolkit.acquire(resource.clone(), Some(5)).await.unwrap();
        let next = toolkit.acquire(resource.clone(), None).await.unwrap();
        if go.go {
            assert_eq!((go.limit, go.remaining, go.retry_after_ms), (5, 0, 0), "{wire}");
        }
        if !next.go {
            break next;
        }
        tries += 1;
        assert!(tries < 20, "{wire}: permits never run out");
    };
    assert!(sorry.retry_after_ms > 0 && sorry.retry_after_ms <= 801, "{wire}: {sorry:?}");
}

/// The next change of a watch must be this one.
async fn changed(watch: &mut Streaming<LockChange>, event: LockEvent, owner: Option<&str>, token: u64) {
    let change = watch.next().await.unwrap().unwrap();
    let held = event == LockEvent::Taken || event == LockEvent::Found && owner.is_some();
    assert_eq!(change, LockChange { event, held, owner: owner.map(str::to_owned), token });
}

async fn locks_are_watched(toolkit: &impl Toolkit, name: &str) {
    let mut watch = toolkit.watch_lock(name.into()).await.unwrap();
    changed(&mut watch, LockEvent::Found, None, 0).await;
    let first = toolkit.lock(name.into(), 60_000, None, Some("first".into())).await.unwrap();
    changed(&mut watch, LockEvent::Taken, Some("first"), first.token).await;
    let mut late = toolkit.watch_lock(name.into()).await.unwrap();
    changed(&mut late, LockEvent::Found, Some("first"), first.token).await;
    assert!(toolkit.unlock(name.into(), "first".into()).await.unwrap(), "{name}");
    changed(&mut watch, LockEvent::Released, Some("first"), first.token).await;
    let second = toolkit.lock(name.into(), 200, None, Some("second".into())).await.unwrap();
    changed(&mut watch, LockEvent::Taken, Some("second"), second.token).await;
    changed(&mut watch, LockEvent::Expired, Some("second"), second.token).await;
    let error = toolkit.watch_lock(String::new()).await.map(drop).unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument, "{name}: {error}");
}

async fn locks_are_held(toolkit: &impl Toolkit, name: &str) {
    let start = Instant::now();
    let mut hold = toolkit.hold(name.into(), 1_000, None, None).await.unwrap();
    let grant = hold.next().await.unwrap().unwrap();
    assert!(grant.granted && grant.token > 0 && grant.holds == 1, "{name}: {grant:?}");
    while start.elapsed() < Duration::from_millis(2_500) {
        let again = hold.next().await.unwrap().unwrap();
        assert_eq!((again.granted, again.token, &again.owner), (true, grant.token, &grant.owner), "{name}");
    }
    let mut other = toolkit.hold(name.into(), 60_000, None, None).await.unwrap();
    assert!(!other.next().await.unwrap().unwrap().granted, "{name}");
    assert!(other.next().await.is_none(), "{name}");
    // The next one has it when the stream is dropped, and not at the end of a lease.
    let long = toolkit.hold(format!("{name}, long"), 60_000, None, Some("long".into())).await.unwrap();
    drop((long, hold));
    for name in [name.to_owned(), format!("{name}, long")] {
        let next = toolkit.lock(name.clone(), 1_000, Some(20_000), None).await.unwrap();
        assert!(next.granted, "{name}: {next:?}");
    }
}

async fn holds_are_told_of_their_end(toolkit: &impl Toolkit, name: &str) {
    let mut hold = toolkit.hold(name.into(), 1_500, Some(0), Some("me".into())).await.unwrap();
    assert!(hold.next().await.unwrap().unwrap().granted, "{name}");
    let twice = toolkit.hold(name.into(), 1_500, None, Some("me".into())).await.map(drop).unwrap_err();
    assert_eq!(twice.code(), Code::FailedPrecondition, "{name}: {twice}");
    assert!(toolkit.unlock(name.into(), "me".into()).await.unwrap(), "{name}");
    let error = loop {
        if let Err(error) = hold.next().await.unwrap() {
            break error;
        }
    };
    assert_eq!(error.code(), Code::Aborted, "{name}: {error}");
    assert!(hold.next().await.is_none(), "{name}");
}

async fn ids_stream(toolkit: &impl Toolkit, wire: &str) {
    let mut ids = Vec::new();
    let mut stream = toolkit.ids(10_000).await.unwrap();
    while let Some(id) = stream.next().await {
        ids.push(id.unwrap());
    }
    assert!(ids.len() == 10_000 && ids.is_sorted_by(|one, next| one < next), "{wire}: {} ids", ids.len());
    let mut endless = toolkit.ids(u64::MAX).await.unwrap();
    for _ in 0..100 {
        assert!(endless.next().await.unwrap().unwrap() > ids[9_999], "{wire}");
    }
    assert!(toolkit.ids(0).await.unwrap().next().await.is_none(), "{wire}");
}
