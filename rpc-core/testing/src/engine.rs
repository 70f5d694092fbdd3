//! Real engines for tests, on ports and in directories of their own. They end with the test's process, however that ends.

use std::{
    fs,
    io::{self, Write},
    net::TcpListener,
    ops::Range,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering::Relaxed},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

/// How long a start may take; on an idle machine the slowest takes 6 s.
const START_TIME: Duration = Duration::from_mins(2);

/// How long an engine may take to report whether it takes work.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// Runs a program until the standard input ends. With job control it and its children are a process group.
const SCRIPT: &str = r#"
set -m
cd "$HOME"
# With a clock of its own, as FAKED; libc stands behind the library, because jemalloc asks for the time before there is any.
faked() {
    FAKED="env FAKETIME_TIMESTAMP_FILE=$CLOCK FAKETIME_CACHE_DURATION=1 FAKETIME_DONT_FAKE_MONOTONIC=1"
    FAKED="$FAKED LD_PRELOAD=$(ls /usr/lib/*/faketime/libfaketime.so.1):$(ls /usr/lib/*-linux-gnu/libc.so.6)"
}
( [ -z "$CLOCK" ] || faked; eval "$PROGRAM" ) > "$HOME/log" 2>&1 &
echo $! > "$HOME/pid"
read -r keep
kill -KILL -- -$! $(cat "$HOME"/data/postmaster.pid 2>/dev/null | head -1) 2>/dev/null
wait
[ -n "$keep" ] || rm -rf "$HOME"
"#;

/// The engines that can be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Redis,
    Postgres,
    MariaDb,
    ZooKeeper,
}

impl Kind {
    fn scheme(self) -> &'static str {
        match self {
            Self::Redis => "redis://",
            Self::Postgres => "postgres://postgres@",
            Self::MariaDb => "mysql://root@",
            Self::ZooKeeper => "zookeeper://",
        }
    }

    /// What messages call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Redis => "Redis",
            Self::Postgres => "PostgreSQL",
            Self::MariaDb => "MariaDB",
            Self::ZooKeeper => "ZooKeeper",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Redis | Self::ZooKeeper => "",
            Self::Postgres => "/postgres",
            Self::MariaDb => "/test",
        }
    }

    /// The engine in the foreground; a second start continues with the data of the first. Only processes die here and not the
    /// machine, so nothing waits for the disk.
    fn program(self) -> &'static str {
        match self {
            Self::Redis => {
                "exec $FAKED redis-server --port $PORT --bind 127.0.0.1 --dir . --save '' --appendonly yes --appendfsync no $FLAGS"
            }
            Self::Postgres => {
                r#"
                bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
                as=; [ "$(id -u)" != 0 ] || { as="setpriv --reuid=postgres --regid=postgres --clear-groups"; chown postgres .; }
                chmod 755 .
                [ -d data ] || $as $bin/initdb -A trust -U postgres -E UTF8 -N -D data
                # Children of one that was killed hold its memory for a moment.
                for try in $(seq 100); do
                    rm -f data/postmaster.pid
                    $as $FAKED $bin/postgres -D data -p $PORT -k "$HOME" -h 127.0.0.1 -c max_connections=200 -c fsync=off
                    sleep 0.1
                done
                "#
            }
            Self::MariaDb => {
                r#"
                [ -d data ] || mariadb-install-db --no-defaults --tmpdir="$HOME" --datadir="$HOME/data" --user="$(id -un)" \
                    --auth-root-authentication-method=normal
                exec $FAKED mariadbd --no-defaults --user="$(id -un)" --datadir="$HOME/data" --port=$PORT --socket="$HOME/socket" \
                    --bind-address=127.0.0.1 --skip-name-resolve --innodb-buffer-pool-size=32M --innodb-flush-log-at-trx-commit=2 --tmpdir="$HOME" \
                    --max-connections=500
                "#
            }
            Self::ZooKeeper => {
                r#"
                mkdir -p data
                echo ${MEMBER:-1} > data/myid
                printf '%s\n' tickTime=500 initLimit=20 syncLimit=4 dataDir="$HOME/data" clientPort=$PORT \
                    clientPortAddress=127.0.0.1 admin.enableServer=false '4lw.commands.whitelist=*' maxClientCnxns=0 \
                    $ENSEMBLE > zoo.cfg
                exec $FAKED java -Xmx256m -Dzookeeper.forceSync=no -cp "/usr/share/java/zookeeper.jar:/usr/share/java/*" \
                    org.apache.zookeeper.server.quorum.QuorumPeerMain zoo.cfg
                "#
            }
        }
    }
}

/// An engine, running or killed.
#[derive(Debug)]
pub struct Engine {
    pub kind: Kind,
    pub port: u16,
    home: TempDir,
    environment: Vec<(&'static str, String)>,
    running: Option<Child>,
}

impl Engine {
    fn new(kind: Kind) -> Self {
        let (port, home) = (free_port(), tempfile::tempdir().unwrap());
        let [directory, at, program] = [home.path().to_str().unwrap(), &port.to_string(), kind.program()];
        let environment = [("HOME", directory), ("PORT", at), ("PROGRAM", program)];
        let environment = environment.map(|(name, value)| (name, value.to_owned())).into();
        Self { kind, port, home, environment, running: None }
    }

    /// Starts one, and waits until it answers.
    pub async fn start(kind: Kind) -> Self {
        let mut engine = Self::new(kind);
        engine.restart().await;
        engine
    }

