//! A connection to an engine. It is checked when it is made, and replaced when it can't be used any more.
//!
//! One task keeps it. Calls use the current connection, or fail with the reason why there is none; right after a loss they
//! wait for the first attempt. One line is logged when an engine goes away, and one when it is back.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use everywire_core::{Result, wire::CancellationToken};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::failure::{Failure, Names};

/// The longest that one step of an engine may take, a new connection included.
pub const STEP_TIME: Duration = Duration::from_secs(3);
/// How soon what failed is tried again: at first, and at most.
pub const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(1);

/// The next pause after one that did not help.
pub fn longer(pause: Duration) -> Duration {
    (2 * pause).min(LAST_RETRY)
}

/// How to connect to an engine.
pub trait Connect: Send + Sync + 'static {
    /// What the steps of the engine need. A connection that was replaced lives until its last step ends.
    type Connection: Clone + Send + Sync + 'static;

    /// Connects, and checks that the engine can do what it is needed for, within [`STEP_TIME`]. `last` is the connection that
    /// was lost, and `health` that of the new one.
    fn connect(
        &self,
        last: Option<&Self::Connection>,
        health: &Health,
    ) -> impl Future<Output = Result<Self::Connection, Failure>> + Send;

    /// Whether the connection is not known to have ended.
    fn is_usable(_: &Self::Connection) -> bool {
        true
    }
}

/// Whether a connection can be used.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Vitals>);

#[derive(Debug, Default)]
struct Vitals {
    is_lost: CancellationToken,
    why: OnceLock<String>,
    /// Whether a call failed when the connection was lost.
    failed_a_call: AtomicBool,
    /// Whether a step has succeeded.
    has_served: AtomicBool,
}

impl Health {
    /// Notes that the connection has ended, perhaps before any call has noticed.
    pub fn ended(&self) {
        self.lost("the connection has ended");
    }

    fn lost(&self, why: &str) {
        self.0.why.get_or_init(|| why.to_owned());
        self.0.is_lost.cancel();
    }

    fn failed(&self, why: &str) {
        self.0.failed_a_call.store(true, Relaxed);
        self.lost(why);
    }
}

/// An engine with a connection that is replaced whenever it is lost.
pub struct Reconnecting<C: Connect> {
    kept: Arc<Kept<C>>,
    /// Ends with this.
    _keeper: JoinSet<()>,
}

struct Kept<C: Connect> {
    connector: C,
    names: Names,
    state: watch::Sender<State<C::Connection>>,
}

enum State<T> {
    /// The first attempt since the last connection was lost.
    Connecting,
    Connected(T, Health),
    Away(String),
}

impl<C: Connect> fmt::Debug for Reconnecting<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reconnecting").field("names", self.names()).finish_non_exhaustive()
    }
}

impl<C: Connect> Reconnecting<C> {
    /// Connects for the first time.
    pub async fn connect(connector: C, names: Names) -> Result<Self> {
        let kept = Kept { connector, names, state: watch::Sender::new(State::Connecting) };
        let (connection, health) = kept.attempt(None).await.map_err(|failure| kept.names.at_start(&failure))?;
        kept.state.send_replace(State::Connected(connection.clone(), health.clone()));
        let (kept, mut keeper) = (Arc::new(kept), JoinSet::new());
        keeper.spawn(Arc::clone(&kept).keep(connection, health));
        Ok(Self { kept, _keeper: keeper })
    }

    /// What the engine is called in messages.
    pub fn names(&self) -> &Names {
        &self.kept.names
    }

    /// Runs one step with the connection. A failure is `UNAVAILABLE`, and the outcome of the step is then unknown.
    pub async fn run<T, F>(&self, step: impl FnOnce(C::Connection) -> F) -> Result<T>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        self.attempt(step).await.map_err(|failure| match failure {
            Failure::Rejected(why) => self.names().rejected(&why),
            Failure::Lost(why) | Failure::Unfit(why) => self.names().unavailable(&why),
        })
    }

    /// Runs one step at the start of the server; its error has the engine's address.
    pub async fn run_at_start<T, F>(&self, step: impl FnOnce(C::Connection) -> F) -> Result<T>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        self.attempt(step).await.map_err(|failure| self.names().at_start(&failure))
    }

    async fn attempt<T, F>(&self, step: impl FnOnce(C::Connection) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut used = None;
        let attempt = async {
            let (connection, health) = self.kept.connection().await?;
            used = Some(health);
            step(connection).await
        };
        let outcome = timeout(STEP_TIME, attempt).await.unwrap_or_else(|_| Err(no_answer()));
        let Some(health) = used else { return outcome };
        match &outcome {
            Ok(_) => health.0.has_served.store(true, Relaxed),
            Err(Failure::Rejected(_)) => {}
            Err(failure) => health.failed(failure.why()),
        }
        outcome
    }
}

