//! A client of each wire, from an address alone.

use std::net::SocketAddr;

use everywire::{Result, amqp, grpc, jsonrpc, xmlrpc, zerorpc};

pub(crate) async fn xmlrpc(server: SocketAddr) -> Result<xmlrpc::Client> {
    xmlrpc::Client::connect(&format!("http://{server}")).await
}

pub(crate) async fn http(server: SocketAddr) -> Result<jsonrpc::Client> {
    jsonrpc::Client::connect(&format!("http://{server}")).await
}

pub(crate) async fn websocket(server: SocketAddr) -> Result<jsonrpc::Client> {
    jsonrpc::Client::connect(&format!("ws://{server}")).await
}

pub(crate) async fn grpc(server: SocketAddr) -> Result<grpc::Client> {
    grpc::Client::connect(&format!("http://{server}")).await
}

pub(crate) async fn zerorpc(server: SocketAddr) -> Result<zerorpc::Client> {
    zerorpc::Client::connect(&format!("tcp://{server}")).await
}

pub(crate) async fn amqp(broker: SocketAddr, queue: &str) -> Result<amqp::Client> {
    Ok(amqp::Client::connect(&format!("amqp://{broker}")).await?.queue(queue))
}
