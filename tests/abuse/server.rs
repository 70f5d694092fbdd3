//! The program as a process, and what it costs.

use std::{
    collections::HashSet,
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr},
    process::Stdio,
    time::Duration,
};

use tokio::process::Command;

use crate::{
    attacks::{HANDSHAKE, IDLE, MESSAGE, Wire},
    serving::{PROGRAM, Serving, on_free_ports},
    sockets,
};

/// A running program with short limits of time, so that the table is quick.
pub(crate) struct Server {
    serving: Serving,
    pid: u32,
    log: tempfile::NamedTempFile,
}

/// Room for all idle connections: the table is to show what they cost, not that most are turned away.
const CONNECTIONS: &str = "4096";

/// Lets this process run before the server and the attackers; false without the right to. Then the callers wait for their
/// turn like the others, and the 99th percentile is longer.
pub(crate) fn runs_before_all_others() -> bool {
    let mut chrt = std::process::Command::new("chrt");
    let changed = chrt.args(["--rr", "--pid", "2", &std::process::id().to_string()]).output().unwrap();
    if !changed.status.success() {
        println!("callers run like the others: {}", String::from_utf8_lossy(&changed.stderr).trim());
    }
    changed.status.success()
}

impl Server {
    /// Starts one that runs as `chrt` says.
    pub(crate) async fn start(chrt: [&str; 2]) -> Self {
        let log = tempfile::NamedTempFile::new().unwrap();
        let ms = |time: Duration| format!("{}ms", time.as_millis());
        let mut program = Command::new("chrt");
        program.args(chrt).arg(PROGRAM);
        let child = on_free_ports(program)
            .args(["--max-connections", CONNECTIONS])
            .args(["--handshake-time", &ms(HANDSHAKE), "--message-time", &ms(MESSAGE), "--idle-time", &ms(IDLE)])
            .args(["--stream-idle-time", &ms(MESSAGE)])
            .stdout(Stdio::piped())
            .stderr(File::create(log.path()).unwrap())
            .spawn()
            .unwrap();
        let pid = child.id().unwrap();
        Self { serving: Serving::listed(child).await, pid, log }
    }

    pub(crate) fn address(&self, wire: Wire) -> SocketAddr {
        let listed = match wire {
            Wire::Xmlrpc => "XML-RPC",
            Wire::JsonHttp | Wire::JsonWs => "JSON-RPC",
            Wire::Grpc => "gRPC",
            Wire::Zerorpc => "zerorpc",
            Wire::Locker => "locker",
        };
        self.serving.address(listed).parse().unwrap()
    }

    /// Why it is not in order, if it isn't.
    pub(crate) fn trouble(&mut self) -> Option<String> {
        if let Some(status) = self.serving.child.try_wait().unwrap() {
            return Some(format!("the program ended: {status}"));
        }
        let log = fs::read_to_string(self.log.path()).unwrap();
        log.lines().find(|line| line.contains("panicked")).map(str::to_owned)
    }

    /// Resident memory now, in MB.
    pub(crate) fn resident(&self) -> f64 {
        self.memory("VmRSS:")
    }

    /// The most resident memory since [`forget_peak`](Self::forget_peak), in MB.
    pub(crate) fn peak(&self) -> f64 {
        self.memory("VmHWM:")
    }

    pub(crate) fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.pid), "5").unwrap();
    }

    /// Open file descriptors, without those of the callers' connections: in a slow moment the callers open more.
    pub(crate) fn descriptors(&self) -> usize {
        let Ok(open) = fs::read_dir(format!("/proc/{}/fd", self.pid)) else { return 0 };
        // No attacker is at this address.
        let callers = sockets::all().into_iter().filter(|socket| *socket.there.ip() == Ipv4Addr::LOCALHOST);
        let callers: HashSet<_> = callers.map(|socket| socket.file).collect();
        let files = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        files.filter(|file| !file.to_str().is_some_and(|file| callers.contains(file))).count()
    }

    /// Nothing once the program has ended, which is reported elsewhere.
    fn memory(&self, name: &str) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse::<f64>().ok());
        kib.unwrap_or(0.0) * 1_024.0 / 1e6
    }
}
