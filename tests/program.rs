//! The program as a person meets it: what it prints, its errors, its end.

use std::{net::TcpListener, process::Stdio, time::Duration};

use everywire_testing::needs;
use everywire_toolkit::{Toolkit, ToolkitClient};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::timeout,
};
use zeromq::{ReqSocket, Socket, SocketRecv, SocketSend};

pub(crate) use crate::serving::{PROGRAM, Serving};
use crate::{
    harness::{broker, soon},
    serving::on_free_ports,
};

impl Serving {
    pub(crate) async fn start(flags: &[&str]) -> Self {
        Self::listed(spawn(flags)).await
    }

    /// Started by a shell after `setup`, such as `ulimit -n 64`.
    pub(crate) async fn start_after(setup: &str, flags: &[&str]) -> Self {
        Self::listed(spawn_as(after(setup), flags)).await
    }
}

/// Starts the program with every wire on a free port.
pub(crate) fn spawn(flags: &[&str]) -> Child {
    spawn_as(Command::new(PROGRAM), flags)
}

/// The program behind a shell that runs `setup` before it.
fn after(setup: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!(r#"{setup} && exec "$0" "$@""#), PROGRAM]);
    shell
}

fn spawn_as(program: Command, flags: &[&str]) -> Child {
    let mut program = on_free_ports(program);
    program.args(["--locker-rate", "2/1h"]).args(flags).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Runs the program to its end: success, standard output, standard error.
pub(crate) async fn run(arguments: &[&str]) -> (bool, String, String) {
    outcome(Command::new(PROGRAM), arguments).await
}

/// The same by a shell after `setup`.
pub(crate) async fn run_after(setup: &str, arguments: &[&str]) -> (bool, String, String) {
    outcome(after(setup), arguments).await
}

/// The same for a command that takes its time.
pub(crate) async fn run_long(arguments: &[&str]) -> (bool, String, String) {
    timeout(LONG, finished(Command::new(PROGRAM), arguments)).await.expect("the end of a long command")
}

/// Longer than any command takes on a busy machine.
const LONG: Duration = Duration::from_mins(5);

/// Sends a signal to a process, such as `-TERM`.
pub(crate) async fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().await.unwrap().success());
}

