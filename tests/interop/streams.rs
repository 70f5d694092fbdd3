//! Streams between everywire and foreign clients and servers.

use std::{process::Stdio, sync::Arc, time::Duration};

use everywire::{
    Budget, Caller, Code, Limits, Result, RpcError, Server, Streaming, Tcp, amqp, grpc, jsonrpc, service, xmlrpc,
    zerorpc,
};
use everywire_testing::{needs, soon};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    task::AbortHandle,
    time::sleep,
};

use super::{connect, script, servers::Running};
use crate::{
    harness::broker,
    program::{PROGRAM, ended, signal},
};

#[service(package = "interop.v1")]
trait Ticks {
    /// The numbers from 0 on.
    async fn count(&self, to: u64) -> Result<Streaming<u64>>;
    /// The numbers from 0 on, and then an error.
    async fn fail(&self, after: u64) -> Result<Streaming<u64>>;
    /// The number of milliseconds, when they are over.
    async fn silent(&self, time_ms: u64) -> Result<Streaming<u64>>;
}

struct Clock;

impl Ticks for Clock {
    async fn count(&self, to: u64) -> Result<Streaming<u64>> {
        Ok(Streaming::of(0..to))
    }

    async fn fail(&self, after: u64) -> Result<Streaming<u64>> {
        Ok(Streaming::produce(move |items| async move {
            for number in 0..after {
                items.send(number).await?;
            }
            Err(RpcError::aborted("enough"))
        }))
    }

    async fn silent(&self, time_ms: u64) -> Result<Streaming<u64>> {
        Ok(Streaming::produce(move |items| async move {
            sleep(Duration::from_millis(time_ms)).await;
            items.send(time_ms).await
        }))
    }
}

/// A server that runs until this is dropped.
struct Ticking {
    grpc: String,
    jsonrpc: String,
    xmlrpc: String,
    zerorpc: String,
    budget: Arc<Budget>,
    task: AbortHandle,
}

impl Ticking {
    /// Waits until so many calls are in flight.
    async fn calls(&self, count: usize) {
        while self.budget.calls() != count {
            sleep(Duration::from_millis(1)).await;
        }
    }

