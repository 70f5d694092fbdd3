//! What a [`Server`] does for each of its wires: limits that need no socket, the stop, panics.

use std::{future::pending, sync::Arc, time::Duration};

use everywire_core::{
    Budget, Code, Limit, Limits, Result, RpcError, Server, Service, Transport, memory, schemars,
    wire::CancellationToken,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Three methods that go wrong.
#[everywire_core::service(package = "demo.v1")]
pub trait Trouble {
    /// Never returns.
    async fn hang(&self) -> Result<()>;
    /// Returns what panics when it is written.
    async fn burst(&self) -> Result<Bomb>;
    /// Returns at once.
    async fn ping(&self) -> Result<u8>;
}

/// Panics when it is written.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
pub struct Bomb(u32);

impl serde::Serialize for Bomb {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert_ne!(self.0, 4_711, "boom");
        serializer.serialize_newtype_struct("Bomb", &self.0)
    }
}

struct Troubled;

impl Trouble for Troubled {
    async fn hang(&self) -> Result<()> {
        pending().await
    }

    async fn burst(&self) -> Result<Bomb> {
        Ok(Bomb(4_711))
    }

    async fn ping(&self) -> Result<u8> {
        Ok(7)
    }
}

/// A wire whose one peer makes some calls at the same time, and tells how each ended.
struct Peer {
    calls: Vec<&'static str>,
    outcomes: mpsc::Sender<Result<Value>>,
}

impl Transport for Peer {
    fn endpoint(&self) -> String {
        "peer".to_owned()
    }

    async fn serve<S: Service>(self, service: Arc<S>, _: Arc<Budget>, _: CancellationToken) -> Result<()> {
        let calls = self.calls.iter().map(async |method| {
            let outcome = memory::call(&*service, method, json!([])).await;
            self.outcomes.send(outcome).await.map_err(RpcError::internal)
        });
        futures_util::future::try_join_all(calls).await.map(|_| ())
    }
}

/// Makes `calls` within `limits`: the outcomes in the order in which they came, the end, and the budget.
async fn run(limits: Limits, calls: &[&'static str]) -> (Vec<Result<Value>>, Result<()>, Arc<Budget>) {
    let (outcomes, mut received) = mpsc::channel(calls.len());
    let peer = Peer { calls: calls.to_vec(), outcomes };
    let server = Server::with_limits(TroubleService::new(Troubled), limits).mount(peer).grace(Duration::from_secs(1));
    let budget = server.budget();
    let mut seen = Vec::new();
    let all = async {
        while let Some(outcome) = received.recv().await {
            seen.push(outcome);
        }
    };
    let (ended, ()) = tokio::join!(server.serve_until(tokio::time::sleep(Duration::from_mins(2))), all);
    (seen, ended, budget)
}

fn failed(outcome: &Result<Value>) -> (Code, &str) {
    let error = outcome.as_ref().expect_err("this call fails");
    (error.code(), error.message())
}

#[tokio::test(start_paused = true)]
async fn a_method_that_never_returns_is_cut_off() {
    let limits = Limits { call_time: Duration::from_mins(1), ..Limits::default() };
    let (outcomes, ended, budget) = run(limits, &["hang", "ping"]).await;
    assert_eq!(outcomes[0], Ok(json!(7)), "others go on");
    assert_eq!(failed(&outcomes[1]), (Code::DeadlineExceeded, "hang was cut off; the limit call_time is 60s"));
    assert_eq!((ended, budget.met(Limit::CallTime), budget.calls()), (Ok(()), 1, 0));
}

#[tokio::test(start_paused = true)]
async fn one_call_too_many_is_refused() {
    let limits = Limits { calls_in_all: 2, call_time: Duration::from_secs(1), ..Limits::default() };
    let (outcomes, _, budget) = run(limits, &["hang", "hang", "ping"]).await;
    let refused = "the server has too many calls in flight; the limit calls_in_all is 2";
    assert_eq!(failed(&outcomes[0]), (Code::ResourceExhausted, refused));
    assert_eq!((outcomes.len(), budget.calls()), (3, 0), "places are given back");
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_panics_is_an_error() {
    let (outcomes, ended, _) = run(Limits::default(), &["burst", "ping"]).await;
    let code = failed(&outcomes[0]).0;
    assert_eq!((code, outcomes[1].as_ref(), ended), (Code::Internal, Ok(&json!(7)), Ok(())));
}

#[tokio::test(start_paused = true)]
async fn the_grace_time_ends_what_hangs() {
    let (outcomes, ended, _) = run(Limits::default(), &["hang"]).await;
    let error = ended.unwrap_err();
    assert_eq!(failed(&outcomes[0]), (Code::Unavailable, "the server shut down before the call was done"));
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert_eq!(error.message(), "calls in flight outlasted the grace period of 1s and were cut off");
}