/// How the program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs the program to its end.
pub(crate) async fn ended(arguments: &[&str]) -> Ended {
    let mut program = Command::new(PROGRAM);
    let output = soon("the program", program.args(arguments).kill_on_drop(true).output()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

async fn outcome(program: Command, arguments: &[&str]) -> (bool, String, String) {
    soon("the program", finished(program, arguments)).await
}

async fn finished(mut program: Command, arguments: &[&str]) -> (bool, String, String) {
    let output = program.args(arguments).kill_on_drop(true).output().await.unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[cfg(not(feature = "bench"))]
#[tokio::test]
async fn without_the_benchmark_the_program_says_how_to_build_it() {
    let (success, _, err) = run(&["bench", "--quick"]).await;
    assert!(!success && err.contains("cargo build --release --features bench"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn call_works_over_every_wire() {
    needs!(RabbitMq);
    let broker = &broker().await.url;
    let serving = Serving::start(&["--amqp", broker]).await;
    soon("the queue", async { while !run(&["call", broker, "add", "3", "4"]).await.0 {} }).await;
    let address = |wire| serving.address(wire);
    for (scheme, address) in [
        ("xmlrpc", address("XML-RPC")),
        ("jsonrpc", address("JSON-RPC")),
        ("jsonrpc+ws", address("JSON-RPC")),
        ("grpc", address("gRPC")),
        ("zerorpc", address("zerorpc")),
        ("amqp", broker.trim_start_matches("amqp://")),
    ] {
        let url = format!("{scheme}://{address}");
        assert_eq!(run(&["call", &url, "add", "3", "-4"]).await, (true, "-1\n".into(), String::new()), "{scheme}");
        let (success, out, err) =
            run(&["call", &url, "lock", &format!("name={scheme}"), "ttl_ms=60000", "owner=7"]).await;
        assert!(success && out.contains(r#""granted":true,"owner":"7""#), "{scheme}: {out}{err}");
        #[rustfmt::skip]
        let errors: [(&[&str], &str); 4] = [
            (&["nothing"], "UNIMPLEMENTED: no method `nothing` in everywire.v1.Toolkit; it has add, lock,"),
            (&["add", "3"], "INVALID_ARGUMENT: argument `b` is missing; usage: add(a: i64, b: i64) -> i64"),
            (&["add", "3", "x"], "INVALID_ARGUMENT: argument `b`: invalid type: string \"x\", expected i64"),
            (&["add", "9223372036854775807", "1"], "OUT_OF_RANGE: the sum of 9223372036854775807 and 1 is beyond 64 bits"),
        ];
        for (words, expected) in errors {
            let (success, out, err) = run(&[&["call", &url], words].concat()).await;
            assert!(!success && out.is_empty() && err.starts_with(&format!("error: {expected}")), "{scheme}: {err}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_says_what_became_of_a_call() {
    let serving = Serving::start(&[]).await;
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (scheme, wire) in [("xmlrpc", "XML-RPC"), ("jsonrpc", "JSON-RPC"), ("grpc", "gRPC"), ("zerorpc", "zerorpc")] {
        let url = &format!("{scheme}://{}", serving.address(wire));
        let unreachable = &format!("{scheme}://{nobody}");
        #[rustfmt::skip]
        let cases: [(&[&str], i32, &str); 10] = [
            (&[url, "lock", scheme, "60000", "0", "me"], 0, r#"{"granted":true,"#),
            (&[url, "lock", scheme, "60000"], 1, r#"{"granted":false,"#),
            (&[url, "lock_state", scheme], 0, r#"{"held":true,"#),
            (&[url, "acquire", scheme, "2"], 0, r#"{"go":true,"#),
            (&[url, "acquire", scheme], 1, r#"{"go":false,"#),
            (&[url, "add", "3"], 13, ""),
            (&[url, "add", "9223372036854775807", "1"], 21, ""),
            (&[url, "nothing"], 22, ""),
            (&[unreachable, "add", "3", "4"], 24, ""),
            (&[url, "--no-such-flag"], 2, ""),
        ];
        for (words, code, out) in cases {
            let ended = ended(&[&["call"], words].concat()).await;
            assert!(ended.code == code && ended.out.starts_with(out), "{words:?}: {ended:?}");
            assert_eq!(ended.out.is_empty(), out.is_empty(), "{words:?}: {ended:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_lists_its_methods_and_its_schema() {
    let serving = Serving::start(&[]).await;
    let address = |wire| serving.address(wire);
    #[rustfmt::skip]
    let cases = [
        (format!("xmlrpc://{}", address("XML-RPC")), "add(int, int) -> int\n", "add(int, int) -> int\n"),
        (format!("jsonrpc://{}", address("JSON-RPC")), "add(a: integer, b: integer) -> integer\n", "\"openrpc\": \"1.3.2\""),
        (format!("ws://{}", address("JSON-RPC")), "add(a: integer, b: integer) -> integer\n", "\"openrpc\": \"1.3.2\""),
        (format!("grpc://{}", address("gRPC")), "everywire.v1.Toolkit/Add(a: int64, b: int64) -> int64\n", "\nservice Toolkit {\n"),
        (format!("zerorpc://{}", address("zerorpc")), "add(a, b)\n", "add(a, b)\n"),
        (serving.urls["JSON-RPC"].clone(), "add(a: integer, b: integer) -> integer\n", "\"openrpc\": \"1.3.2\""),
    ];
    for (url, listed, schema) in cases {
        let listing = ended(&["call", &url]).await;
        assert!(listing.code == 0 && listing.out.contains(listed), "{url}: {listing:?}");
        assert!(listing.out.contains("    Adds two integers."), "{url}: {listing:?}");
        let printed = ended(&["schema", &url]).await;
        assert!(printed.code == 0 && printed.out.contains(schema), "{url}: {printed:?}");
    }
    let health = format!("grpc://{}", address("gRPC"));
    assert_eq!(run(&["call", &health, "grpc.health.v1.Health/Check"]).await.1, "{\"status\":\"SERVING\"}\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn call_reads_a_value_from_standard_input_and_says_how_long_it_took() {
    let serving = Serving::start(&[]).await;
    let url = format!("jsonrpc://{}", serving.address("JSON-RPC"));
    let mut program = Command::new(PROGRAM);
    program.args(["call", "--verbose", &url, "add", "3", "@-"]);
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"4\n").await.unwrap();
    let output = soon("the program", child.wait_with_output()).await.unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "7\n");
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.starts_with(&format!("JSON-RPC at {url}: connected and described in ")), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_name_what_was_wrong() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    #[rustfmt::skip]
    let cases: [(&[&str], &str); 12] = [
        (&["--grpc", &taken, "--xmlrpc", "off", "--jsonrpc", "off", "--zerorpc", "off", "--locker", "off"], &format!("grpc: {taken} is taken")),
        (&["serve", "--xmlrpc", "nowhere"], "xmlrpc: `nowhere` is not a valid address; expected HOST:PORT"),
        (&["--locker", &taken, "--xmlrpc", "off", "--jsonrpc", "off", "--zerorpc", "off", "--grpc", "off"], &format!("locker: {taken} is taken")),
        (&["--locker-rate", "5"], "invalid value '5' for '--locker-rate <N/TIME>': expected N/TIME, such as 5/0.8s"),
        (&["--worker", "1024"], "--worker: worker id 1024; it may be 0 to 1023"),
        (&["--id-layout", "20/1/1"], "--id-layout: the clock is "),
        (&["call", "ftp://x", "add", "1", "2"], "`ftp://x` is not a valid URL; expected xmlrpc://"),
        (&["call", &format!("xmlrpc://{nobody}"), "add", "1", "2"], &nobody),
        (&["call", &format!("grpc://{nobody}"), "add", "1", "2"], &nobody),
        (&["call", &format!("amqp://{nobody}"), "add", "1", "2"], &format!("no broker at amqp://{nobody}: ")),
        (&["--amqp", "localhost"], "the URL of the broker is not valid"),
        (&["--amqp-wait"], "--amqp <URL>"),
    ];
    for (arguments, expected) in cases {
        let (success, _, err) = run(arguments).await;
        assert!(!success && err.starts_with("error: ") && err.contains(expected), "{arguments:?}: {err}");
    }
    needs!(RabbitMq);
    let (success, _, err) = run(&["call", &format!("{}/nowhere", broker().await.url), "add", "1", "2"]).await;
    assert!(!success && err.starts_with("error: ") && err.contains("/nowhere rejects the connection: "), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_the_other_wires_serve() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("amqp://user:secret@{nobody}/v");
    for (flags, says) in [(&["--amqp", &url][..], "off"), (&["--amqp", &url, "--amqp-wait"], "waits")] {
        let mut child = spawn(flags);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut listing = Vec::new();
        while !listing.last().is_some_and(|line: &String| line.starts_with("  AMQP")) {
            listing.push(soon("the listing", lines.next_line()).await.unwrap().expect("AMQP is listed"));
        }
        let line = listing.last().unwrap();
        assert!(line.starts_with(&format!("  AMQP      {says}: no broker at amqp://{nobody}/v: ")), "{line}");
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let warning = soon("a warning", log.next_line()).await.unwrap().expect("the log says it too");
        assert!(warning.contains("WARN") && warning.contains("AMQP"), "{says}: {warning}");
        let grpc = listing.iter().find_map(|line| line.strip_prefix("  gRPC      http://")).expect("gRPC is listed");
        let url = format!("grpc://{grpc}");
        assert_eq!(run(&["call", &url, "add", "3", "4"]).await, (true, "7\n".into(), String::new()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_locker_shares_its_permits_with_every_wire() {
    let serving = Serving::start(&[]).await;
    let mut locker = ReqSocket::new();
    soon("the locker", locker.connect(&serving.urls["locker"])).await.unwrap();
    let mut ask = async || {
        soon("a request", locker.send("let me go".into())).await.unwrap();
        String::try_from(soon("an answer", locker.recv()).await.unwrap()).unwrap()
    };
    assert_eq!(ask().await, "go");
    let url = format!("grpc://{}", serving.address("gRPC"));
    let (_, permit, _) = run(&["call", &url, "acquire", "locker"]).await;
    assert!(permit.starts_with(r#"{"go":true,"limit":2,"remaining":0,"#), "{permit}");
    assert_eq!(ask().await, "sorry");
    let (_, permit, _) = run(&["call", &url, "acquire", "another"]).await;
    assert!(permit.starts_with(r#"{"go":true,"limit":2,"remaining":1,"#), "{permit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_absent_is_nil_over_xmlrpc_if_a_flag_says_so() {
    let body = "<methodCall><methodName>lock_state</methodName><params><param><value>free</value></param></params></methodCall>";
    let head = format!("POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    for (flags, expected) in [(&[][..], false), (&["--xmlrpc-nil"], true)] {
        let serving = Serving::start(flags).await;
        let mut stream = TcpStream::connect(serving.address("XML-RPC")).await.unwrap();
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        let mut answer = String::new();
        soon("the answer", stream.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.contains("<name>held</name><value><boolean>0</boolean></value>"), "{flags:?}: {answer}");
        assert_eq!(answer.contains("<name>owner</name><value><nil/></value>"), expected, "{flags:?}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_stops_no_call() {
    // A pipe has room for 64 KiB, less what lines that don't fit leave free at the end of each page.
    const FULL_PIPE_BYTES: usize = 32 << 10;
    let mut serving = Serving::start_after("export RUST_LOG=trace", &[]).await;
    let client = everywire::grpc::Client::connect(&serving.urls["gRPC"]).await.unwrap();
    let client = ToolkitClient::new(client);
    for number in 0..500 {
        assert_eq!(soon("a sum", client.add(number, 1)).await, Ok(number + 1));
    }
    drop(client);
    signal(serving.child.id().unwrap(), "-TERM").await;
    assert!(soon("the end", serving.child.wait()).await.unwrap().success());
    let mut log = Vec::new();
    serving.child.stderr.take().unwrap().read_to_end(&mut log).await.unwrap();
    assert!(log.len() >= FULL_PIPE_BYTES, "the pipe was not full: {} bytes", log.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_drains_and_ends_well() {
    for name in ["-INT", "-TERM"] {
        let mut serving = Serving::start(&[]).await;
        let url = format!("xmlrpc://{}", serving.address("XML-RPC"));
        assert!(run(&["call", &url, "lock", "name", "2000", "0", "holder"]).await.0);
        let waiting = tokio::spawn({
            let url = url.clone();
            async move { run(&["call", &url, "lock", "name", "1000", "20000", "waiter"]).await }
        });
        let state = async || run(&["call", &url, "lock_state", "name"]).await;
        while !state().await.1.contains(r#""waiting":1"#) {}
        signal(serving.child.id().unwrap(), name).await;
        let (success, out, err) = soon("the waiting call", waiting).await.unwrap();
        assert!(success && out.contains(r#""owner":"waiter""#), "{name}: a call in flight finishes: {out}{err}");
        let status = soon("the end of the server", serving.child.wait()).await.unwrap();
        assert!(status.success(), "{name}: {status}");
    }
}

#[tokio::test]
async fn schemas_and_help_are_printed() {
    let (success, proto, _) = run(&["schema", "proto"]).await;
    assert!(success && proto == include_str!("../services/toolkit.proto"));
    let (success, openrpc, _) = run(&["schema", "openrpc"]).await;
    let openrpc: serde_json::Value = serde_json::from_str(&openrpc).unwrap();
    assert!(success && openrpc["methods"].as_array().unwrap().iter().any(|method| method["name"] == "next_ids"));
    let promises = ["unique", "k-sorted", "globally monotonic"];
    let documented = |text: &str| promises.iter().all(|promise| text.contains(promise));
    assert!(documented(&proto) && documented(&openrpc.to_string()), "the schemas say what ids promise");
    let (success, help, _) = run(&["call", "--help"]).await;
    assert!(success && help.contains("add(a: i64, b: i64) -> i64"), "{help}");
    assert!(help.contains("24 UNAVAILABLE"), "{help}");
    let ended = ended(&["schema", "nonsense"]).await;
    assert!(ended.code == 2 && ended.err.contains("expected proto, openrpc or the URL of a server"), "{ended:?}");
}
