//! A layer of your own, a service around a service: one that can be switched to maintenance. `cargo run --example custom_layer`

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use everywire::descriptor::{Method, Services};
use everywire::{Code, Result, RpcError, Server, Service, Tcp, jsonrpc, service, wire::Call, xmlrpc};

/// The layer. While it is on, calls are answered `UNAVAILABLE` and don't run.
struct Maintenance<S> {
    service: S,
    is_on: Arc<AtomicBool>,
}

impl<S: Service> Service for Maintenance<S> {
    fn services(&self) -> &Services {
        self.service.services()
    }

    async fn dispatch<C: Call>(&self, method: &'static Method, call: &mut C) -> C::Reply {
        if self.is_on.load(Relaxed) {
            return call.reply::<()>(Err(RpcError::unavailable(format!("no {} during maintenance", method.name()))));
        }
        self.service.dispatch(method, call).await
    }
}

#[service(package = "demo.v1")]
trait Calculator {
    async fn add(&self, a: i64, b: i64) -> Result<i64>;
}

struct Plain;

impl Calculator for Plain {
    async fn add(&self, a: i64, b: i64) -> Result<i64> {
        Ok(a + b)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let is_on = Arc::new(AtomicBool::new(false));
    let (xml, json) = (Tcp::bind("127.0.0.1:0").await?, Tcp::bind("127.0.0.1:0").await?);
    let urls = [xml.address(), json.address()].map(|address| format!("http://{address}"));
    let server = Server::new(CalculatorService::new(Plain))
        .layer(|service| Maintenance { service, is_on: Arc::clone(&is_on) })
        .mount((xml, xmlrpc::Server::new()))
        .mount((json, jsonrpc::Server::new()));
    tokio::spawn(server.serve_until(std::future::pending()));

    let over_xml = CalculatorClient::new(xmlrpc::Client::connect(&urls[0]).await?);
    let over_json = CalculatorClient::new(jsonrpc::Client::connect(&urls[1]).await?);
    assert_eq!((over_xml.add(3, 4).await, over_json.add(3, 4).await), (Ok(7), Ok(7)));
    is_on.store(true, Relaxed);
    for outcome in [over_xml.add(3, 4).await, over_json.add(3, 4).await] {
        let error = outcome.expect_err("maintenance");
        println!("{error}");
        assert_eq!((error.code(), error.message()), (Code::Unavailable, "no add during maintenance"));
    }
    Ok(())
}
