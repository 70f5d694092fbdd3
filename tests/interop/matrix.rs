//! The matrix of `docs/interop.md`: every client and every server is tried with every case, and the document must say
//! what came of it.

use std::{fs, net::SocketAddr};

use everywire::grpc::schema;
use everywire_testing::needs;

use super::{
    ROOT, connect,
    document::document,
    proxy::Proxy,
    row::{Foreign, Row},
    script_output, servers,
    service::{InteropService, Mirror},
};
use crate::harness::{Wires, broker};

/// `UPDATE_INTEROP=1 cargo test --test everywire interop` writes what has changed.
#[tokio::test(flavor = "multi_thread")]
async fn the_document_says_what_clients_and_servers_do() {
    needs!(Foreign, RabbitMq);
    let path = format!("{ROOT}/docs/interop.md");
    let (clients, servers) = tokio::join!(clients(), servers::rows());
    let unexplained: Vec<_> = clients.iter().chain(&servers).flat_map(Row::unexplained).collect();
    assert!(unexplained.is_empty(), "{unexplained:#?}");
    let present = document(&clients, &servers);
    if std::env::var_os("UPDATE_INTEROP").is_some() {
        return fs::write(path, present).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(present == committed, "docs/interop.md is out of date; UPDATE_INTEROP=1 writes it anew:\n{present}");
}

async fn clients() -> Vec<Row> {
    let wires = Wires::serve(InteropService::new(Mirror::default())).await;
    wires.amqp().await;
    let (ours, rabbit) = (Foreign::ours(), rabbit().await);
    let (folder, queue) = (proto(), wires.queue.as_str());
    let folder = folder.path().to_str().unwrap();
    let theirs = async |wire, server, script| theirs(wire, server, script, &[folder, queue]).await;
    // Over zerorpc and AMQP a server notices late that a call is given up: the others go on meanwhile.
    let web = async {
        vec![
            Row::of_ours("XML-RPC", &ours, wires.xmlrpc, connect::xmlrpc).await,
            theirs("XML-RPC", wires.xmlrpc, "matrix_xmlrpc.py").await,
            theirs("XML-RPC", wires.xmlrpc, "matrix_xmlrpc.mjs").await,
            Row::of_ours("JSON-RPC, HTTP", &ours, wires.jsonrpc, connect::http).await,
            theirs("JSON-RPC, HTTP", wires.jsonrpc, "matrix_requests.py").await,
            theirs("JSON-RPC, HTTP", wires.jsonrpc, "matrix_jayson.mjs").await,
            theirs("JSON-RPC, HTTP", wires.jsonrpc, "matrix_curl.py").await,
            Row::of_ours("JSON-RPC, WebSocket", &ours, wires.jsonrpc, connect::websocket).await,
            theirs("JSON-RPC, WebSocket", wires.jsonrpc, "matrix_websockets.py").await,
            theirs("JSON-RPC, WebSocket", wires.jsonrpc, "matrix_ws.mjs").await,
            Row::of_ours("gRPC", &ours, wires.grpc, connect::grpc).await,
            theirs("gRPC", wires.grpc, "matrix_grpc.py").await,
            theirs("gRPC", wires.grpc, "matrix_grpc.mjs").await,
        ]
    };
    let zerorpc = async {
        vec![
            Row::of_ours("zerorpc", &ours, wires.zerorpc, connect::zerorpc).await,
            theirs("zerorpc", wires.zerorpc, "matrix_zerorpc.py").await,
        ]
    };
    let amqp = async {
        vec![
            Row::of_ours("AMQP", &ours, rabbit, async |at| connect::amqp(at, queue).await).await,
            theirs("AMQP", rabbit, "matrix_pika.py").await,
            theirs("AMQP", rabbit, "matrix_amqplib.mjs").await,
        ]
    };
    let (web, zerorpc, amqp) = tokio::join!(web, zerorpc, amqp);
    [web, zerorpc, amqp].into_iter().flatten().collect()
}

/// The row of the foreign client `script`.
async fn theirs(wire: &'static str, server: SocketAddr, script: &str, more: &[&str]) -> Row {
    let proxy = Proxy::before(server).await;
    let (server, counted) = (server.to_string(), proxy.address.to_string());
    let printed = script_output(script, &[&[&server, &counted, script], more].concat()).await;
    Row::of_theirs(wire, &printed.unwrap_or_else(|failure| panic!("{failure}")), proxy.connections())
}

/// A folder with the service as `interop.proto`.
pub(crate) fn proto() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let proto = schema::proto(InteropService::descriptor());
    fs::write(folder.path().join("interop.proto"), proto).unwrap();
    folder
}

/// Where the broker listens.
async fn rabbit() -> SocketAddr {
    broker().await.url.strip_prefix("amqp://").unwrap().parse().unwrap()
}
