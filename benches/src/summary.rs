//! Medians and spreads over the rounds.

use crate::result::{Kind, Measurement, Results, Series, TargetInfo};

/// The same figure in every round.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// Of all rounds.
    pub median: f64,
    /// The lowest round.
    pub low: f64,
    /// The highest round.
    pub high: f64,
}

impl Figure {
    /// Of at least one value; those that are no numbers don't count.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let (&low, &high) = (values.first()?, values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) };
        Some(Self { median, low, high })
    }

    /// The same figure in units of which so many make one.
    #[must_use]
    pub fn times(&self, units: f64) -> Self {
        Self { median: self.median * units, low: self.low * units, high: self.high * units }
    }

    /// Whether no round of the one is within the rounds of the other.
    pub fn is_beyond(&self, other: &Self) -> bool {
        self.low > other.high || self.high < other.low
    }
}

/// What is looked at in a measurement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Metric {
    /// Answered calls per second.
    Rate,
    /// Microseconds of a call at one of [`QUANTILES`](crate::result::QUANTILES).
    Micros(f64),
    /// Microseconds of the server's CPU per call.
    Cpu,
}

impl Metric {
    /// The median time.
    pub const P50: Self = Self::Micros(0.5);
    /// What one call of a hundred exceeds.
    pub const P99: Self = Self::Micros(0.99);

    fn of(self, measured: &Measurement) -> f64 {
        match self {
            Self::Rate => measured.rate,
            Self::Micros(quantile) => measured.at_quantile(quantile),
            Self::Cpu => measured.cpu_micros.unwrap_or(f64::NAN),
        }
    }
}

/// A load: what is varied, and where in it.
pub type Load = (Series, f64);

impl Results {
    /// A figure of `target` under `load`, if it was measured.
    pub fn figure(&self, target: &str, load: Load, metric: Metric) -> Option<Figure> {
        Figure::of(self.measured(target, load).map(|measured| metric.of(measured)))
    }

    /// The same in relation to another target under the same load in the same round.
    pub fn ratio(&self, target: &str, to: &str, load: Load, metric: Metric) -> Option<Figure> {
        Figure::of(self.measured(target, load).filter_map(|measured| {
            let other = self.measured(to, load).find(|other| other.round == measured.round)?;
            Some(metric.of(measured) / metric.of(other))
        }))
    }

    /// Where in `series` there is a measurement of `target`, in order.
    pub fn points(&self, target: &str, series: Series) -> Vec<f64> {
        let of = self.measurements.iter().filter(|measured| measured.target == target && measured.series == series);
        let mut points: Vec<f64> = of.map(|measured| measured.at).collect();
        points.sort_by(f64::total_cmp);
        points.dedup();
        points
    }

    /// The targets that are no baselines.
    pub fn own(&self) -> impl Iterator<Item = &TargetInfo> {
        self.targets.iter().filter(|target| !matches!(target.kind, Kind::BaselineOf(_)))
    }

    /// The wires of everywire.
    pub fn wires(&self) -> impl Iterator<Item = &TargetInfo> {
        self.targets.iter().filter(|target| target.kind == Kind::Wire)
    }

    /// The baselines, each with the wire whose client calls it.
    pub fn baselines(&self) -> impl Iterator<Item = (&TargetInfo, &str)> {
        self.targets.iter().filter_map(|target| match &target.kind {
            Kind::BaselineOf(wire) => Some((target, wire.as_str())),
            _ => None,
        })
    }

    /// A target's name for people.
    pub fn label<'a>(&'a self, name: &'a str) -> &'a str {
        self.targets.iter().find(|target| target.name == name).map_or(name, |target| &target.label)
    }

    fn measured<'a>(&'a self, target: &'a str, (series, at): Load) -> impl Iterator<Item = &'a Measurement> {
        self.measurements.iter().filter(move |measured| {
            measured.target == target && measured.series == series && measured.at.total_cmp(&at).is_eq()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_the_median_and_the_spread() {
        assert_eq!(Figure::of([3.0, f64::NAN, 1.0, 2.0]), Some(Figure { median: 2.0, low: 1.0, high: 3.0 }));
        assert_eq!(Figure::of([4.0, 2.0]), Some(Figure { median: 3.0, low: 2.0, high: 4.0 }));
        assert_eq!(Figure::of([f64::NAN]), None);
        let figure = |low, high| Figure { median: low, low, high };
        assert!(figure(1.0, 2.0).is_beyond(&figure(2.1, 3.0)) && figure(2.1, 3.0).is_beyond(&figure(1.0, 2.0)));
        assert!(!figure(1.0, 2.0).is_beyond(&figure(2.0, 3.0)));
    }
}