    /// Starts one that clients must reject, with additional flags for a Redis.
    pub fn start_unfit(kind: Kind, flags: &str) -> Self {
        let mut engine = Self::new(kind);
        engine.environment.push(("FLAGS", flags.to_owned()));
        engine.spawn();
        engine
    }

    /// Starts it again, although clients must reject it.
    pub fn restart_unfit(&mut self) {
        self.spawn();
    }

    /// Starts one whose clock can be set.
    pub async fn start_with_clock(kind: Kind) -> Self {
        let mut engine = Self::new(kind);
        engine.set_clock("+0");
        engine.environment.push(("CLOCK", engine.file("clock").to_str().unwrap().to_owned()));
        engine.restart().await;
        engine
    }

    /// Starts an ensemble of `ZooKeepers`, which works while most of them run.
    pub async fn ensemble(size: usize) -> Vec<Self> {
        let member = |id| format!("server.{id}=127.0.0.1:{}:{}", free_port(), free_port());
        let members: Vec<_> = (1..=size).map(member).collect();
        let mut engines = Vec::new();
        for id in 1..=size {
            let mut engine = Self::new(Kind::ZooKeeper);
            engine.environment.extend([("MEMBER", id.to_string()), ("ENSEMBLE", members.join(" "))]);
            engine.spawn();
            engines.push(engine);
        }
        for engine in &engines {
            engine.answers().await;
        }
        engines
    }

    /// Moves its clock forward or back by seconds, such as `+3600`. It takes a second to notice.
    pub fn set_clock(&self, offset: &str) {
        // A new file at once: half of one would be no time.
        let new = self.file("clock.new");
        fs::write(&new, format!("{offset}\n")).unwrap();
        fs::rename(new, self.file("clock")).unwrap();
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn url(&self) -> String {
        self.url_at(&self.host())
    }

    /// The same engine at other addresses, such as a proxy's.
    pub fn url_at(&self, hosts: &str) -> String {
        format!("{}{hosts}{}", self.kind.scheme(), self.kind.path())
    }

    /// Starts it again, with what it kept on disk.
    pub async fn restart(&mut self) {
        self.spawn();
        self.answers().await;
    }

    fn spawn(&mut self) {
        let mut command = Command::new("bash");
        command.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let environment = self.environment.iter().map(|(name, value)| (name, value));
        self.running = Some(command.envs(environment).spawn().unwrap());
    }

    async fn answers(&self) {
        let since = Instant::now();
        while let Err(error) = self.answer().await {
            let log = fs::read_to_string(self.file("log")).unwrap_or_default();
            assert!(since.elapsed() < START_TIME, "no {:?}; `tests/install` installs it: {error}\n{log}", self.kind);
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whether it takes work, asked in its own protocol.
    async fn answer(&self) -> io::Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        let (ask, answer): (&[u8], &[u8]) = match self.kind {
            Kind::Redis => (b"PING\r\n", b"+PONG"),
            // A startup message of protocol 3.0 with a user; the answer is a request for authentication, or that none is needed.
            Kind::Postgres => (b"\0\0\0\x17\0\x03\0\0user\0postgres\0\0", b"R"),
            // The server speaks first: the length of its greeting, and the protocol's version.
            Kind::MariaDb => (b"", b"\x0a"),
            Kind::ZooKeeper => (b"srvr", b"Mode: "),
        };
        stream.write_all(ask).await?;
        let mut answered = Vec::new();
        let found = |answered: &[u8]| match self.kind {
            Kind::Redis | Kind::Postgres => answered.starts_with(answer),
            Kind::MariaDb => answered.get(4..).is_some_and(|greeting| greeting.starts_with(answer)),
            Kind::ZooKeeper => answered.windows(answer.len()).any(|part| part == answer),
        };
        while !found(&answered) {
            if timeout(ANSWER_TIME, stream.read_buf(&mut answered)).await?? == 0 {
                return Err(io::Error::other(String::from_utf8_lossy(&answered).into_owned()));
            }
        }
        Ok(())
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let mut running = self.running.take().unwrap();
        running.stdin.take().unwrap().write_all(b"keep\n").unwrap();
        running.wait().unwrap();
    }

    /// Sends a signal, such as `STOP`, to all of its processes.
    pub fn signal(&self, signal: &str) {
        let script = r"
            all() { for pid; do echo $pid; all $(cat /proc/$pid/task/*/children); done; }
            main=$(cat pid)
            children=$(all $main)
            # A child may have ended meanwhile.
            kill -$0 $main && { kill -$0 $children 2>/dev/null; true; }";
        let status = Command::new("bash").args(["-c", script, signal]).current_dir(&self.home).status().unwrap();
        assert!(status.success(), "{signal}");
    }
}

/// A free port. Another program may take it first, but hardly within a test: it is none of those that the system gives to whoever
/// binds port 0 or connects (Linux has 32768 and up by default), and each process begins elsewhere.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const PORTS: Range<u16> = 10_000..32_768;
    let start = std::process::id().wrapping_mul(7_919);
    PORTS
        .map(|_| NEXT.fetch_add(1, Relaxed))
        .map(|number| start.wrapping_add(number.into()) % u32::from(PORTS.end - PORTS.start))
        .map(|offset| PORTS.start + u16::try_from(offset).unwrap())
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .unwrap()
}

impl Drop for Engine {
    fn drop(&mut self) {
        // The directory goes with the script.
        if let Some(mut running) = self.running.take() {
            drop(running.stdin.take());
            let _ = running.wait();
        }
    }
}
