//! Every example, as its reader runs it, against the program. `bash examples/run` runs this and shows what it prints.

use std::{env, fs, path::Path, process::Stdio, time::Instant};

use everywire_testing::needs;
use tokio::process::Command;

use crate::{
    harness::{broker, soon},
    interop::outcome,
    program::{PROGRAM, Serving, run},
    serving::on_free_ports,
};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
const TARGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target");
/// What else may lie in a language's folder; the last two are npm's.
const NO_EXAMPLES: [&str; 5] = ["common", "requirements.txt", "package.json", "package-lock.json", "node_modules"];

#[tokio::test(flavor = "multi_thread")]
async fn every_example_succeeds() {
    needs!(Foreign, RabbitMq);
    let broker = &broker().await.url;
    let mut program = on_free_ports(Command::new(PROGRAM));
    let serving = Serving::listed(program.args(["--amqp", broker]).stdout(Stdio::piped()).spawn().unwrap()).await;
    soon("the queue", async { while !run(&["call", broker, "add", "3", "4"]).await.0 {} }).await;
    let contents = fs::read_to_string(format!("{EXAMPLES}/README.md")).unwrap();
    let mut failed = Vec::new();
    for example in found() {
        assert!(contents.contains(&format!("]({example})")), "examples/README.md has no link to {example}");
        let mut command = command(&example);
        command.extend(address(&example, &serving, broker));
        let words: Vec<_> = command.iter().map(String::as_str).collect();
        let since = Instant::now();
        let outcome = outcome(words[0], &words[1..]).await;
        let verdict = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("{example:<28} {verdict:<6} {:5.1} s", since.elapsed().as_secs_f32());
        failed.extend(outcome.err().map(|output| format!("== {example}: {output}")));
    }
    assert!(failed.is_empty(), "{} failed\n{}", failed.len(), failed.join("\n"));
}

/// Every file in a folder of `examples`, such as `node/grpc.mjs`, in order.
fn found() -> Vec<String> {
    let mut found = Vec::new();
    for language in names(EXAMPLES).into_iter().filter(|name| Path::new(EXAMPLES).join(name).is_dir()) {
        let mut files = names(&format!("{EXAMPLES}/{language}"));
        files.retain(|file| !NO_EXAMPLES.contains(&file.as_str()));
        found.extend(files.iter().map(|file| format!("{language}/{file}")));
    }
    found
}

fn names(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = entries.collect();
    names.sort();
    names
}

/// The words that run it, with what `tests/install` has installed.
fn command(example: &str) -> Vec<String> {
    let path = format!("{EXAMPLES}/{example}");
    let (language, file) = example.split_once('/').expect("in a folder");
    match (language, file.split_once('.')) {
        ("rust", Some((name, "rs"))) => vec![built(name)],
        ("python", Some((_, "py"))) => vec![format!("{TARGET}/python/bin/python"), path],
        ("node", Some((_, "mjs"))) => vec!["node".into(), beside_its_packages(&path, file)],
        ("shell", Some((_, "sh"))) => {
            let tools = format!("PATH={TARGET}/node/node_modules/.bin:{}", env::var("PATH").unwrap());
            vec!["env".into(), tools, "bash".into(), path]
        }
        _ => panic!("nothing runs examples/{example}"),
    }
}

/// `cargo test` builds it, unless it is told to test only some targets, and `cargo build --examples`.
fn built(name: &str) -> String {
    let program = Path::new(PROGRAM).with_file_name("examples").join(name);
    assert!(program.exists(), "{} is missing: run `cargo build --examples`", program.display());
    program.display().to_string()
}

/// A copy: Node looks for packages where the importing file is.
fn beside_its_packages(path: &str, file: &str) -> String {
    let copy = format!("{TARGET}/node/{file}");
    fs::copy(path, &copy).unwrap_or_else(|error| panic!("{copy}: {error}; run `tests/install`"));
    copy
}

/// The example's argument, which its name tells.
fn address(example: &str, serving: &Serving, broker: &str) -> Option<String> {
    let (language, file) = example.split_once('/').expect("in a folder");
    let (name, _) = file.split_once('.').expect("a name and an extension");
    match (name.trim_end_matches("_client"), language) {
        ("xmlrpc" | "seckill", _) => Some(serving.urls["XML-RPC"].clone()),
        ("jsonrpc", _) => Some(serving.urls["JSON-RPC"].clone()),
        ("websocket", _) => Some(format!("ws://{}", serving.address("JSON-RPC"))),
        ("grpc", "python" | "node") => Some(serving.address("gRPC").to_owned()),
        ("grpc", _) => Some(serving.urls["gRPC"].clone()),
        (wire @ ("zerorpc" | "locker"), _) => Some(serving.urls[wire].clone()),
        ("amqp" | "custom_service", _) => Some(broker.to_owned()),
        ("custom_wire" | "custom_layer" | "client_layer" | "todo", _) => None,
        _ => panic!("examples/{example}: a name that tells no address"),
    }
}
