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
