//! What a run has measured: the JSON file, and the CSV file with a line for each measurement.

use std::fmt::Write as _;

use everywire::{Result, RpcError};
use serde::{Deserialize, Serialize};

use crate::{load::Sample, machine::Machine, target};

/// The version of the JSON file's form.
pub const FORMAT: u32 = 1;

/// The fractions of calls at which times are kept: enough to draw a distribution without all of its calls.
pub const QUANTILES: [f64; 22] = [
    0.0, 0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995,
    0.9999, 1.0,
];

/// One run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Results {
    /// [`FORMAT`].
    pub format: u32,
    /// Where and with what it ran.
    pub machine: Machine,
    /// How it was asked to run.
    pub settings: Settings,
    /// Whether it was ended before its end.
    pub interrupted: bool,
    /// What was called, in the order of the report.
    pub targets: Vec<TargetInfo>,
    /// [`QUANTILES`], so that the file explains itself.
    pub quantiles: Vec<f64>,
    /// Every measurement, in the order of time.
    pub measurements: Vec<Measurement>,
    /// What calls cost without a socket.
    pub costs: Vec<Cost>,
    /// What calls have on the wire.
    pub traffic: Vec<Traffic>,
    /// The server's memory after the last round.
    pub memory: Option<Memory>,
    /// What was asked for and could not be measured.
    pub missing: Vec<Missing>,
}

/// How a run was asked to run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// Rounds over all targets.
    pub rounds: u32,
    /// The time of all measurements together, in seconds.
    pub seconds: f64,
    /// Connections of the closed loops.
    pub concurrency: Vec<usize>,
}

/// What was called.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TargetInfo {
    /// Its name in the measurements.
    pub name: String,
    /// Its name for people.
    pub label: String,
    /// What it is compared as.
    pub kind: Kind,
}

/// What a target is compared as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// What no wire can beat.
    Floor,
    /// A wire of everywire.
    Wire,
    /// Another server, called by the same client as the wire of this name.
    #[serde(alias = "peer-of")]
    BaselineOf(String),
}

/// What is varied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Series {
    /// Closed loop; at: connections, a call at a time on each.
    Closed,
    /// Closed loop over one connection; at: calls in flight.
    Shared,
    /// Open loop; at: the part of the highest rate of the closed loops in the first round.
    Open,
    /// Closed loop over one connection; at: bytes of the text that goes there and back.
    Payload,
    /// Closed loop over one connection; at: numbers in one answer.
    Numbers,
    /// Closed loop over one connection; at: items of one stream.
    Items,
    /// Closed loop over one connection of plain HTTP; at: calls in one batch.
    Batch,
    /// Closed loop over 16 connections; at: ids of one call.
    Ids,
}

/// One target under one load in one round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Measurement {
    /// From 1.
    pub round: u32,
    /// The target's name.
    pub target: String,
    /// What is varied.
    pub series: Series,
    /// Where in it.
    pub at: f64,
    /// Calls that were answered.
    pub calls: u64,
    /// Calls that failed.
    pub errors: u64,
    /// What the first of them said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_error: Option<String>,
    /// How long it took.
    pub seconds: f64,
    /// Calls that were due per second, of an open loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offered: Option<f64>,
    /// Answered calls per second.
    pub rate: f64,
    /// Microseconds of a call at each of [`QUANTILES`].
    pub micros: Vec<f64>,
    /// Microseconds of the server's CPU per call, user and system, where the process can be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_micros: Option<f64>,
}

impl Measurement {
    /// What `sample` says.
    pub fn new(round: u32, target: &str, series: Series, at: f64, sample: &Sample) -> Self {
        Self {
            round,
            target: target.to_owned(),
            series,
            at,
            calls: sample.times.len(),
            errors: sample.errors,
            first_error: sample.first_error.clone(),
            seconds: sample.elapsed.as_secs_f64(),
            offered: None,
            rate: sample.rate(),
            micros: QUANTILES.iter().map(|quantile| sample.micros(*quantile)).collect(),
            cpu_micros: None,
        }
    }

    /// Microseconds at one of [`QUANTILES`].
    pub fn at_quantile(&self, quantile: f64) -> f64 {
        let index = QUANTILES.iter().position(|known| known.total_cmp(&quantile).is_eq());
        index.and_then(|index| self.micros.get(index)).copied().unwrap_or(f64::NAN)
    }
}

/// What one call costs in this process, without a socket.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cost {
    /// The target's name.
    pub target: String,
    /// Bytes of the text that goes there and back; none for `add(3, 4)`.
    pub text: Option<u32>,
    /// Nanoseconds to write and read the arguments and the reply.
    pub codec: f64,
    /// Nanoseconds from the client's arguments to its reply: the codec, what stands around it, the dispatch and the
    /// method.
    pub whole: f64,
}