    async fn serve() -> Self {
        let bind = || async { Tcp::bind("127.0.0.1:0").await.unwrap() };
        let (grpc, jsonrpc, xmlrpc, zerorpc) = (bind().await, bind().await, bind().await, bind().await);
        let [of_grpc, of_jsonrpc, of_xmlrpc, of_zerorpc] =
            [&grpc, &jsonrpc, &xmlrpc, &zerorpc].map(|tcp| tcp.address().port().to_string());
        // A program that ends may be gone before it has said that it wants no more items.
        let limits = Limits { stream_idle_time: Duration::from_secs(5), ..Limits::default() };
        let server = Server::with_limits(TicksService::new(Clock), limits)
            .mount((grpc, grpc::Server::new()))
            .mount((jsonrpc, jsonrpc::Server::new()))
            .mount((xmlrpc, xmlrpc::Server::new()))
            .mount((zerorpc, zerorpc::Server::new()));
        let budget = server.budget();
        let task = tokio::spawn(server.serve_until(std::future::pending())).abort_handle();
        Self { grpc: of_grpc, jsonrpc: of_jsonrpc, xmlrpc: of_xmlrpc, zerorpc: of_zerorpc, budget, task }
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn python_reads_a_stream_over_zerorpc() {
    needs!(Foreign);
    let server = Ticking::serve().await;
    script("zerorpc_streams.py", &[&server.zerorpc]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_reads_a_stream_over_grpc() {
    needs!(Foreign);
    let server = Ticking::serve().await;
    script("grpc_streams.py", &[&server.grpc]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_pulls_a_stream_over_xmlrpc() {
    needs!(Foreign);
    let server = Ticking::serve().await;
    script("xmlrpc_streams.py", &[&server.xmlrpc]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_pulls_a_stream_over_a_websocket_and_has_it_sent() {
    needs!(Foreign);
    let server = Ticking::serve().await;
    script("websocket_streams.mjs", &[&server.jsonrpc]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_reads_a_stream_over_amqp() {
    needs!(Foreign, RabbitMq);
    let (url, queue) = (&broker().await.url, "interop streams");
    let transport = amqp::Server::connect(url).await.unwrap().queue(queue);
    let transport = transport.subscribe(TicksService::descriptor(), &Limits::default()).await.unwrap();
    let server = Server::new(TicksService::new(Clock)).mount(transport);
    let task = tokio::spawn(server.serve_until(std::future::pending()));
    script("amqp_streams.py", &[url, queue]).await;
    task.abort();
}

/// The URLs of all wires of the server.
fn urls(server: &Ticking) -> [String; 5] {
    let Ticking { grpc, jsonrpc, xmlrpc, zerorpc, .. } = server;
    [
        format!("grpc://127.0.0.1:{grpc}"),
        format!("jsonrpc://127.0.0.1:{jsonrpc}"),
        format!("ws://127.0.0.1:{jsonrpc}"),
        format!("xmlrpc://127.0.0.1:{xmlrpc}"),
        format!("zerorpc://127.0.0.1:{zerorpc}"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn everywire_call_prints_the_items_of_a_stream() {
    let server = Ticking::serve().await;
    for url in urls(&server) {
        let says_so = !url.starts_with("xmlrpc") && !url.starts_with("zerorpc");
        let call: &[&str] = if says_so { &["call"] } else { &["call", "--stream"] };
        let counted = ended(&[call, &[&url, "count", "3"]].concat()).await;
        assert_eq!((counted.code, &*counted.out, &*counted.err), (0, "0\n1\n2\n", ""), "{url}");
        let failed = ended(&[call, &[&url, "fail", "2"]].concat()).await;
        assert_eq!(&*failed.out, "0\n1\n", "{url}");
        assert!(failed.code != 0 && failed.err.starts_with("error: ABORTED: enough"), "{url}: {failed:?}");
        // For longer than a call may take.
        let silent = ended(&[call, &["--timeout", "300ms", &url, "silent", "900"]].concat()).await;
        assert_eq!((silent.code, &*silent.out, &*silent.err), (0, "900\n", ""), "{url}");

        // Ctrl-C ends it on both sides.
        let waiting = || [call, &[&url, "silent", "3600000"]].concat();
        let mut program = Command::new(PROGRAM).args(waiting()).kill_on_drop(true).spawn().unwrap();
        soon(&url, server.calls(1)).await;
        signal(program.id().unwrap(), "-INT").await;
        soon(&url, program.wait()).await.unwrap();
        soon(&url, server.calls(0)).await;

        // So does a reader that leaves.
        let mut program = Command::new(PROGRAM);
        let program = program.args([call, &[&url, "count", "100000000"]].concat()).stdout(Stdio::piped());
        let mut program = program.kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
        assert_eq!(soon(&url, lines.next_line()).await.unwrap().as_deref(), Some("0"));
        drop(lines);
        assert!(soon(&url, program.wait()).await.unwrap().success(), "{url}");
        soon(&url, server.calls(0)).await;
    }
}

/// Reads the numbers up to `to`; the error behind them, if there is one.
async fn count(client: &TicksClient<impl Caller>, to: u64) -> Option<RpcError> {
    let mut items = client.count(to).await.unwrap();
    for number in 0..to {
        assert_eq!(soon("an item", items.next()).await, Some(Ok(number)));
    }
    soon("the end", items.next()).await.transpose().err()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generator_of_python_is_a_stream() {
    needs!(Foreign);
    let server = Running::start("zerorpc_server.py").await;
    let client = TicksClient::new(connect::zerorpc(server.address).await.unwrap());
    for to in [0, 1, 2, 10_000] {
        assert_eq!(count(&client, to).await, None);
    }
    let mut unfinished = client.count(1_000_000).await.unwrap();
    assert_eq!(soon("an item", unfinished.next()).await, Some(Ok(0)));
    drop(unfinished);
    assert_eq!(count(&client, 3).await, None);
    assert_eq!(client.silent(1).await.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_grpcio_is_a_stream() {
    needs!(Foreign);
    let server = Running::start("grpc_stream_server.py").await;
    let client = TicksClient::new(connect::grpc(server.address).await.unwrap());
    for to in [0, 1, 2, 10_000] {
        assert_eq!(count(&client, to).await, None);
    }
    let error = count(&client, 3).await.unwrap();
    assert_eq!((error.code(), error.message()), (Code::Aborted, "enough"));
    assert_eq!(client.silent(1).await.unwrap_err().code(), Code::Unimplemented);
}
