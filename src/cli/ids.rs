//! The settings of the ids as flags.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use everywire::services::id::{Layout, Settings};

/// What makes the ids of this server differ from those of others
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Ids")]
pub(crate) struct IdFlags {
    /// The worker id, 0 to 1023 with the default layout: another one for each server that makes ids at the same time
    #[arg(long, value_name = "N", default_value_t = 0)]
    worker: u64,
    /// When the time in the ids begins, in UTC or in milliseconds of Unix time. Never change it once ids are in use
    #[arg(long, value_name = "TIME", default_value = "2024-01-01T00:00:00Z", value_parser = time)]
    id_epoch: SystemTime,
    /// Bits of time in milliseconds, of the worker id and of the sequence, at most 63. Never change it once ids are in use
    #[arg(long, value_name = "T/W/S", default_value_t)]
    id_layout: Layout,
}

fn time(text: &str) -> Result<SystemTime, String> {
    match text.parse() {
        Ok(ms) => UNIX_EPOCH.checked_add(Duration::from_millis(ms)).ok_or_else(|| "too late".to_owned()),
        Err(_) => humantime::parse_rfc3339(text)
            .map_err(|error| format!("{error}; expected a time such as 2024-01-01T00:00:00Z, or milliseconds")),
    }
}

impl From<IdFlags> for Settings {
    fn from(flags: IdFlags) -> Self {
        Self { worker: flags.worker, epoch: flags.id_epoch, layout: flags.id_layout }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        ids: IdFlags,
    }

    fn settings(words: &[&str]) -> Result<Settings, String> {
        let words = ["everywire"].iter().chain(words);
        Flags::try_parse_from(words).map(|flags| flags.ids.into()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_flags_have_the_defaults_of_the_settings() {
        assert_eq!(settings(&[]).unwrap(), Settings::default());
    }

    #[test]
    fn an_epoch_is_a_date_or_milliseconds() {
        let expected = UNIX_EPOCH + Duration::from_millis(1_500_000_000_250);
        for text in ["2017-07-14T02:40:00.25Z", "1500000000250"] {
            assert_eq!(settings(&["--id-epoch", text]).unwrap().epoch, expected, "{text}");
        }
        for text in ["soon", "2017-07-14", "-1"] {
            let error = settings(&[&format!("--id-epoch={text}")]).unwrap_err();
            assert!(error.contains("expected a time such as 2024-01-01T00:00:00Z, or milliseconds"), "{error}");
        }
        assert!(settings(&["--id-layout", "41/10/13"]).unwrap_err().contains("has 64 bits"));
    }
}
