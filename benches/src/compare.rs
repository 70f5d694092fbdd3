//! Two runs side by side: what changed beyond the spread of the rounds.

use crate::{
    result::{Kind, Results, Series},
    summary::{Figure, Load, Metric},
};

/// A figure that is another now.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The target's name.
    pub target: String,
    /// Under which load.
    pub load: Load,
    /// What was looked at, in words.
    pub what: &'static str,
    /// Before.
    pub old: Figure,
    /// Now.
    pub new: Figure,
    /// Whether more of it is better.
    pub more_is_better: bool,
}

impl Change {
    /// The new median in relation to the old one.
    pub fn factor(&self) -> f64 {
        self.new.median / self.old.median
    }

    /// Whether it is better now.
    pub fn is_better(&self) -> bool {
        (self.factor() > 1.0) == self.more_is_better
    }
}

/// What changed: of closed loops calls per second in relation to the TCP floor of the same round, since absolute times
/// drift; of open loops the time of one call in a hundred; of payloads the median time in relation to the floor.
pub fn changes(old: &Results, new: &Results) -> Vec<Change> {
    let mut changes = Vec::new();
    for target in new.targets.iter().filter(|target| target.kind != Kind::Floor) {
        for (series, metric, what, more_is_better) in [
            (Series::Closed, Metric::Rate, "calls/s against TCP", true),
            (Series::Shared, Metric::Rate, "calls/s", true),
            (Series::Open, Metric::P99, "p99 in µs", false),
            (Series::Payload, Metric::P50, "p50 against TCP", false),
        ] {
            for at in new.points(&target.name, series) {
                let load = (series, at);
                let figure = |results: &Results| match series {
                    Series::Closed | Series::Payload => results.ratio(&target.name, "tcp", load, metric),
                    _ => results.figure(&target.name, load, metric),
                };
                if let (Some(old), Some(new)) = (figure(old), figure(new))
                    && new.is_beyond(&old)
                {
                    changes.push(Change { target: target.name.clone(), load, what, old, new, more_is_better });
                }
            }
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::results;

    #[test]
    fn what_is_beyond_the_spread_has_changed() {
        let closed = (Series::Closed, 16.0);
        let run = |tcp: [f64; 2], grpc: [f64; 2]| results(&[("tcp", closed, tcp), ("grpc", closed, grpc)]);
        let old = run([100.0, 200.0], [50.0, 110.0]);
        let same = run([1_000.0, 1_000.0], [530.0, 500.0]);
        assert_eq!(changes(&old, &same), [], "ratios count, and not absolute figures");
        let slower = run([100.0, 100.0], [30.0, 40.0]);
        let [change] = &changes(&old, &slower)[..] else { panic!("one change") };
        assert_eq!((&*change.target, change.load, change.is_better()), ("grpc", closed, false));
        assert!((change.factor() - 0.35 / 0.525).abs() < 1e-9, "{change:?}");

        let open = (Series::Open, 0.7);
        let run = |micros| results(&[("zerorpc", open, micros)]);
        let [change] = &changes(&run([400.0, 500.0]), &run([100.0, 200.0]))[..] else { panic!("one change") };
        assert!(change.is_better(), "a shorter time: {change:?}");
    }
}
