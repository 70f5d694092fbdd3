//! What the program prints can be pasted: every URL and every command, however its address was written.

use std::{env, net::TcpListener, path::Path};

use everywire_testing::needs;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};
use zeromq::{ReqSocket, Socket, SocketRecv, SocketSend};

use crate::{
    harness::{broker, soon},
    program::{PROGRAM, run, spawn},
};

const WIRES: [&str; 5] = ["XML-RPC", "JSON-RPC", "gRPC", "zerorpc", "locker"];

/// A program that serves each of the [`WIRES`], and the lines that it printed.
struct Listed {
    _child: Child,
    lines: Vec<String>,
}

impl Listed {
    async fn of(mut child: Child) -> Self {
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines: Vec<String> = Vec::new();
        // The locker comes last, with its command below it.
        while !lines.iter().rev().nth(1).is_some_and(|line| line.starts_with("  locker ")) {
            lines.push(soon("the listing", out.next_line()).await.unwrap().expect("the locker is listed"));
        }
        Self { _child: child, lines }
    }

    async fn with(flags: &[&str]) -> Self {
        Self::of(spawn(flags)).await
    }

    /// Every wire at `address`.
    async fn at(address: &str) -> Self {
        let flags = ["--xmlrpc", "--jsonrpc", "--grpc", "--zerorpc", "--locker"];
        let mut program = Command::new(PROGRAM);
        program.args(flags.iter().flat_map(|flag| [flag, address])).stdout(std::process::Stdio::piped());
        Self::of(program.stderr(std::process::Stdio::null()).kill_on_drop(true).spawn().unwrap()).await
    }

    /// The URLs of a wire, and its command.
    fn wire(&self, wire: &str) -> (Vec<&str>, &str) {
        let at = self.lines.iter().position(|line| line.starts_with(&format!("  {wire} "))).expect(wire);
        let urls = self.lines[at].split_whitespace().filter(|word| word.contains("://")).collect();
        (urls, self.lines[at + 1].trim())
    }

    fn has(&self, line: &str) -> bool {
        self.lines.iter().any(|listed| listed == line)
    }
}

/// Runs a command as a shell does, with the Python that has the libraries of the wires.
async fn pasted(command: &str) -> String {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join("target/python/bin");
    let path = format!("{}:{}", python.display(), env::var("PATH").unwrap());
    let mut shell = Command::new("bash");
    let output = shell.args(["-c", command]).env("PATH", path).kill_on_drop(true).output();
    let output = soon(command, output).await.unwrap();
    // curl shows its progress beside the answer.
    let said = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    String::from_utf8_lossy(&said).trim().to_owned()
}

