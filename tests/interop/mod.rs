//! Clients and servers written by others: the matrix of `docs/interop.md`, and what else each wire has.

mod call;
mod cases;
mod connect;
mod document;
mod matrix;
mod proxy;
mod row;
mod servers;
mod service;
mod streams;

use std::{path::Path, process::Stdio, time::Duration};

use everywire_testing::needs;
use everywire_toolkit::{Embedded, ToolkitService};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    time::timeout,
};

use crate::{
    contract::embedded,
    harness::{Wires, broker, soon},
    serving::{PROGRAM, Serving},
};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// Longer than the longest foreign script, which waits 20 s for a lock.
const SCRIPT_TIME: Duration = Duration::from_secs(90);

async fn toolkit() -> Wires<ToolkitService<Embedded>> {
    Wires::serve(ToolkitService::new(embedded())).await
}

/// Runs a program to its end and returns what it printed, or if it failed what it said of it.
pub(crate) async fn outcome(program: &str, arguments: &[&str]) -> Result<String, String> {
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}; `tests/run` installs the foreign clients"));
    let Ok(output) = timeout(SCRIPT_TIME, child.wait_with_output()).await else {
        return Err(format!("{program} {arguments:?}: no end within {SCRIPT_TIME:?}"));
    };
    let output = output.unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() {
        return Ok(out.into_owned());
    }
    Err(format!("{program} {arguments:?}: {}\n{out}\n{err}", output.status))
}

/// Runs a program that succeeds.
async fn run(program: &str, arguments: &[&str]) -> String {
    outcome(program, arguments).await.unwrap_or_else(|failure| panic!("{failure}"))
}

/// The words that run a script of `tests/foreign`, with what `tests/install` has installed.
fn command(script: &str) -> Vec<String> {
    let path = format!("{ROOT}/tests/foreign/{script}");
    let python = format!("{ROOT}/target/python/bin/python");
    let (needed, words) = match script.rsplit_once('.') {
        Some((_, "mjs")) => (format!("{ROOT}/target/node/node_modules"), vec!["node".to_owned(), path]),
        // Without `-B` there would be a folder of compiled modules beside the script.
        _ => (python.clone(), vec![python, "-B".to_owned(), path]),
    };
    assert!(Path::new(&needed).exists(), "{needed} is missing: `tests/install` makes it");
    words
}

/// Runs a script of `tests/foreign`.
async fn script_output(script: &str, arguments: &[&str]) -> Result<String, String> {
    let command = command(script);
    let mut words: Vec<_> = command.iter().map(String::as_str).collect();
    words.extend(arguments);
    outcome(words[0], &words[1..]).await
}

/// Runs a script that says `ok`.
async fn script(script: &str, arguments: &[&str]) {
    let out = script_output(script, arguments).await.unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(out.trim(), "ok", "{script} did not come to its end");
}

