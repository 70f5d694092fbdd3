//! Reconnecting to an engine that fails in every way, in simulated time.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use everywire_core::{Code, Result};
use tokio::time::sleep;
use tracing_subscriber::fmt::MakeWriter;

use super::{Connect, Health, Reconnecting};
use crate::failure::{Failure, Names};

/// An engine that accepts connections, or fails in the given way.
#[derive(Debug, Clone, Default)]
struct Fake {
    fails: Arc<Mutex<Option<Failure>>>,
    attempts: Arc<AtomicU32>,
}

impl Fake {
    async fn connected(&self) -> Reconnecting<Self> {
        self.connect().await.unwrap()
    }

    async fn connect(&self) -> Result<Reconnecting<Self>> {
        Reconnecting::connect(self.clone(), Names::new("fake://10.0.0.1:77".into(), "the fake")).await
    }

    fn goes(&self, failure: Failure) {
        *self.fails.lock().unwrap() = Some(failure);
    }

    fn comes_back(&self) {
        *self.fails.lock().unwrap() = None;
    }

    fn attempts(&self) -> u32 {
        self.attempts.swap(0, Relaxed)
    }
}

impl Connect for Fake {
    type Connection = Health;

    async fn connect(&self, _: Option<&Health>, health: &Health) -> Result<Health, Failure> {
        self.attempts.fetch_add(1, Relaxed);
        let fails = self.fails.lock().unwrap().clone();
        fails.map_or_else(|| Ok(health.clone()), Err)
    }
}

fn lost() -> Failure {
    Failure::Lost("READONLY at 10.0.0.1:77".into())
}

async fn step(engine: &Reconnecting<Fake>, outcome: Result<(), Failure>) -> Result<()> {
    engine.run(|_| async { outcome }).await
}

/// This thread's log.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Log {
    fn begin(&self) -> tracing::subscriber::DefaultGuard {
        let format = tracing_subscriber::fmt().with_writer(self.clone()).with_ansi(false).without_time();
        tracing::subscriber::set_default(format.with_target(false).finish())
    }

    fn lines(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap());
        String::from_utf8(bytes).unwrap().lines().map(|line| line.trim().to_owned()).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_away_is_tried_less_and_less_often() {
    let fake = Fake::default();
    let engine = fake.connected().await;
    step(&engine, Ok(())).await.unwrap();
    fake.goes(lost());
    step(&engine, Err(lost())).await.unwrap_err();
    fake.attempts();
    for _ in 0..10_000 {
        step(&engine, Ok(())).await.unwrap_err();
        sleep(Duration::from_millis(1)).await;
    }
    // At once, after 50, 100, 200, 400, 800 ms, and then once a second.
    assert_eq!(fake.attempts(), 14);
    fake.comes_back();
    sleep(Duration::from_secs(1)).await;
    step(&engine, Ok(())).await.unwrap();
    step(&engine, Err(lost())).await.unwrap_err();
    step(&engine, Ok(())).await.expect("a call right after a loss waits for the next connection");
}

#[tokio::test(start_paused = true)]
async fn going_away_and_coming_back_are_logged_once_each() {
    let (fake, log) = (Fake::default(), Log::default());
    let _logging = log.begin();
    let engine = fake.connected().await;
    for _ in 0..3 {
        step(&engine, Ok(())).await.unwrap();
        fake.goes(Failure::Unfit("is a replica".into()));
        let error = step(&engine, Err(lost())).await.unwrap_err();
        assert_eq!(error.to_string(), "UNAVAILABLE: the fake is unavailable: READONLY at …");
        for _ in 0..100 {
            let error = step(&engine, Ok(())).await.unwrap_err();
            assert_eq!(error.to_string(), "UNAVAILABLE: the fake is unavailable: is a replica");
            sleep(Duration::from_millis(50)).await;
        }
        fake.comes_back();
        sleep(Duration::from_secs(2)).await;
        let away = "WARN the fake, fake://10.0.0.1:77, is unavailable: READONLY at 10.0.0.1:77";
        assert_eq!(log.lines(), [away, "WARN the fake, fake://10.0.0.1:77, is available again"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_noticed_is_not_logged() {
    let (fake, log) = (Fake::default(), Log::default());
    let _logging = log.begin();
    let engine = fake.connected().await;
    let end = async || {
        let end = |connection: Health| async move {
            connection.ended();
            Ok(())
        };
        engine.run(end).await.unwrap();
    };
    end().await;
    step(&engine, Ok(())).await.unwrap();
    assert!(log.lines().is_empty());
    fake.goes(Failure::Lost("refused".into()));
    end().await;
    sleep(Duration::from_secs(5)).await;
    fake.comes_back();
    sleep(Duration::from_secs(5)).await;
    let away = "WARN the fake, fake://10.0.0.1:77, is unavailable: refused";
    assert_eq!(log.lines(), [away, "WARN the fake, fake://10.0.0.1:77, is available again"], "nobody called");
}

#[tokio::test(start_paused = true)]
async fn a_step_without_an_answer_loses_the_connection_and_one_that_is_rejected_does_not() {
    let (fake, log) = (Fake::default(), Log::default());
    let _logging = log.begin();
    let engine = fake.connected().await;
    fake.attempts();
    for _ in 0..3 {
        let error = step(&engine, Err(Failure::Rejected("OOM".into()))).await.unwrap_err();
        assert_eq!(error.to_string(), "UNAVAILABLE: the fake rejects this: OOM");
    }
    assert_eq!(fake.attempts(), 0);
    assert_eq!(log.lines(), ["WARN the fake, fake://10.0.0.1:77, rejects a step: OOM"]);
    let error = engine.run(|_| std::future::pending::<Result<(), _>>()).await.unwrap_err();
    assert_eq!(error.message(), "the fake is unavailable: no answer within 3s");
    step(&engine, Ok(())).await.unwrap();
    assert_eq!(fake.attempts(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_never_serves_is_made_again_with_pauses() {
    let fake = Fake::default();
    let engine = fake.connected().await;
    let until = tokio::time::Instant::now() + Duration::from_secs(10);
    while tokio::time::Instant::now() < until {
        step(&engine, Err(lost())).await.unwrap_err();
    }
    assert!(fake.attempts() < 20);
}

#[tokio::test(start_paused = true)]
async fn an_unfit_engine_is_named_at_the_start() {
    let fake = Fake::default();
    for (failure, code) in
        [(lost(), Code::Unavailable), (Failure::Unfit("is a replica".into()), Code::FailedPrecondition)]
    {
        fake.goes(failure.clone());
        let error = fake.connect().await.unwrap_err();
        assert_eq!((error.code(), error.message()), (code, &*format!("fake://10.0.0.1:77: {}", failure.why())));
    }
}
