//! What was granted when, as its clients saw it.

use std::time::{Duration, Instant};

/// A permit: it was granted some time between the two.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Granted {
    pub(crate) asked: Instant,
    pub(crate) answered: Instant,
}

/// The most permits that were certainly granted within less than `length`, wherever that begins.
pub(crate) fn most_within(length: Duration, granted: &[Granted]) -> usize {
    let mut granted = granted.to_vec();
    granted.sort_by_key(|granted| granted.asked);
    let within = |(first, start): (usize, &Granted)| {
        let end = start.asked + length;
        granted[first..].iter().filter(|granted| granted.answered < end).count()
    };
    granted.iter().enumerate().map(within).max().unwrap_or(0)
}

#[test]
fn the_fullest_window_is_found() {
    let start = Instant::now();
    let at = |ms: u64| Granted {
        asked: start + Duration::from_millis(ms),
        answered: start + Duration::from_millis(ms + 10),
    };
    let granted = [0, 90, 95, 100, 150, 189, 190, 300].map(at);
    assert_eq!(most_within(Duration::from_millis(100), &granted), 4, "90 to 160, and no answer at 199 or later");
    assert_eq!(most_within(Duration::from_millis(111), &granted), 6);
    assert_eq!(most_within(Duration::from_millis(100), &[]), 0);
}