impl<C: Connect> Kept<C> {
    /// The current connection, or the next one while that is being made.
    async fn connection(&self) -> Result<(C::Connection, Health), Failure> {
        if let Some(now) = self.present() {
            return now;
        }
        let mut state = self.state.subscribe();
        loop {
            if let Some(now) = self.present() {
                return now;
            }
            // The sender lives in `self`.
            let _ = state.changed().await;
        }
    }

    /// `None` while the connection is being made.
    fn present(&self) -> Option<Result<(C::Connection, Health), Failure>> {
        match &*self.state.borrow() {
            State::Connected(connection, health) if !health.0.is_lost.is_cancelled() => {
                if !C::is_usable(connection) {
                    health.ended();
                    return None;
                }
                Some(Ok((connection.clone(), health.clone())))
            }
            State::Connected(..) | State::Connecting => None,
            State::Away(why) => Some(Err(Failure::Lost(why.clone()))),
        }
    }

    async fn attempt(&self, last: Option<&C::Connection>) -> Result<(C::Connection, Health), Failure> {
        let health = Health::default();
        let connecting = self.connector.connect(last, &health);
        let connection = timeout(STEP_TIME, connecting).await.unwrap_or_else(|_| Err(no_answer()))?;
        Ok((connection, health))
    }

    /// Replaces the connection whenever it is lost.
    async fn keep(self: Arc<Self>, mut connection: C::Connection, mut health: Health) {
        let mut pause = FIRST_RETRY;
        loop {
            health.0.is_lost.cancelled().await;
            self.state.send_replace(State::Connecting);
            let mut is_away = health.0.failed_a_call.load(Relaxed);
            if is_away {
                self.log_away(health.0.why.get().map_or("", String::as_str));
            }
            if health.0.has_served.load(Relaxed) {
                pause = FIRST_RETRY;
            } else {
                pause = paused(pause).await;
            }
            (connection, health) = loop {
                match self.attempt(Some(&connection)).await {
                    Ok(made) => break made,
                    Err(failure) => {
                        if !is_away {
                            self.log_away(failure.why());
                            is_away = true;
                        }
                        self.state.send_replace(State::Away(failure.why().to_owned()));
                        pause = paused(pause).await;
                    }
                }
            };
            self.state.send_replace(State::Connected(connection.clone(), health.clone()));
            if is_away {
                tracing::warn!("{}, {}, is available again", self.names.role, self.names.address);
            } else {
                tracing::debug!("connected again to {}, {}", self.names.role, self.names.address);
            }
        }
    }

    fn log_away(&self, why: &str) {
        tracing::warn!("{}, {}, is unavailable: {why}", self.names.role, self.names.address);
    }
}

/// Waits before the next attempt, and returns the pause before the one after it.
async fn paused(pause: Duration) -> Duration {
    sleep(pause).await;
    longer(pause)
}

fn no_answer() -> Failure {
    Failure::Lost(format!("no answer within {STEP_TIME:?}"))
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, atomic::AtomicU32};

    use everywire_core::Code;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    /// An engine that can be connected to, or fails in this way.
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

    /// What is logged on this thread.
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
    async fn an_engine_that_is_not_fit_is_named_at_the_start() {
        let fake = Fake::default();
        for (failure, code) in
            [(lost(), Code::Unavailable), (Failure::Unfit("is a replica".into()), Code::FailedPrecondition)]
        {
            fake.goes(failure.clone());
            let error = fake.connect().await.unwrap_err();
            assert_eq!((error.code(), error.message()), (code, &*format!("fake://10.0.0.1:77: {}", failure.why())));
        }
    }
}