#[tokio::test(flavor = "multi_thread")]
async fn python_xmlrpc_client() {
    needs!(Foreign);
    let wires = toolkit().await;
    script("xmlrpc_client.py", &[&wires.xmlrpc.port().to_string()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_zerorpc_client() {
    needs!(Foreign);
    let wires = toolkit().await;
    script("zerorpc_client.py", &[&wires.zerorpc.port().to_string()]).await;
}

/// Starts the program with its locker at `address`, and other wires on free ports.
async fn locker_program(address: &str, rate: &str) -> Serving {
    let mut program = Command::new(PROGRAM);
    for wire in ["--xmlrpc", "--jsonrpc", "--grpc", "--zerorpc"] {
        program.args([wire, "127.0.0.1:0"]);
    }
    program.args(["--locker", address, "--locker-rate", rate]).stdout(Stdio::piped()).kill_on_drop(true);
    Serving::listed(program.spawn().unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn python_locker_client() {
    needs!(Foreign);
    let serving = locker_program("127.0.0.1:0", "5/0.8s").await;
    let port = serving.address("locker").rsplit_once(':').unwrap().1;
    script("locker_client.py", &[port]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_locker_client_waits_for_its_server() {
    needs!(Foreign);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let words = command("locker_early.py");
    let mut client = Command::new(&words[0]);
    client.args(&words[1..]).arg(nobody.port().to_string()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut client = client.spawn().unwrap();
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
    let mut next = async || soon("the client", lines.next_line()).await.unwrap();
    assert_eq!(next().await.as_deref(), Some("asks"));
    let _serving = locker_program(&nobody.to_string(), "5/1h").await;
    for word in ["go", "go", "go", "go", "go", "sorry", "sorry"] {
        assert_eq!(next().await.as_deref(), Some(word));
    }
    assert_eq!(next().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn python_grpc_client() {
    needs!(Foreign);
    let wires = toolkit().await;
    let (proto, stubs) = (format!("{ROOT}/services/toolkit.proto"), format!("{ROOT}/target/python-grpc"));
    script("grpc_client.py", &[&wires.grpc.port().to_string(), &proto, &stubs]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_websocket_client() {
    needs!(Foreign);
    let wires = toolkit().await;
    script("websocket_client.py", &[&wires.jsonrpc.port().to_string()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_amqp_client() {
    needs!(Foreign, RabbitMq);
    let wires = toolkit().await;
    wires.amqp().await;
    script("amqp_client.py", &[&broker().await.url, &wires.queue]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_python_threads_share_one_lock() {
    needs!(Foreign);
    let wires = toolkit().await;
    let (proto, stubs) = (format!("{ROOT}/services/toolkit.proto"), format!("{ROOT}/target/python-grpc-seckill"));
    #[rustfmt::skip]
    let scripts: [(&str, u16, &[&str]); 4] = [
        ("xmlrpc", wires.xmlrpc.port(), &[]),
        ("jsonrpc", wires.jsonrpc.port(), &[]),
        ("grpc", wires.grpc.port(), &[&proto, &stubs]),
        ("zerorpc", wires.zerorpc.port(), &[]),
    ];
    for (wire, port, more) in scripts {
        let out = script_output("seckill.py", &[&[wire, &port.to_string()], more].concat()).await.expect(wire);
        let grants = out.lines().filter(|line| line.ends_with(" got the lock")).count();
        assert!(grants == 50 && out.ends_with("ok\n"), "{wire}: {out}");
    }
    let error = script_output("seckill.py", &["none", "0"]).await.expect_err("without the lock, the script fails");
    assert!(error.contains("threads have the lock"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_speaks_xmlrpc() {
    let wires = toolkit().await;
    let call = "<?xml version='1.0'?><methodCall><methodName>add</methodName><params>\
                <param><value><int>3</int></value></param><param><value><i4>4</i4></value></param>\
                </params></methodCall>";
    let url = format!("http://{}/RPC2", wires.xmlrpc);
    let answer = run("curl", &["--silent", "--show-error", "--data", call, &url]).await;
    assert!(answer.contains("<methodResponse>") && answer.contains("<int>7</int>"), "{answer}");
    let answer = run("curl", &["--silent", "--show-error", "--data", "<methodCall>", &url]).await;
    assert!(answer.contains("<int>-32700</int>"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_speaks_jsonrpc() {
    let wires = toolkit().await;
    let url = format!("http://{}", wires.jsonrpc);
    #[rustfmt::skip]
    let cases = [
        (json!({"jsonrpc": "2.0", "id": 1, "method": "add", "params": [3, 4]}), json!({"jsonrpc": "2.0", "id": 1, "result": 7})),
        (json!({"jsonrpc": "2.0", "id": "a", "method": "add", "params": {"b": 4, "a": 3}}), json!({"jsonrpc": "2.0", "id": "a", "result": 7})),
        (json!([{"jsonrpc": "2.0", "id": 1, "method": "add", "params": [1, 1]}, {"jsonrpc": "2.0", "id": 2, "method": "add", "params": [2, 2]}]),
         json!([{"jsonrpc": "2.0", "id": 1, "result": 2}, {"jsonrpc": "2.0", "id": 2, "result": 4}])),
    ];
    for (request, expected) in cases {
        let answer = post(&url, &request.to_string()).await;
        assert_eq!(serde_json::from_str::<Value>(&answer).unwrap(), expected, "{request}");
    }
    #[rustfmt::skip]
    let faults = [
        ("{", -32700),
        (r#"{"id": 1}"#, -32600),
        (r#"{"jsonrpc": "2.0", "id": 1, "method": "nothing"}"#, -32601),
        (r#"{"jsonrpc": "2.0", "id": 1, "method": "add", "params": [1]}"#, -32602),
        (r#"{"jsonrpc": "2.0", "id": 1, "method": "add", "params": {"a": 1, "b": 2, "c": 3}}"#, -32602),
        (r#"{"jsonrpc": "2.0", "id": 1, "method": "add", "params": [9223372036854775807, 1]}"#, 11),
    ];
    for (request, code) in faults {
        let answer: Value = serde_json::from_str(&post(&url, request).await).unwrap();
        assert_eq!(answer["error"]["code"], code, "{request}: {answer}");
    }
}

async fn post(url: &str, body: &str) -> String {
    let json = "content-type: application/json";
    run("curl", &["--silent", "--show-error", "--header", json, "--data", body, url]).await
}
