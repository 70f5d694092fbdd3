//! A run: the servers are started, the plan's rounds are measured, and what came out is collected.

use std::{ffi::OsString, path::PathBuf, sync::Arc, time::Duration};

use everywire::{Result, RpcError, wire::CancellationToken};
use futures_util::future::try_join_all;
use tokio::process::Command;

use crate::{
    baselines::Baselines,
    batch, cost,
    load::{self, Sample},
    machine::Machine,
    plan::{Plan, Step},
    process::{Process, cpu_time, memory},
    progress::Progress,
    result::{FORMAT, Measurement, Memory, Missing, QUANTILES, Results, Series, Settings, TargetInfo},
    server::Addresses,
    target::{By, Client, Kind, OWN, Target, Work},
    wiretap,
};

/// Connections of the open loops, over which calls are spread in turn.
const OPEN_CONNECTIONS: usize = 16;
/// Connections over which ids are asked for.
const ID_CONNECTIONS: usize = 16;
/// Bytes of the second text of which the costs without a socket are measured.
const COST_TEXT: u32 = 10_000;
/// The time for each of those costs.
const COST_TIME: Duration = Duration::from_millis(60);
/// A part of a measurement's time runs before it, and is not counted.
const WARM_UP: u32 = 10;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// Rounds over all targets.
    pub rounds: u32,
    /// The time of all measurements together.
    pub time: Duration,
    /// Connections of the closed loops.
    pub concurrency: Vec<usize>,
    /// Names of the wires; none: all.
    pub wires: Vec<String>,
    /// Where the servers are.
    pub servers: Servers,
    /// Whether to measure other servers too.
    pub baselines: bool,
    /// What runs their Python scripts.
    pub python: Option<PathBuf>,
}

/// Where the servers are.
#[derive(Debug, Clone)]
pub enum Servers {
    /// Started by the run: this program with these arguments prints the lines of
    /// [`server::serve`](crate::server::serve).
    Start(PathBuf, Vec<OsString>),
    /// There already: the same names and addresses.
    At(Addresses),
}

/// Measures until the plan is done, or until `stop`; what was measured until then is the result in any case.
pub async fn run(request: &Request, stop: &CancellationToken) -> Result<Results> {
    let machine = Machine::look();
    let (addresses, server) = match &request.servers {
        Servers::Start(program, arguments) => {
            let mut command = Command::new(program);
            command.args(arguments);
            let (addresses, server) = started(command).await?;
            (addresses, Some(server))
        }
        Servers::At(addresses) => (addresses.clone(), None),
    };
    let pid = server.as_ref().and_then(Process::pid);
    let mut targets = own_targets(&addresses, &request.wires, pid)?;
    for target in &targets {
        target.answers().await?;
    }
    let directory = std::env::current_exe().ok().and_then(|program| program.parent().map(PathBuf::from));
    let baselines = if request.baselines {
        let wires: Vec<_> = targets.iter().map(|target| target.name).collect();
        Baselines::start(&directory.unwrap_or_default(), request.python.clone(), &wires).await
    } else {
        Baselines::default()
    };
    targets.extend(baselines.targets.iter().cloned());
    let plan = Plan::new(&targets, &request.concurrency, request.rounds, request.time);
    let mut results = Results {
        format: FORMAT,
        machine,
        settings: Settings {
            rounds: request.rounds,
            seconds: request.time.as_secs_f64(),
            concurrency: request.concurrency.clone(),
        },
        interrupted: false,
        targets: targets.iter().map(TargetInfo::from).collect(),
        quantiles: QUANTILES.to_vec(),
        measurements: Vec::new(),
        costs: Vec::new(),
        traffic: Vec::new(),
        memory: None,
        missing: baselines.missing,
    };
    results.machine.versions.extend(baselines.versions);
    let mut run = Run { targets, plan, results, progress: Progress::new(request.time) };
    let ended = stop.run_until_cancelled(Box::pin(run.all())).await;
    run.progress.end();
    run.results.interrupted = ended.is_none();
    ended.transpose()?;
    run.results.memory = pid.and_then(memory).map(|(resident, peak)| Memory { resident, peak });
    Ok(run.results)
}

/// Starts the server and reads where it listens.
pub async fn started(command: Command) -> Result<(Addresses, Process)> {
    let mut server = Process::start(command)?;
    let mut addresses = Addresses::new();
    loop {
        let line = server.line().await?;
        match line.split_once(' ') {
            Some((name, address)) => addresses.insert(name.to_owned(), address.to_owned()),
            None if line == "ready" => return Ok((addresses, server)),
            None => return Err(RpcError::internal(format_args!("the server says `{line}`"))),
        };
    }
}