/// Bytes of one `add(3, 4)` over TCP, with every header but those of TCP and IP.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Traffic {
    /// The target's name.
    pub target: String,
    /// From the client.
    pub sent: f64,
    /// From the server.
    pub received: f64,
}

/// A server's memory in bytes.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Memory {
    /// At the end.
    pub resident: u64,
    /// The most.
    pub peak: u64,
}

/// What could not be measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Missing {
    /// The target's name for people.
    pub label: String,
    /// Why.
    pub why: String,
    /// What to do about it.
    pub remedy: String,
}

impl From<&target::Target> for TargetInfo {
    fn from(target: &target::Target) -> Self {
        let kind = match target.kind {
            target::Kind::Floor => Kind::Floor,
            target::Kind::Wire => Kind::Wire,
            target::Kind::Baseline(wire) => Kind::BaselineOf(wire.to_owned()),
        };
        Self { name: target.name.to_owned(), label: target.label.to_owned(), kind }
    }
}

impl Results {
    /// Reads a JSON file that a run has written.
    pub fn read(json: &str) -> Result<Self> {
        let results: Self = serde_json::from_str(json)
            .map_err(|error| RpcError::invalid_argument(format!("no results of `everywire bench`: {error}")))?;
        if results.format != FORMAT {
            let text = format!("results of another version: format {}, and this is {FORMAT}", results.format);
            return Err(RpcError::invalid_argument(text));
        }
        Ok(results)
    }

    /// The JSON file.
    pub fn json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(RpcError::internal)
    }

    /// The CSV file: a line for each measurement.
    pub fn csv(&self) -> String {
        let mut csv = String::from(
            "round,target,series,at,calls,errors,seconds,offered_per_s,calls_per_s,p50_us,p90_us,p99_us,p999_us,max_us,\
             server_cpu_us\n",
        );
        for measured in &self.measurements {
            let Measurement { round, target, series, at, calls, errors, seconds, offered, rate, cpu_micros, .. } =
                measured;
            let series = serde_json::to_value(series).unwrap_or_default();
            let series = series.as_str().unwrap_or_default();
            let optional = |value: &Option<f64>| value.map(|value| format!("{value:.3}")).unwrap_or_default();
            let [p50, p90, p99, p999, max] = [0.5, 0.9, 0.99, 0.999, 1.0].map(|at| measured.at_quantile(at));
            let _ = writeln!(
                csv,
                "{round},{target},{series},{at},{calls},{errors},{seconds:.3},{},{rate:.1},{p50:.3},{p90:.3},{p99:.3},\
                 {p999:.3},{max:.3},{}",
                optional(offered),
                optional(cpu_micros)
            );
        }
        csv
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{machine::Machine, summary::Load};

    /// Two rounds: each figure is the calls per second, and the microseconds of every call.
    pub(crate) fn results(measured: &[(&str, Load, [f64; 2])]) -> Results {
        let mut results = Results {
            format: FORMAT,
            machine: Machine::look(),
            settings: Settings { rounds: 2, seconds: 1.0, concurrency: vec![1, 16] },
            interrupted: false,
            targets: Vec::new(),
            quantiles: QUANTILES.to_vec(),
            measurements: Vec::new(),
            costs: Vec::new(),
            traffic: Vec::new(),
            memory: None,
            missing: Vec::new(),
        };
        for (name, (series, at), figures) in measured {
            if results.targets.iter().all(|target| target.name != *name) {
                let kind = if *name == "tcp" { Kind::Floor } else { Kind::Wire };
                results.targets.push(TargetInfo { name: (*name).to_owned(), label: name.to_uppercase(), kind });
            }
            for (round, figure) in (1..).zip(*figures) {
                let mut measurement = Measurement::new(round, name, *series, *at, &Sample::new());
                (measurement.calls, measurement.rate) = (1_000, figure);
                measurement.micros.fill(figure);
                results.measurements.push(measurement);
            }
        }
        results
    }

    #[test]
    fn results_are_read_as_they_were_written() {
        let results = results(&[("grpc", (Series::Payload, 100.0), [1.5, 2.5])]);
        let read = Results::read(&results.json().unwrap()).unwrap();
        assert_eq!(read.json(), results.json());
        assert_eq!(read.csv(), results.csv());
        let line = results.csv().lines().nth(1).unwrap().to_owned();
        assert_eq!(line, "1,grpc,payload,100,1000,0,0.000,,1.5,1.500,1.500,1.500,1.500,1.500,");
        let other = results.json().unwrap().replace("\"format\": 1", "\"format\": 2");
        let error = Results::read(&other).unwrap_err();
        assert!(error.message().contains("results of another version: format 2"), "{error}");
        assert!(Results::read("{}").is_err());
    }
}
