//! A real RabbitMQ for tests, on ports and in a directory of its own. It ends with the test's process, however that ends.

use std::{
    io::{self, Write},
    net::TcpListener,
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

/// How long a start may take; on an idle machine it takes 5 s.
const START_TIME: Duration = Duration::from_mins(5);

/// Runs the broker until the standard input ends. A line there keeps the directory.
///
/// With job control the broker, and the name server that Erlang needs, are a process group.
const SCRIPT: &str = r#"
set -m
{
    epmd=$(ls /usr/lib/erlang/erts-*/bin/epmd)
    "$epmd" & exec /usr/lib/rabbitmq/bin/rabbitmq-server
} > "$HOME/log" 2>&1 &
read -r keep
kill -KILL -- -$!
wait
[ -n "$keep" ] || rm -rf "$HOME"
"#;

/// A broker, running or killed.
pub struct Broker {
    pub url: String,
    home: TempDir,
    ports: [u16; 3],
    running: Option<Child>,
}

impl Broker {
    pub async fn start() -> Self {
        let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = listeners.map(|listener| listener.local_addr().unwrap().port());
        let url = format!("amqp://127.0.0.1:{}", ports[0]);
        let mut broker = Self { url, home: tempfile::tempdir().unwrap(), ports, running: None };
        broker.restart().await;
        broker
    }

    /// Starts it again, with what it kept on disk.
    pub async fn restart(&mut self) {
        let home = self.home.path();
        let mut command = self.command("bash");
        command.args(["-c", SCRIPT]).stdin(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        self.running = Some(command.spawn().unwrap());
        let since = Instant::now();
        while let Err(error) = greeted(self.ports[0]).await {
            let log = std::fs::read_to_string(home.join("log")).unwrap_or_default();
            assert!(since.elapsed() < START_TIME, "no broker; `tests/run` installs RabbitMQ: {error}\n{log}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Runs `rabbitmqctl`.
    pub fn ctl<const N: usize>(&self, arguments: [&str; N]) {
        let output = self.command("/usr/lib/rabbitmq/bin/rabbitmqctl").arg("-q").args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    /// What the broker has logged.
    pub fn log(&self) -> String {
        let files = std::fs::read_dir(self.home.path().join("LOG_BASE")).unwrap();
        files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap_or_default()).collect()
    }

    /// A program in the environment of this broker.
    fn command(&self, program: &str) -> Command {
        let [port, peers, names] = self.ports.map(|port| port.to_string());
        let home = self.home.path();
        let settings = [
            ("RABBITMQ_NODENAME", "test@localhost"),
            ("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1"),
            ("RABBITMQ_NODE_PORT", &port),
            ("RABBITMQ_DIST_PORT", &peers),
            ("ERL_EPMD_ADDRESS", "127.0.0.1"),
            ("ERL_EPMD_PORT", &names),
        ];
        let mut command = Command::new(program);
        command.envs(settings).env("HOME", home);
        for place in ["MNESIA_BASE", "LOG_BASE", "PID_FILE", "ENABLED_PLUGINS_FILE", "CONFIG_FILE"] {
            command.env(format!("RABBITMQ_{place}"), home.join(place));
        }
        command
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let mut running = self.running.take().unwrap();
        running.stdin.take().unwrap().write_all(b"keep\n").unwrap();
        running.wait().unwrap();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if self.running.is_some() {
            self.kill();
        }
    }
}

/// Whether a broker answers at `port`.
async fn greeted(port: u16) -> io::Result<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(b"AMQP\0\0\x09\x01").await?;
    stream.read_u8().await
}
