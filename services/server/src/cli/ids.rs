//! The settings of the ids as flags.

use std::{
    fs,
    str::FromStr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::Args;
use everywire::{Code, RpcError};
use everywire_id::{Ids, Layout, LeaseTimes, Secret, Settings, Snowflake, WorkerLease};
use everywire_lock::Backend;

use super::of_flag;

/// What makes the ids of this server differ from those of others
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Ids")]
pub(crate) struct IdFlags {
    /// What makes the ids. snowflake, this process: unique among servers with different worker ids, and k-sorted, that is by
    /// time to the millisecond. redis://HOST:PORT, its clock and a counter: also globally monotonic, that is, a later call on
    /// any server gets a greater id. segment+postgres://… or segment+mysql://…, ranges of numbers: unique.
    /// increment+postgres://… or increment+mysql://…, the database's counter: all three. This holds among servers with the
    /// same --id, --id-epoch, --id-layout and --id-secret; with an engine, as long as it keeps what was written to it
    #[arg(long, value_name = "SCHEME", default_value = "snowflake")]
    id: String,
    /// The worker id of snowflake, 0 to 1023 with the default layout. Ids are unique as long as no two servers use the same one
    /// at the same time. auto leases one from the engine of --lock; the servers' clocks must then differ by less than 40 s,
    /// and ids are unavailable once the engine has been away for 20 s [default: auto with --lock, except redlock://…; else 0]
    #[arg(long, value_name = "N|auto")]
    worker: Option<Worker>,
    /// Start of the time in ids of snowflake and Redis, in UTC or in milliseconds of Unix time. Never change it once ids are
    /// in use
    #[arg(long, value_name = "TIME", default_value = "2024-01-01T00:00:00Z", value_parser = time)]
    id_epoch: SystemTime,
    /// Bits of a snowflake id for the time in milliseconds, the worker id and the sequence, at most 63 together. js is 41/5/7,
    /// the 53 bits of JavaScript's numbers. With Redis the worker id's bits belong to the sequence. Never change it once ids
    /// are in use
    #[arg(long, value_name = "T/W/S|js", default_value_t)]
    id_layout: Layout,
    /// Hide the order and the number of ids with a key of 32 hexadecimal digits (openssl rand -hex 16), or a file that contains
    /// it. Ids are then not sorted, and unique among servers with the same key. Never change it once ids are in use
    #[arg(long, value_name = "KEY|@FILE", value_parser = secret)]
    id_secret: Option<Secret>,
}

/// Who sets the worker id.
#[derive(Debug, Clone, Copy)]
enum Worker {
    Fixed(u64),
    Leased,
}

impl FromStr for Worker {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Leased),
            number => number.parse().map(Self::Fixed).map_err(|_| "expected a number, or auto"),
        }
    }
}

/// A file keeps the key out of the list of processes.
fn secret(text: &str) -> Result<Secret, String> {
    let key = match text.strip_prefix('@') {
        Some(file) => fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?,
        None => text.to_owned(),
    };
    key.trim_end().parse().map_err(|error: RpcError| error.message().to_owned())
}

fn time(text: &str) -> Result<SystemTime, String> {
    match text.parse() {
        Ok(ms) => UNIX_EPOCH.checked_add(Duration::from_millis(ms)).ok_or_else(|| "too late".to_owned()),
        Err(_) => humantime::parse_rfc3339(text)
            .map_err(|error| format!("{error}; expected a time such as 2024-01-01T00:00:00Z, or milliseconds")),
    }
}

/// Whether worker ids can be leased from `locks`: a quorum of Redises has no fencing tokens.
fn can_lease(locks: &Backend) -> bool {
    match locks {
        #[cfg(feature = "redis")]
        Backend::Redlock(_) => false,
        locks => locks.engine().is_some(),
    }
}

/// The error of a lease that is only the default: it says how to do without.
fn of_default(error: &RpcError) -> RpcError {
    let how = "with --lock a worker id is leased there, unless --worker N sets one";
    RpcError::new(error.code(), format!("{how}: {}", error.message()))
}

impl IdFlags {
    /// Builds the id generator that the flags select; `locks` are those of `--lock`.
    pub(crate) async fn connect(&self, locks: Option<&Arc<Backend>>) -> everywire::Result<Ids> {
        let ids = match (self.id.as_str(), self.worker) {
            ("snowflake", Some(Worker::Leased)) => {
                let ids = self.snowflake()?;
                ids.leased(self.lease(locks).await.map_err(of_flag("--worker auto"))?).into()
            }
            ("snowflake", None) if locks.is_some_and(|locks| can_lease(locks)) => {
                let ids = self.snowflake()?;
                ids.leased(self.lease(locks).await.map_err(|error| of_default(&error))?).into()
            }
            ("snowflake", _) => self.snowflake()?.into(),
            (_, Some(_)) => return Err(RpcError::invalid_argument("--worker is for --id snowflake only")),
            (url, None) => Ids::connect(url, self.settings()).await.map_err(of_flag("--id"))?,
        };
        Ok(match &self.id_secret {
            Some(secret) => ids.hidden(secret.clone()),
            None => ids,
        })
    }

    /// Whether flags change every id, so that all servers need the same ones.
    pub(crate) fn are_special(&self) -> bool {
        let Settings { epoch, layout, .. } = Settings::default();
        (self.id_epoch, self.id_layout) != (epoch, layout) || self.id_secret.is_some()
    }

    async fn lease(&self, locks: Option<&Arc<Backend>>) -> everywire::Result<WorkerLease> {
        let locks =
            locks.ok_or_else(|| RpcError::invalid_argument("it leases a worker id from the engine of --lock"))?;
        WorkerLease::acquire(Arc::clone(locks), self.id_layout.max_worker(), LeaseTimes::default()).await
    }

    fn snowflake(&self) -> everywire::Result<Snowflake> {
        Snowflake::with(self.settings()).map_err(|error| match error.code() {
            Code::OutOfRange => of_flag("--id-layout")(error),
            _ => of_flag("--worker")(error),
        })
    }

    fn settings(&self) -> Settings {
        let worker = match self.worker {
            Some(Worker::Fixed(worker)) => worker,
            Some(Worker::Leased) | None => 0,
        };
        Settings { worker, epoch: self.id_epoch, layout: self.id_layout }
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
        Flags::try_parse_from(words).map(|flags| flags.ids.settings()).map_err(|error| error.to_string())
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

    #[test]
    fn a_secret_is_32_digits_or_in_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "00112233445566778899aabbccddeeff\n").unwrap();
        let at = format!("@{}", file.path().display());
        for text in ["00112233445566778899AABBCCDDEEFF", &at] {
            assert!(settings(&["--id-secret", text]).is_ok(), "{text}");
        }
        for (text, expected) in [("short", "32 hexadecimal digits"), ("@/nowhere", "/nowhere: No such file")] {
            let error = settings(&["--id-secret", text]).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert_eq!(settings(&["--worker", "7"]).unwrap().worker, 7);
        assert!(settings(&["--worker", "auto"]).is_ok());
        assert!(settings(&["--worker", "many"]).unwrap_err().contains("expected a number, or auto"));
    }
}