/// The targets of the program itself that have an address, or need none.
pub fn own_targets(addresses: &Addresses, wires: &[String], pid: Option<u32>) -> Result<Vec<Target>> {
    let is_wire = |name: &&String| OWN.iter().any(|(own, _, kind, _)| own == name && *kind == Kind::Wire);
    if let Some(unknown) = wires.iter().find(|name| !is_wire(name)) {
        let known: Vec<_> = OWN.iter().filter(|own| own.2 == Kind::Wire).map(|own| own.0).collect();
        return Err(RpcError::invalid_argument(format!("`{unknown}` is no wire; there are {}", known.join(", "))));
    }
    let chosen = OWN
        .iter()
        .filter(|(name, _, kind, _)| *kind == Kind::Floor || wires.is_empty() || wires.iter().any(|wire| wire == name));
    let targets = chosen.filter_map(|&(name, label, kind, by)| {
        let address = match by {
            By::Direct | By::Memory => Some(String::new()),
            By::Http | By::WebSocket => addresses.get("jsonrpc").cloned(),
            _ => addresses.get(name).cloned(),
        };
        Some(Target { name, label, kind, by, address: address?, pid })
    });
    Ok(targets.collect())
}

struct Run {
    targets: Vec<Target>,
    plan: Plan,
    results: Results,
    progress: Progress,
}

impl Run {
    async fn all(&mut self) -> Result<()> {
        for target in self.targets.iter().filter(|target| target.kind == Kind::Wire && target.by != By::Amqp) {
            self.results.traffic.push(wiretap::traffic(target).await?);
        }
        for round in 1..=self.plan.rounds {
            for step in self.plan.steps.clone() {
                let target = &self.targets[step.target];
                self.progress.next(&format!("round {round}: {}, {:?} {}", target.label, step.series, step.at));
                match self.measured(round, &step).await {
                    Ok(measurement) => self.results.measurements.push(measurement),
                    // One that fails leaves the others alone, and is told once.
                    Err(error) if round == 1 => self.results.missing.push(Missing {
                        label: format!("{}, {:?} {}", target.label, step.series, step.at),
                        why: error.to_string(),
                        remedy: String::new(),
                    }),
                    Err(_) => {}
                }
                self.progress.done(self.plan.time(&step));
            }
            for target in self.targets.iter().filter(|target| target.kind == Kind::Wire) {
                for text in [None, Some(COST_TEXT)] {
                    self.results.costs.extend(cost::cost(target, text, COST_TIME).await?);
                }
            }
        }
        Ok(())
    }

    async fn measured(&self, round: u32, step: &Step) -> Result<Measurement> {
        let (target, time) = (&self.targets[step.target], self.plan.time(step));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the plan has small whole numbers")]
        let at = step.at as u32;
        let offered = match step.series {
            Series::Open => Some(step.at * self.peak(target).ok_or_else(|| RpcError::unavailable("no closed loop"))?),
            _ => None,
        };
        let (connections, in_flight, work) = match step.series {
            Series::Closed => (at as usize, 1, Work::Add),
            Series::Shared => (1, at as usize, Work::Add),
            Series::Open => (OPEN_CONNECTIONS, 1, Work::Add),
            Series::Payload => (1, 1, Work::text(at as usize)),
            Series::Numbers => (1, 1, Work::Numbers(at)),
            Series::Items => (1, 1, Work::Items(at)),
            Series::Ids => (ID_CONNECTIONS, 1, Work::Ids(at)),
            Series::Batch => return self.batch(round, target, at, time).await,
        };
        let clients: Vec<Arc<Client>> =
            try_join_all((0..connections).map(async |_| target.connect().await.map(Arc::new))).await?;
        load::closed(&clients, in_flight, &work, time / WARM_UP).await?;
        let cpu = || target.pid.and_then(cpu_time);
        let before = cpu();
        let sample = match offered {
            Some(rate) => load::open(&clients, &work, rate, time, round.into()).await?,
            None => load::closed(&clients, in_flight, &work, time).await?,
        };
        let spent = before.zip(cpu()).map(|(before, after)| after.saturating_sub(before));
        let mut measurement = answered(Measurement::new(round, target.name, step.series, step.at, &sample), &sample)?;
        measurement.offered = offered;
        measurement.cpu_micros = spent.map(|spent| spent.as_secs_f64() * 1e6 / sample.times.len() as f64);
        Ok(measurement)
    }

    async fn batch(&self, round: u32, target: &Target, calls: u32, time: Duration) -> Result<Measurement> {
        let body = match target.by {
            By::Xmlrpc => batch::xmlrpc(calls as usize),
            _ => batch::jsonrpc(calls as usize),
        };
        let sample = batch::closed(&target.address, &body, time).await?;
        answered(Measurement::new(round, target.name, Series::Batch, calls.into(), &sample), &sample)
    }

    /// The highest rate of the target's closed loops in the first round.
    fn peak(&self, target: &Target) -> Option<f64> {
        let points = self.results.points(target.name, Series::Closed);
        let first = |at| {
            self.results.measurements.iter().find(|measured| {
                (measured.target.as_str(), measured.series) == (target.name, Series::Closed)
                    && measured.at.total_cmp(&at).is_eq()
            })
        };
        points.into_iter().filter_map(first).map(|measured| measured.rate).max_by(f64::total_cmp)
    }
}

/// Refuses a measurement of which no call was answered.
fn answered(measurement: Measurement, sample: &Sample) -> Result<Measurement> {
    match &sample.first_error {
        Some(error) if sample.times.is_empty() => Err(RpcError::unavailable(error.clone())),
        None if sample.times.is_empty() => Err(RpcError::unavailable("no call was answered in its time")),
        _ => Ok(measurement),
    }
}
