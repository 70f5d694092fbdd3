//! Several services on one server: their names on every wire, and what is ambiguous.

use std::time::Duration;

use everywire::{Code, Result, Server, Tcp, amqp, grpc, jsonrpc, memory, service, wire::CancellationToken};
use everywire_testing::needs;
use serde_json::json;
use tokio::time::sleep;

use crate::{
    harness::{Wires, broker, on_every_wire, soon},
    program::ended,
};

#[service(package = "shop.v1")]
trait Stock {
    /// Takes pieces of an item.
    async fn take(&self, pieces: u32) -> Result<u32>;
    /// How many are left.
    async fn left(&self) -> Result<u32>;
}

#[service(package = "bank.v1")]
trait Bank {
    /// Takes money.
    async fn take(&self, cents: u32) -> Result<u32>;
    /// How much there is.
    async fn balance(&self) -> Result<u32>;
}

struct Shop;

impl Stock for Shop {
    async fn take(&self, pieces: u32) -> Result<u32> {
        Ok(pieces + 1)
    }

    async fn left(&self) -> Result<u32> {
        Ok(3)
    }
}

impl Bank for Shop {
    async fn take(&self, cents: u32) -> Result<u32> {
        Ok(cents + 100)
    }

    async fn balance(&self) -> Result<u32> {
        Ok(5)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wire_serves_all_services() {
    let both = Server::new(StockService::new(Shop)).add(BankService::new(Shop)).service();
    let wires = Wires::serve(both).await;
    on_every_wire!(wires, |wire, caller| {
        let (stock, bank) = (StockClient::new(caller.clone()), BankClient::new(caller));
        assert_eq!((stock.left().await, bank.balance().await), (Ok(3), Ok(5)), "{wire}");
    });
    for (scheme, address) in wires.urls() {
        let client = everywire::connect(&format!("{scheme}://{address}")).await.unwrap();
        let bare = StockClient::new(client.clone()).take(1).await;
        let is_by_path = scheme == "grpc";
        assert_eq!(
            bare.map_err(|error| error.code()),
            if is_by_path { Ok(2) } else { Err(Code::InvalidArgument) },
            "{scheme}"
        );
        let client = client.qualified();
        let (stock, bank) = (StockClient::new(client.clone()), BankClient::new(client));
        assert_eq!((stock.take(1).await, bank.take(1).await), (Ok(2), Ok(101)), "{scheme}: each has its own `take`");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_a_schema_can_be_used() {
    let both = Server::new(StockService::new(Shop)).add(BankService::new(Shop)).service();
    let wires = Wires::serve(both).await;
    let url = &format!("grpc://{}", wires.grpc);
    let printed = ended(&["schema", url]).await;
    for name in ["bank/v1/Bank", "shop/v1/Stock"] {
        assert!(printed.out.contains(&format!("// File: {name}.proto\n\nsyntax = ")), "{printed:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let written = ended(&["schema", url, "--out", folder]).await;
    let mut paths: Vec<_> = written.out.lines().collect();
    paths.sort_unstable();
    assert_eq!(paths, ["bank/v1/Bank", "shop/v1/Stock"].map(|name| format!("{folder}/{name}.proto")), "{written:?}");
    for (path, method, reply) in [(paths[0], "balance", "5\n"), (paths[1], "left", "3\n")] {
        let called = ended(&["call", url, "--proto", path, "--proto-path", folder, method]).await;
        assert_eq!((called.code, &*called.out), (0, reply), "{path}: {called:?}");
    }
    let own = ended(&["schema", "proto", "-o", folder]).await;
    assert_eq!(own.out, format!("{folder}/everywire/v1/Toolkit.proto\n"), "{own:?}");
    let json = ended(&["schema", &format!("jsonrpc://{}", wires.jsonrpc), "--out", folder]).await;
    assert!(json.code == 13 && json.err.contains("--out: only .proto files are written to a folder"), "{json:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_service_has_a_queue() {
    needs!(RabbitMq);
    let broker = &broker().await.url;
    let stop = CancellationToken::new();
    let server = Server::new(StockService::new(Shop)).add(BankService::new(Shop));
    let server = server.mount(amqp::Server::connect(broker).await.unwrap());
    let serving = tokio::spawn(server.serve_until(stop.clone().cancelled_owned()));
    let client = amqp::Client::connect(broker).await.unwrap().qualified();
    let (stock, bank) = (StockClient::new(client.clone()), BankClient::new(client));
    let both = async {
        while stock.left().await.is_err() || bank.balance().await.is_err() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    soon("both queues", both).await;
    assert_eq!((stock.take(1).await, bank.take(1).await), (Ok(2), Ok(101)));
    stop.cancel();
    soon("the stop", serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_name_may_say_which_service_is_meant() {
    let both = Server::new(StockService::new(Shop)).add(BankService::new(Shop)).service();
    for (name, args, expected) in [
        ("left", json!([]), json!(3)),
        ("Stock.left", json!([]), json!(3)),
        ("bank.v1.Bank.balance", json!([]), json!(5)),
        ("Stock.take", json!([1]), json!(2)),
        ("bank.v1.Bank.take", json!({ "cents": 1 }), json!(101)),
    ] {
        assert_eq!(memory::call(&*both, name, args).await, Ok(expected), "{name}");
    }
    let error = memory::call(&*both, "take", json!([1])).await.unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (Code::InvalidArgument, "several services have a method `take`; expected Stock.take or Bank.take")
    );
    for name in ["Till.take", "Stock.balance", "nothing", "v1.Stock.left"] {
        let error = memory::call(&*both, name, json!([])).await.unwrap_err();
        assert_eq!(error.code(), Code::Unimplemented, "{name}");
        assert!(error.message().ends_with("they have Stock.take, left, Bank.take, balance"), "{error}");
    }
}

#[tokio::test]
async fn a_service_is_there_once() {
    let server = Server::new(StockService::new(Shop)).add(StockService::new(Shop));
    let tcp = Tcp::bind("127.0.0.1:0").await.unwrap();
    let error = server.mount((tcp, jsonrpc::Server::new())).serve_until(std::future::ready(())).await.unwrap_err();
    assert_eq!(error.message(), "the server has the service shop.v1.Stock twice");
    let tcp = Tcp::bind("127.0.0.1:0").await.unwrap();
    let late = Server::new(StockService::new(Shop)).mount((tcp, jsonrpc::Server::new())).add(BankService::new(Shop));
    let error = late.serve_until(std::future::ready(())).await.unwrap_err();
    assert_eq!(error.message(), "a layer or a service was added after a wire; add them first");
}

/// In the package of `Stock`, with a method of the same name, whose messages have the same names too.
#[service(package = "shop.v1")]
trait Till {
    async fn take(&self, cents: u32) -> Result<u32>;
}

impl Till for Shop {
    async fn take(&self, cents: u32) -> Result<u32> {
        Ok(cents)
    }
}

#[tokio::test]
async fn grpc_rejects_two_messages_of_one_name() {
    let server = Server::new(StockService::new(Shop)).add(TillService::new(Shop));
    let tcp = Tcp::bind("127.0.0.1:0").await.unwrap();
    let outcome = server.mount((tcp, grpc::Server::new())).serve_until(std::future::pending()).await;
    let text = "grpc can't carry shop.v1.Till beside the other services: there is a message shop.v1.TakeRequest already; a package of \
                its own would tell them apart";
    assert!(outcome.as_ref().is_err_and(|error| error.message().ends_with(text)), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_and_introspection_list_all_services() {
    let both = Server::new(StockService::new(Shop)).add(BankService::new(Shop)).service();
    let wires = Wires::serve(both).await;
    let names = ["Bank.take", "Stock.take", "balance", "left"];
    for url in [format!("xmlrpc://{}", wires.xmlrpc), format!("jsonrpc://{}", wires.jsonrpc)] {
        let listed = crate::program::run(&["call", &url]).await;
        assert!(listed.0 && names.iter().all(|name| listed.1.contains(name)), "{url}: {listed:?}");
    }
    for (url, names) in [
        (format!("grpc://{}", wires.grpc), ["shop.v1.Stock", "bank.v1.Bank"]),
        (format!("zerorpc://{}", wires.zerorpc), ["Stock.take", "Bank.take"]),
    ] {
        let listed = crate::program::run(&["call", &url]).await;
        assert!(listed.0 && names.iter().all(|name| listed.1.contains(name)), "{url}: {listed:?}");
    }
}