/// Whether this machine has the address `::1`.
fn has_ipv6() -> bool {
    TcpListener::bind("[::1]:0").inspect_err(|error| println!("skipped: there is no IPv6 here: {error}")).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_works_however_the_address_was_written() {
    let forms = ["127.0.0.1:0", "localhost:0", "0.0.0.0:0", "*:0", "tcp://*:0", "tcp://*:*", "tcp://127.0.0.1:0"];
    let ipv6 = ["[::1]:0", "[::]:0", "tcp://[::1]:0", "[::ffff:127.0.0.1]:0"];
    let ipv6 = if has_ipv6() { &ipv6[..] } else { &[] };
    for form in forms.iter().chain(ipv6) {
        let listed = Listed::at(form).await;
        for wire in WIRES {
            let (urls, command) = listed.wire(wire);
            assert!(!urls.is_empty(), "{form}: {wire}");
            let answer = pasted(command).await;
            match wire {
                "locker" => assert_eq!(answer, "b'go'", "{form}: {command}"),
                "JSON-RPC" => assert_eq!(answer, r#"{"jsonrpc":"2.0","id":1,"result":7}"#, "{form}: {command}"),
                _ => assert_eq!(answer, "7", "{form}: {command}"),
            }
            for url in urls {
                assert!(!url.contains("0.0.0.0") && !url.contains("[::]"), "{form}: nobody can connect to {url}");
                if wire == "locker" {
                    assert_eq!(asked(url).await, "go", "{form}: {url}");
                } else {
                    let called = run(&["call", url, "add", "3", "4"]).await;
                    assert_eq!(called, (true, "7\n".into(), String::new()), "{form}: {url}");
                }
            }
        }
    }
}

async fn asked(url: &str) -> String {
    let mut locker = ReqSocket::new();
    soon("the locker", locker.connect(url)).await.unwrap();
    soon("a request", locker.send("let me go".into())).await.unwrap();
    String::try_from(soon("an answer", locker.recv()).await.unwrap()).unwrap()
}

#[tokio::test]
async fn an_address_that_is_not_valid_says_what_to_write() {
    let wires = ["xmlrpc", "jsonrpc", "grpc", "zerorpc", "locker"];
    for (address, example) in [
        ("nowhere", ""),
        ("127.0.0.1:99999", ""),
        ("ipc:///tmp/locker", ""),
        ("4242", ", such as 127.0.0.1:4242"),
        (":4242", ", such as 0.0.0.0:4242"),
        ("::1:4242", ", such as [::1]:4242"),
        ("http://[::1]:4242/RPC2", ", such as [::1]:4242"),
    ] {
        let expected = format!("`{address}` is not a valid address; expected HOST:PORT{example}\n");
        for wire in wires {
            let flag = format!("--{wire}");
            let others =
                wires.iter().filter(|other| **other != wire).flat_map(|other| [format!("--{other}"), "off".into()]);
            let flags: Vec<String> = [flag, address.to_owned()].into_iter().chain(others).collect();
            let (success, _, err) = run(&flags.iter().map(String::as_str).collect::<Vec<_>>()).await;
            assert!(!success && err == format!("error: INVALID_ARGUMENT: {wire}: {expected}"), "{err}");
        }
        for flag in ["--limiter-mesh-bind", "--limiter-peer"] {
            let bind = ["--limiter-mesh-bind", "*:0"];
            let bind = if flag == "--limiter-peer" { &bind[..] } else { &[] };
            let (success, _, err) = run(&[bind, &[flag, address]].concat()).await;
            assert!(!success && err.ends_with(&format!("error: INVALID_ARGUMENT: {flag}: {expected}")), "{err}");
        }
    }
}

#[tokio::test]
async fn the_mesh_takes_the_same_addresses_and_prints_one_to_connect_to() {
    let mut forms = vec!["*:0", "tcp://*:0", "0.0.0.0:0", "127.0.0.1:0", "tcp://localhost:0"];
    forms.extend(has_ipv6().then_some("[::1]:0"));
    for form in forms {
        let listed = Listed::with(&["--limiter-mesh-bind", form, "--limiter-peer", "localhost:1"]).await;
        let line = listed.lines.iter().find_map(|line| line.strip_prefix("The limiter tells what it grants at tcp://"));
        let line = line.expect(form);
        let loopback = ["127.0.0.1:", "[::1]:"].iter().any(|loopback| line.starts_with(loopback));
        assert!(loopback && line.ends_with(", and hears 1 peer."), "{form}: {line}");
    }
}

#[tokio::test]
async fn a_url_that_names_no_wire_says_which_to_write() {
    let http = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = http.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = http.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    let (success, _, err) = run(&["call", &format!("http://{at}"), "add", "3", "4"]).await;
    server.join().unwrap();
    let expected = format!("expected xmlrpc://{at}, jsonrpc://{at} or grpc://{at}");
    assert!(!success && err.contains(&expected), "{err}");
}

#[tokio::test]
async fn without_an_engine_ids_are_promised_for_one_server() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    let how = "Every other server needs another worker id: --worker N, or --worker auto with --lock URL.";
    let same = "Every other server needs the same --id-epoch, --id-layout and --id-secret.";
    let secret = "00112233445566778899aabbccddeeff";
    for (flags, worker, rest, is_special) in [
        (&[][..], 0, " They are k-sorted. A restart may repeat some if the clock was set back.", false),
        (&["--worker", "7"], 7, " They are k-sorted. A restart may repeat some if the clock was set back.", false),
        (&["--data-dir", dir], 0, " They are k-sorted. A restart repeats none: ", false),
        (&["--id-layout", "js"], 0, " They are k-sorted. A restart may repeat some if the clock was set back.", true),
        (&["--id-secret", secret], 0, " A restart may repeat some if the clock was set back.", true),
    ] {
        let listed = Listed::with(flags).await;
        let start = format!("Ids are unique as long as this is the only server with worker id {worker}.{rest}");
        assert!(listed.lines.iter().any(|line| line.starts_with(&start)), "{flags:?}: {:#?}", listed.lines);
        assert!(listed.has(how) && listed.has(same) == is_special, "{flags:?}: {:#?}", listed.lines);
    }
}

#[tokio::test]
async fn a_broker_that_rejects_the_url_ends_the_start() {
    needs!(RabbitMq);
    let broker = &broker().await.url;
    let no_user = (broker.replace("amqp://", "amqp://nobody:secret@"), "UNAUTHENTICATED", "ACCESS_REFUSED");
    let no_host = (format!("{broker}/nowhere"), "PERMISSION_DENIED", "nowhere");
    for ((url, code, reason), wait) in [(&no_user, &[][..]), (&no_user, &["--amqp-wait"]), (&no_host, &[])] {
        let mut program = spawn(&[&["--amqp", url], wait].concat());
        let status = soon("the end of the program", program.wait()).await.unwrap();
        let output = program.wait_with_output().await.unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(!status.success() && output.stdout.is_empty(), "{wait:?}: {status}");
        let last = err.lines().last().unwrap_or_default();
        let named = last.starts_with(&format!("error: {code}: --amqp: ")) && last.contains(reason);
        assert!(named && !err.contains("secret"), "{wait:?}: {err}");
    }
}
