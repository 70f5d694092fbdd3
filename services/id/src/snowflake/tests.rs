//! Layouts, used up milliseconds, clocks that are set, and restarts.

use std::{
    collections::HashSet,
    path::Path,
    sync::{Arc, atomic::AtomicI64},
};

use everywire_core::Code;
use tokio::time::{Instant, advance};

use super::*;
use everywire_testing::life;

const DAY_MS: u64 = 86_400_000;

/// A clock on tokio's paused time that can be set: it shows the epoch and so many milliseconds when the test begins.
#[derive(Debug)]
struct TestClock {
    began: Instant,
    shows_ms: AtomicI64,
}

impl TestClock {
    fn set_ms(&self, by: i64) {
        self.shows_ms.fetch_add(by, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> SystemTime {
        let shows = self.shows_ms.load(Ordering::Relaxed);
        let set = Duration::from_millis(shows.unsigned_abs());
        let began = if shows < 0 { UNIX_EPOCH - set } else { UNIX_EPOCH + set };
        began + self.began.elapsed()
    }

    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(time)
    }
}

fn ids(layout: &str, worker: u64, shows_ms: i64) -> Snowflake<TestClock> {
    made(layout, worker, shows_ms).unwrap()
}

fn made(layout: &str, worker: u64, shows_ms: i64) -> Result<Snowflake<TestClock>> {
    let settings = Settings { worker, epoch: UNIX_EPOCH, layout: layout.parse().unwrap() };
    Snowflake::on_clock(settings, TestClock { began: Instant::now(), shows_ms: shows_ms.into() })
}

#[tokio::test(start_paused = true)]
async fn ids_carry_time_worker_and_sequence() {
    for (layout, worker, expected) in [
        ("41/10/12", 1_023, [DAY_MS << 22 | 1_023 << 12, DAY_MS << 22 | 1_023 << 12 | 1]),
        ("41/5/7", 3, [DAY_MS << 12 | 3 << 7, DAY_MS << 12 | 3 << 7 | 1]),
        ("62/0/1", 0, [DAY_MS << 1, DAY_MS << 1 | 1]),
        ("60/2/0", 3, [DAY_MS << 2 | 3, (DAY_MS + 1) << 2 | 3]),
    ] {
        let ids = ids(layout, worker, DAY_MS.cast_signed());
        let made = [ids.next().await.unwrap(), ids.next().await.unwrap()];
        assert_eq!(made, expected, "{layout}");
        assert_eq!(ids.decode(made[0]), IdParts { time_ms: Some(DAY_MS), worker: Some(worker), sequence: 0 });
    }
}

#[tokio::test(start_paused = true)]
async fn a_used_up_millisecond_parks_until_the_next() {
    let ids = ids("41/10/12", 0, 5);
    let start = Instant::now();
    let batch = ids.next_many(4_096).await.unwrap();
    assert_eq!((batch[0], batch[4_095], start.elapsed()), (5 << 22, 5 << 22 | 4_095, Duration::ZERO));
    assert_eq!(ids.next().await.unwrap(), 6 << 22);
    assert_eq!(start.elapsed().as_millis(), 1);
    let batch = ids.next_many(3 * 4_096).await.unwrap();
    assert_eq!((batch[0], batch[3 * 4_096 - 1]), (6 << 22 | 1, 9 << 22));
    assert_eq!(start.elapsed().as_millis(), 4, "no id comes from the future");
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_a_little_is_waited_for() {
    let ids = ids("41/10/12", 0, 10_000);
    let before = ids.next().await.unwrap();
    ids.clock.set_ms(-1_999);
    let start = Instant::now();
    let after = ids.next().await.unwrap();
    assert_eq!((after, start.elapsed().as_millis()), (before + 1, 1_999));
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_far_is_an_error_until_it_has_caught_up() {
    let ids = ids("41/10/12", 0, DAY_MS.cast_signed());
    let before = ids.next().await.unwrap();
    ids.clock.set_ms(-3_600_000);
    let error = ids.next().await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    let expected = "the clock was set back by 3600000 ms; ids wait for it up to 2000 ms and never repeat";
    assert_eq!(error.message(), expected);
    advance(Duration::from_millis(3_600_000 - 2_000 + 1)).await;
    assert_eq!(ids.next().await.unwrap(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn too_many_ids_at_once_are_an_error() {
    let ids = Arc::new(ids("41/10/12", 0, 0));
    let mut calls: Vec<_> = (0..82)
        .map(|_| {
            let ids = Arc::clone(&ids);
            tokio::spawn(async move { ids.next_many(MAX_BATCH).await })
        })
        .collect();
    let error = calls.pop().unwrap().await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted);
    let expected = "ids are asked for 1977 ms ahead of the clock, at most 2000: one worker has 4096 per millisecond";
    assert_eq!(error.message(), expected);
    for call in calls {
        assert!(call.await.unwrap().is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_outside_the_layout_is_an_error() {
    let before = ids("41/10/12", 0, -7);
    let error = before.next().await.unwrap_err();
    assert_eq!(error.message(), "the clock is 7 ms before the epoch of the ids");
    assert_eq!(error.code(), Code::FailedPrecondition);
    let late = ids("20/1/1", 0, (1 << 20) - 3_000);
    late.next().await.unwrap();
    late.clock.set_ms(3_000);
    let error = late.next().await.unwrap_err();
    let expected = "the clock is 1048576 ms after the epoch of the ids, and the layout 20/1/1 ends at 1048576 ms";
    assert_eq!((error.code(), error.message()), (Code::OutOfRange, expected));
    let over = made("20/1/1", 0, 1 << 20).unwrap_err();
    assert_eq!((over.code(), over.message()), (Code::OutOfRange, expected), "at the start");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_of_many_tasks_are_unique_and_never_early() {
    let ids = Arc::new(Snowflake::new(7).unwrap());
    let tasks: Vec<_> = (0..8_u32)
        .map(|task| {
            let ids = Arc::clone(&ids);
            tokio::spawn(async move {
                let mut all = Vec::new();
                for round in 0..50 {
                    let batch = ids.next_many(1 + (task * 131 + round * 17) % 900).await.unwrap();
                    let newest = batch.iter().max().unwrap() >> 22;
                    assert!(newest <= ids.now().unwrap().1, "an id from the future");
                    assert!(batch.is_sorted());
                    all.extend(batch);
                }
                all
            })
        })
        .collect();
    let (mut seen, mut count) = (HashSet::new(), 0);
    for task in tasks {
        let all = task.await.unwrap();
        assert!(all.is_sorted(), "the ids that one caller gets grow");
        count += all.len();
        seen.extend(all);
    }
    assert_eq!(seen.len(), count);
}

#[test]
fn ids_of_a_data_directory_go_on_after_all_before() {
    let home = tempfile::tempdir().unwrap();
    let mut last = 0;
    for worker in [5, 0, 1_023] {
        last = life(next_of_a_life(home.path(), worker, last));
    }
}

async fn next_of_a_life(home: &Path, worker: u64, last: u64) -> u64 {
    let began = Instant::now();
    let dir = DataDir::open(home).unwrap();
    let ids = Snowflake::new(worker).unwrap().durable(&dir).unwrap();
    let next = ids.next().await.unwrap();
    assert!(next > last, "worker {worker}: {next} after {last}");
    assert!(next >> 22 <= ids.now().unwrap().1, "worker {worker}: an id from the future");
    let mark = dir.high_water("ids", 0).unwrap().last_before();
    assert!(mark >= next, "worker {worker}: the mark is written ahead");
    assert!(mark >> 22 <= (next >> 22) + MARK_AHEAD_MS, "worker {worker}");
    assert!(began.elapsed() < Duration::from_secs(5), "worker {worker}: {:?}", began.elapsed());
    next
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_across_a_restart_is_an_error() {
    let home = tempfile::tempdir().unwrap();
    let dir = DataDir::open(home.path()).unwrap();
    let before = ids("41/10/12", 0, 10_000_000).durable(&dir).unwrap();
    before.next().await.unwrap();
    let after = ids("41/10/12", 0, 9_000_000).durable(&dir).unwrap();
    let error = after.next().await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    let expected = "the clock was set back by 1000250 ms; ids wait for it up to 2000 ms and never repeat";
    assert_eq!(error.message(), expected);
}

#[tokio::test]
async fn bad_arguments_say_what_is_allowed() {
    assert_eq!(Snowflake::new(1_024).unwrap_err().message(), "worker id 1024; it may be 0 to 1023");
    let ids = Snowflake::new(0).unwrap();
    for count in [0, MAX_BATCH + 1] {
        let error = ids.next_many(count).await.unwrap_err();
        assert_eq!(error.message(), format!("`count` is {count}; it may be 1 to 100000"));
    }
}
