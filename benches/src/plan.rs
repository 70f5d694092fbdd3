//! What is measured: the steps of a round, and how long each takes.

use std::time::Duration;

use crate::{
    result::Series,
    target::{By, Kind, Target},
};

/// Parts of the highest rate at which the open loops run.
pub const OPEN: [f64; 4] = [0.25, 0.5, 0.7, 0.9];
/// Bytes of the texts that go there and back.
pub const PAYLOAD: [u32; 5] = [0, 100, 1_000, 10_000, 100_000];
/// Numbers in one answer.
pub const NUMBERS: [u32; 3] = [1, 100, 10_000];
/// Items of one stream: the time of one is that to the first item.
pub const ITEMS: [u32; 3] = [1, 100, 10_000];
/// Calls in one batch; a server's limit is a thousand.
pub const BATCH: [u32; 3] = [1, 10, 100];
/// Calls in flight on one connection.
pub const SHARED: [u32; 3] = [1, 16, 64];
/// Ids of one call.
pub const IDS: [u32; 2] = [1, 1_000];
/// Connections of the baselines.
pub const BASELINES: [usize; 2] = [1, 16];

/// One measurement of a round.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Which of the targets.
    pub target: usize,
    /// What is varied.
    pub series: Series,
    /// Where in it.
    pub at: f64,
    /// Its part of the time, in relation to others.
    weight: f64,
}

/// The steps of a round, and its time.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How often all steps are taken.
    pub rounds: u32,
    /// What a round does, in this order: targets take turns under the same load.
    pub steps: Vec<Step>,
    unit: Duration,
}

impl Plan {
    /// All steps for `targets` in so many `rounds`, which take `time` together.
    pub fn new(targets: &[Target], concurrency: &[usize], rounds: u32, time: Duration) -> Self {
        let mut steps = Vec::new();
        let mut add = |series, at: f64, weight, is_in: &dyn Fn(&Target) -> bool| {
            let chosen = targets.iter().enumerate().filter(|(_, target)| is_in(target));
            steps.extend(chosen.map(|(target, _)| Step { target, series, at, weight }));
        };
        let is_baseline = |target: &Target| matches!(target.kind, Kind::Baseline(_));
        let is_remote = |target: &Target| !matches!(target.by, By::Direct | By::Memory);
        let mut connections = concurrency.to_vec();
        connections.extend(BASELINES);
        connections.sort_unstable();
        connections.dedup();
        for &count in &connections {
            add(Series::Closed, count as f64, 1.0, &|target| {
                let asked: &[usize] = if is_baseline(target) { &BASELINES } else { concurrency };
                asked.contains(&count) && (count == 1 || is_remote(target))
            });
        }
        for at in OPEN {
            add(Series::Open, at, 1.5, &|target| is_remote(target) && !is_baseline(target));
        }
        for in_flight in SHARED {
            add(Series::Shared, in_flight.into(), 0.6, &|target| {
                !is_baseline(target) && target.by.shares_a_connection()
            });
        }
        for bytes in PAYLOAD {
            add(Series::Payload, bytes.into(), 0.5, &|target| !is_baseline(target) && target.by != By::Direct);
        }
        for count in NUMBERS {
            add(Series::Numbers, count.into(), 0.4, &|target| target.kind == Kind::Wire);
        }
        for count in ITEMS {
            add(Series::Items, count.into(), 0.4, &|target| target.kind == Kind::Wire);
        }
        for calls in BATCH {
            add(Series::Batch, calls.into(), 0.4, &|target| {
                target.kind == Kind::Wire && matches!(target.by, By::Xmlrpc | By::Http)
            });
        }
        for count in IDS {
            add(Series::Ids, count.into(), 0.5, &|target| target.kind == Kind::Wire);
        }
        let weights = f64::from(rounds) * steps.iter().map(|step| step.weight).sum::<f64>();
        let unit = Duration::from_secs_f64(time.as_secs_f64() / weights.max(1.0));
        Self { rounds, steps, unit }
    }

    /// How long a step measures.
    pub fn time(&self, step: &Step) -> Duration {
        self.unit.mul_f64(step.weight)
    }

    /// How long all measure together.
    pub fn total(&self) -> Duration {
        self.steps.iter().map(|step| self.time(step)).sum::<Duration>() * self.rounds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::OWN;

    fn target(at: usize) -> Target {
        let (name, label, kind, by) = OWN[at];
        Target { name, label, kind, by, address: String::new(), pid: None }
    }

    #[test]
    fn targets_take_turns_and_the_time_is_kept() {
        let mut targets: Vec<_> = (0..OWN.len()).map(target).collect();
        targets.push(Target { name: "hyper-http1", kind: Kind::Baseline("xmlrpc"), ..target(3) });
        let plan = Plan::new(&targets, &[1, 4, 64], 3, Duration::from_mins(1));
        assert!(plan.total().abs_diff(Duration::from_mins(1)) < Duration::from_millis(10));
        let at = |series, at: f64| -> Vec<&str> {
            let steps = plan.steps.iter().filter(|step| step.series == series && step.at.total_cmp(&at).is_eq());
            steps.map(|step| targets[step.target].name).collect()
        };
        let own = ["direct", "memory", "tcp", "xmlrpc", "jsonrpc-http", "jsonrpc-ws", "grpc", "zerorpc", "amqp"];
        assert_eq!(at(Series::Closed, 1.0), [&own[..], &["hyper-http1"]].concat());
        assert_eq!(at(Series::Closed, 16.0), ["hyper-http1"], "16 was not asked for, but for the baselines");
        assert_eq!(at(Series::Closed, 64.0), own[2..]);
        assert_eq!(at(Series::Open, 0.7), own[2..]);
        assert_eq!(at(Series::Batch, 10.0), ["xmlrpc", "jsonrpc-http"]);
        assert_eq!(at(Series::Shared, 64.0), own[5..]);
        assert_eq!(at(Series::Items, 10_000.0), own[3..]);
        assert_eq!(at(Series::Ids, 1_000.0), own[3..]);
    }
}
