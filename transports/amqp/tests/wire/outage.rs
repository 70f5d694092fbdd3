//! A broker that is killed and comes back.

use std::{collections::HashSet, sync::atomic::AtomicBool};

use everywire_core::RpcError;
use everywire_id::Snowflake;
use everywire_toolkit::{Embedded, Toolkit, ToolkitClient, ToolkitService};
use futures_util::TryFutureExt;
use lapin::{
    BasicProperties, Connection, ConnectionProperties,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use serde_json::json;

use super::*;

/// The time of a call.
const PATIENCE: Duration = Duration::from_secs(5);
/// How soon calls succeed again once the broker is back.
const BACK: Duration = Duration::from_secs(5);
/// Calls under way at the same time.
const CALLERS: u64 = 16;
/// Calls that succeed before the broker is killed, and again after its return.
const GOOD: usize = 500;

/// What the callers of one method saw.
#[derive(Default)]
struct Seen<T> {
    good: Mutex<Vec<T>>,
    failed: AtomicUsize,
    /// When a call succeeded first after the broker's return.
    back: Mutex<Option<Instant>>,
    is_back: AtomicBool,
    stop: AtomicBool,
}

impl<T> Seen<T> {
    /// Calls again and again until the stop, each time with another key.
    async fn call<F: Future<Output = Result<T>>>(&self, caller: u64, call: impl Fn(u64) -> F) {
        for key in (caller..).step_by(usize::try_from(CALLERS).unwrap()) {
            if self.stop.load(SeqCst) {
                return;
            }
            let (since, is_back) = (Instant::now(), self.is_back.load(SeqCst));
            match call(key).await {
                Ok(reply) => {
                    if is_back {
                        self.back.lock().unwrap().get_or_insert_with(Instant::now);
                    }
                    self.good.lock().unwrap().push(reply);
                }
                Err(error) => self.failed(&error),
            }
            let took = since.elapsed();
            assert!(took < PATIENCE + Duration::from_secs(2), "an answer or an error after {took:?}");
        }
    }

    fn failed(&self, error: &RpcError) {
        let clear = [Code::Unavailable, Code::DeadlineExceeded, Code::Aborted];
        assert!(clear.contains(&error.code()), "{error}");
        self.failed.fetch_add(1, SeqCst);
    }

    fn count(&self) -> usize {
        self.good.lock().unwrap().len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_broker_repeats_no_call() {
    needs!(RabbitMq);
    let mut broker = Broker::start().await;
    let running = Running::start_at(&broker.url, &new_queue(), Limits::default()).await;
    let toolkit = Arc::new(ToolkitService::new(Embedded::new(Snowflake::new(1).unwrap())));
    let (stop, server) = (running.stop.clone(), Server::connect(&broker.url).await.unwrap());
    tokio::spawn(server.serve(toolkit, Budget::new(Limits::default()), stop));
    let client = || async { Client::connect(&broker.url).await.unwrap().timeout(PATIENCE) };
    let demo = Arc::new(DemoClient::new(client().await.queue(&running.queue)));
    let ids = Arc::new(ToolkitClient::new(client().await));
    until("ids are served", async || ids.add(3, 4).await.is_ok()).await;

    let (marks, drawn) = (Arc::<Seen<u64>>::default(), Arc::<Seen<u64>>::default());
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (demo, marks, ids, drawn) = (Arc::clone(&demo), Arc::clone(&marks), Arc::clone(&ids), Arc::clone(&drawn));
        callers.spawn(async move { marks.call(caller, |key| demo.mark(key).map_ok(move |()| key)).await });
        callers.spawn(async move { drawn.call(caller, |_| ids.next_id()).await });
    }
    let both = |count| (marks.count() >= count) && (drawn.count() >= count);
    until("half of the calls", async || both(GOOD)).await;
    broker.kill();
    broker.restart().await;
    let since = Instant::now();
    let before = marks.count().max(drawn.count());
    marks.is_back.store(true, SeqCst);
    drawn.is_back.store(true, SeqCst);
    until("the other half", async || both(before + GOOD)).await;
    marks.stop.store(true, SeqCst);
    drawn.stop.store(true, SeqCst);
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }

    for seen in [&marks, &drawn] {
        let back = seen.back.lock().unwrap().unwrap().duration_since(since);
        println!(
            "{} good calls, {} failed, the first good one {back:?} after the return",
            seen.count(),
            seen.failed.load(SeqCst)
        );
        assert!(back < BACK, "{back:?}");
    }
    let drawn = drawn.good.lock().unwrap();
    assert_eq!(drawn.iter().collect::<HashSet<_>>().len(), drawn.len(), "no id twice");
    let runs = running.real.marks.lock().unwrap();
    assert!(runs.values().all(|runs| *runs == 1), "no call twice");
    assert!(marks.good.lock().unwrap().iter().all(|key| runs.contains_key(key)), "who has an answer was served");
}

/// Requests that the broker keeps on disk come again after its death. It can't know which of them ran, and marks all of
/// them as redelivered.
#[tokio::test(flavor = "multi_thread")]
async fn persistent_requests_run_at_most_once() {
    needs!(RabbitMq);
    let mut broker = Broker::start().await;
    let limits = Limits { calls_in_flight: 8, ..Limits::default() };
    let running = Running::start_at(&broker.url, &new_queue(), limits).await;
    let connection = Connection::connect(&broker.url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let publish = async |key: u64| {
        let body = json!({"jsonrpc": "2.0", "id": key, "method": "mark", "params": [key]}).to_string();
        let persistent = BasicProperties::default().with_delivery_mode(2);
        let queue = running.queue.clone().into();
        channel.basic_publish("".into(), queue, BasicPublishOptions::default(), body.as_bytes(), persistent).await
    };
    let marked = || running.real.marks.lock().unwrap().len();
    let mut confirms = Vec::new();
    for key in 0..2_000 {
        confirms.push(publish(key).await.unwrap());
    }
    until("some have run", async || marked() >= 100).await;
    broker.kill();
    drop((connection, confirms));
    let at_death = marked();
    broker.restart().await;
    running.ready().await;
    until("the queue is empty", async || running.client().await.add(3, 4).await.is_ok()).await;
    let runs = running.real.marks.lock().unwrap();
    println!("{at_death} of 2,000 had run when the broker died, {} in the end", runs.len());
    assert!(runs.values().all(|runs| *runs == 1), "no call twice");
}
