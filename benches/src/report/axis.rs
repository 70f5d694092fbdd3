//! Axes: what stands where, and in which words.

/// One axis. Everything on it is in its own coordinates, which are logarithms where the axis is logarithmic.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    /// What is on it, with its unit.
    pub(super) label: &'static str,
    /// Lowest and highest coordinate.
    pub(super) range: (f64, f64),
    /// Coordinates with their words.
    pub(super) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// From zero to a round number at or above the highest of `values`.
    pub(super) fn linear(label: &'static str, values: impl Iterator<Item = f64>, write: fn(f64) -> String) -> Self {
        let highest = values.fold(f64::MIN_POSITIVE, f64::max);
        let magnitude = 10_f64.powf(highest.log10().floor());
        let step = [0.2, 0.5, 1.0, 2.0].map(|part| part * magnitude).into_iter().find(|step| highest / step <= 6.0);
        let step = step.unwrap_or(2.0 * magnitude);
        let end = (highest / step).ceil();
        let places = std::iter::successors(Some(0.0), |at| Some(at + 1.0)).take_while(|at| *at <= end);
        let ticks = places.map(|at| (at * step, write(at * step))).collect();
        Self { label, range: (0.0, end * step), ticks }
    }

    /// Logarithmic, with ticks at 1, 2 and 5 of each power of ten or at the powers alone, whichever is few enough.
    pub(super) fn log(label: &'static str, values: impl Iterator<Item = f64>, write: fn(f64) -> String) -> Self {
        let positive = values.filter(|value| *value > 0.0).map(f64::log10);
        let (low, high) = positive.fold((f64::MAX, f64::MIN), |(low, high), at| (low.min(at), high.max(at)));
        let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
        let room = 0.04 * (high - low).max(0.5);
        let range = (low - room, high + room);
        let within = |steps: &[f64]| -> Vec<(f64, String)> {
            let powers = std::iter::successors(Some(range.0.floor()), |power| Some(power + 1.0));
            let powers = powers.take_while(|power| *power <= range.1);
            powers
                .flat_map(|power| steps.iter().map(move |step| step * 10_f64.powf(power)))
                .filter(|value| (range.0..=range.1).contains(&value.log10()))
                .map(|value| (value.log10(), write(value)))
                .collect()
        };
        let ticks = [&[1.0, 2.0, 5.0][..], &[1.0, 3.0], &[1.0]].into_iter().map(within).find(|ticks| ticks.len() <= 8);
        Self { label, range, ticks: ticks.unwrap_or_else(|| within(&[1.0])) }
    }

    /// With these ticks and nothing beyond them.
    pub(super) fn fixed(label: &'static str, ticks: Vec<(f64, String)>) -> Self {
        let first = ticks.first().map_or(0.0, |tick| tick.0);
        let last = ticks.last().map_or(1.0, |tick| tick.0);
        Self { label, range: (first, if last > first { last } else { first + 1.0 }), ticks }
    }

    /// Where a coordinate stands between the ends: 0 to 1.
    pub(super) fn part(&self, at: f64) -> f64 {
        (at - self.range.0) / (self.range.1 - self.range.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::numbers::{count, time};

    fn words(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, text)| &**text).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(
            words(&Axis::linear("", [61_000.0].into_iter(), count)),
            ["0", "20,000", "40,000", "60,000", "80,000"]
        );
        assert_eq!(words(&Axis::linear("", [1.0].into_iter(), count)), ["0", "0.20", "0.40", "0.60", "0.80", "1"]);
        assert_eq!(words(&Axis::log("", [60.0, 900.0].into_iter(), time)), ["100 µs", "200 µs", "500 µs", "1 ms"]);
        assert_eq!(words(&Axis::log("", [1.5, 40_000.0].into_iter(), time)).len(), 5, "powers alone");
        assert_eq!(words(&Axis::log("", [f64::NAN].into_iter(), time)), ["1 µs", "2 µs", "5 µs", "10 µs"]);
    }
}
