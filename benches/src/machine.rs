//! Where and with what a run ran.

use std::{fs, thread, time::SystemTime};

use serde::{Deserialize, Serialize};

/// The machine and the versions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Machine {
    /// When the run began, in UTC.
    pub began: String,
    /// The processor's name.
    pub cpu: String,
    /// How many of its cores this process may use.
    pub cores: usize,
    /// The kernel's version.
    pub kernel: String,
    /// Bytes of memory.
    pub memory: u64,
    /// Load average of the last minute before the run: what else the machine did.
    pub load_before: f64,
    /// Whether the program is optimized. If it is not, its figures say nothing.
    pub optimized: bool,
    /// Names and versions.
    pub versions: Vec<(String, String)>,
}

/// The libraries whose versions matter for the figures.
const LIBRARIES: [&str; 11] = [
    "tokio",
    "hyper",
    "h2",
    "tonic",
    "jsonrpsee-core",
    "lapin",
    "prost",
    "rmp-serde",
    "serde_json",
    "zeromq",
    "hdrhistogram",
];

impl Machine {
    /// This machine, now.
    pub fn look() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let (cpus, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
        let value = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            line.split_once(':').map(|(_, value)| value.trim().to_owned())
        };
        let kilobytes = value(&memory, "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
        let mut versions = vec![("everywire".to_owned(), env!("CARGO_PKG_VERSION").to_owned())];
        versions.extend(locked());
        Self {
            began: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            cpu: value(&cpus, "model name").unwrap_or_else(|| "unknown processor".to_owned()),
            cores: thread::available_parallelism().map_or(1, usize::from),
            kernel: format!("{} {}", std::env::consts::OS, read("/proc/sys/kernel/osrelease").trim()),
            memory: kilobytes.unwrap_or(0) << 10,
            load_before: read("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(f64::NAN),
            optimized: !cfg!(debug_assertions),
            versions,
        }
    }
}

/// The versions that this program was built with.
fn locked() -> impl Iterator<Item = (String, String)> {
    let packages = include_str!("../../Cargo.lock").split("[[package]]");
    packages.filter_map(|package| {
        let field = |name| package.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
        let (name, version) = (field("name")?.trim_matches('"'), field("version")?.trim_matches('"'));
        LIBRARIES.contains(&name).then(|| (name.to_owned(), version.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_versions_of_the_libraries_are_known() {
        let versions: Vec<_> = super::locked().collect();
        for library in super::LIBRARIES {
            assert!(versions.iter().any(|(name, _)| name == library), "{library}");
        }
    }
}
