//! Permits per time slot, as a flag.

use std::{str::FromStr, time::Duration};

/// At most `permits` in each `slot`. As text: `5/0.8s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) permits: u32,
    pub(crate) slot: Duration,
}

/// The longest slot: a permit that comes once in a day is a matter for a calendar.
const LONGEST_SLOT: Duration = Duration::from_hours(24);

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (permits, slot) = text.split_once('/').ok_or("expected N/TIME, such as 5/0.8s")?;
        let permits = permits.parse().ok().filter(|permits| *permits > 0);
        let permits = permits.ok_or_else(|| format!("N is a number from 1 to {}", u32::MAX))?;
        let slot = humantime::parse_duration(slot).map_err(|error| format!("TIME, such as 0.8s: {error}"))?;
        if slot.is_zero() || slot > LONGEST_SLOT {
            return Err("TIME is more than 0 and at most 1day".to_owned());
        }
        Ok(Self { permits, slot })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        let rate = |permits, millis| Ok(Rate { permits, slot: Duration::from_millis(millis) });
        #[rustfmt::skip]
        let cases = [
            ("5/0.8s", rate(5, 800)),
            ("1/1ms", rate(1, 1)),
            ("4294967295/1day", rate(u32::MAX, 86_400_000)),
            ("10/1m 30s", rate(10, 90_000)),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_rate_is_explained() {
        #[rustfmt::skip]
        let cases = [
            ("", "expected N/TIME, such as 5/0.8s"),
            ("5", "expected N/TIME, such as 5/0.8s"),
            ("0/1s", "N is a number from 1 to 4294967295"),
            ("-1/1s", "N is a number from 1 to 4294967295"),
            ("4294967296/1s", "N is a number from 1 to 4294967295"),
            ("5/", "TIME, such as 0.8s: value was empty"),
            ("5/0.8", "TIME, such as 0.8s: time unit needed"),
            ("5/0s", "TIME is more than 0 and at most 1day"),
            ("5/25h", "TIME is more than 0 and at most 1day"),
        ];
        for (text, expected) in cases {
            let error = text.parse::<Rate>().expect_err(text);
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }
}
