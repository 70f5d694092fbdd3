//! A server as a process of its own, and what it costs.

use std::{fs, process::Stdio, time::Duration};

use everywire::{Result, RpcError};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

/// How long a server has to say where it listens: Python's libraries are slow to load.
const START_TIME: Duration = Duration::from_secs(20);

/// A running server. It ends when this is dropped, and when this process ends: its standard input closes then.
#[derive(Debug)]
pub struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts `command`. Ctrl-C in the terminal does not reach it, so that what was measured until then can be written.
    pub fn start(mut command: Command) -> Result<Self> {
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0).kill_on_drop(true);
        let mut child =
            command.spawn().map_err(|error| RpcError::unavailable(format!("{program} does not start: {error}")))?;
        let stdout = child.stdout.take().ok_or_else(|| RpcError::internal("standard output was not a pipe"))?;
        Ok(Self { child, lines: BufReader::new(stdout).lines() })
    }

    /// The next line that it prints, or why there is none.
    pub async fn line(&mut self) -> Result<String> {
        let line = timeout(START_TIME, self.lines.next_line()).await;
        let line = line.map_err(|_| RpcError::unavailable(format!("the server says nothing within {START_TIME:?}")))?;
        line.ok().flatten().ok_or_else(|| RpcError::unavailable("the server ended before it said where it listens"))
    }

    /// Its id.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }
}

/// User and system time of a process: fields 14 and 15 of proc(5)'s stat, in hundredths of a second. None without a
/// `/proc`.
pub fn cpu_time(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11).map(str::parse::<u64>);
    let (user, system) = (fields.next()?.ok()?, fields.next()?.ok()?);
    Some(Duration::from_millis(10 * (user + system)))
}

/// The memory of a process that is not swapped out, and the most that it was, in bytes. None without a `/proc`.
pub fn memory(pid: u32) -> Option<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kilobytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').trim().split(' ').next()?.parse::<u64>().ok()
    };
    Some((kilobytes("VmRSS")? << 10, kilobytes("VmHWM")? << 10))
}
