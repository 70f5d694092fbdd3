//! Other servers: written by hand on the same libraries, and the Python servers of the notes.

use std::path::{Path, PathBuf};

use everywire::Result;
use tokio::process::Command;

use crate::{
    process::Process,
    result::Missing,
    target::{By, Kind, Target},
};

/// What runs a baseline.
enum Program {
    /// A program of this crate.
    ByHand(&'static str),
    /// A script with its arguments, and what it needs besides Python.
    Python { script: &'static str, args: &'static [&'static str], needs: &'static str },
}

/// What a program serves: name, label, and the wire whose client calls it.
type Baseline = (&'static str, &'static str, &'static str, By);

const BASELINES: &[(Program, &[Baseline])] = &[
    (
        Program::ByHand("baseline_hyper"),
        &[
            ("hyper-http1", "bare hyper, HTTP/1", "xmlrpc", By::Xmlrpc),
            ("hyper-http2", "bare hyper, HTTP/2", "grpc", By::Grpc),
        ],
    ),
    (
        Program::ByHand("baseline_jsonrpc"),
        &[
            ("jsonrpsee-http", "jsonrpsee HTTP by hand", "jsonrpc-http", By::Http),
            ("jsonrpsee-ws", "jsonrpsee WS by hand", "jsonrpc-ws", By::WebSocket),
        ],
    ),
    (Program::ByHand("baseline_grpc"), &[("tonic", "tonic by hand", "grpc", By::Grpc)]),
    (Program::ByHand("baseline_zeromq"), &[("zeromq-router", "zeromq crate's ROUTER", "zerorpc", By::Zerorpc)]),
    #[cfg(feature = "tarpc")]
    (Program::ByHand("baseline_tarpc"), &[("tarpc", "tarpc, TCP and bincode", "tcp", By::Tarpc)]),
    (
        Program::Python { script: include_str!("python/xmlrpc_server.py"), args: &["5"], needs: "python3" },
        &[("python-xmlrpc", "Python SimpleXMLRPCServer", "xmlrpc", By::Xmlrpc)],
    ),
    (
        Program::Python { script: include_str!("python/xmlrpc_server.py"), args: &["128"], needs: "python3" },
        &[("python-xmlrpc-128", "the same, 128 may wait", "xmlrpc", By::Xmlrpc)],
    ),
    (
        Program::Python { script: include_str!("python/zerorpc_server.py"), args: &[], needs: "zerorpc" },
        &[("python-zerorpc", "Python zerorpc", "zerorpc", By::Zerorpc)],
    ),
    (
        Program::Python { script: include_str!("python/grpc_server.py"), args: &[], needs: "grpcio grpcio-tools" },
        &[("python-grpc", "Python grpcio", "grpc", By::Grpc)],
    ),
];

/// What could be started, and what not.
#[derive(Debug, Default)]
pub struct Baselines {
    /// What they serve.
    pub targets: Vec<Target>,
    /// They end when this is dropped.
    pub processes: Vec<Process>,
    /// Names and versions of what is not Rust.
    pub versions: Vec<(String, String)>,
    /// What is not there, or did not start.
    pub missing: Vec<Missing>,
}

impl Baselines {
    /// Starts all that are there and are compared with one of `wires`. Programs are looked for in `dir`; `python` runs
    /// the scripts.
    pub async fn start(dir: &Path, python: Option<PathBuf>, wires: &[&str]) -> Self {
        let python = python.unwrap_or_else(default_python);
        let mut baselines = Self::default();
        for (program, served) in BASELINES {
            let served: Vec<_> = served.iter().filter(|(_, _, wire, _)| wires.contains(wire)).collect();
            if served.is_empty() {
                continue;
            }
            if let Err(error) = baselines.add(program, &served, dir, &python).await {
                let remedy = match program {
                    Program::ByHand(_) => "cargo build --release -p everywire-benches".to_owned(),
                    Program::Python { needs: "python3", .. } => "apt-get install python3".to_owned(),
                    Program::Python { needs, .. } => format!("{} -m pip install {needs}", python.display()),
                };
                let why = error.message().to_owned();
                let label = served.iter().map(|(_, label, ..)| *label).collect::<Vec<_>>().join(", ");
                baselines.missing.push(Missing { label, why, remedy });
            }
        }
        if cfg!(not(feature = "tarpc")) {
            baselines.missing.push(Missing {
                label: "tarpc".to_owned(),
                why: "this program was built without its client, whose libraries make gRPC slower".to_owned(),
                remedy: "cargo build --release -p everywire-server -p everywire-benches --features tarpc".to_owned(),
            });
        }
        baselines
    }

    async fn add(&mut self, program: &Program, served: &[&Baseline], dir: &Path, python: &Path) -> Result<()> {
        let mut process = Process::start(program.command(dir, python))?;
        let address = process.line().await?;
        if let Program::Python { .. } = program
            && let Some((name, version)) = process.line().await?.rsplit_once(' ')
        {
            let version = (name.to_owned(), version.to_owned());
            if !self.versions.contains(&version) {
                self.versions.push(version);
            }
        }
        let mut targets = Vec::new();
        for &&(name, label, wire, by) in served {
            let (kind, pid) = (Kind::Baseline(wire), process.pid());
            let target = Target { name, label, kind, by, address: address.clone(), pid };
            target.answers().await?;
            targets.push(target);
        }
        self.targets.append(&mut targets);
        self.processes.push(process);
        Ok(())
    }
}

impl Program {
    /// As many threads as everywire's own server has.
    fn command(&self, dir: &Path, python: &Path) -> Command {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).to_string();
        match self {
            Self::ByHand(name) => {
                let mut command = Command::new(dir.join(name));
                command.args(["127.0.0.1:0", &threads]);
                command
            }
            Self::Python { script, args, .. } => {
                let mut command = Command::new(python);
                command.args(["-c", script]).args(*args).stderr(std::process::Stdio::null());
                command
            }
        }
    }
}

/// The interpreter that the tests use, if there is one: it has the packages.
fn default_python() -> PathBuf {
    let venv = PathBuf::from("target/python/bin/python");
    if venv.exists() { venv } else { PathBuf::from("python3") }
}
