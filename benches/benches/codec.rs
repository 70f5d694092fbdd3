//! Each format against the library that people would use instead: writing and reading two small integers, and a record.

use std::{hint::black_box, sync::Arc};

use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime};
use dxr::{TryFromValue, TryToValue, Value};
use everywire::Budget;
use everywire_benches::{Echo as _, EchoClient, EchoService, Plain};
use everywire_grpc as grpc;
use everywire_xmlrpc as xmlrpc;
use everywire_zerorpc as zerorpc;
use prost::Message;
use serde::{Deserialize, Serialize};
use tokio::runtime::Builder;

#[derive(Clone, PartialEq, Message, Serialize, Deserialize, TryFromValue, TryToValue)]
struct Add {
    #[prost(int64, tag = "1")]
    a: i64,
    #[prost(int64, tag = "2")]
    b: i64,
}

#[derive(Clone, PartialEq, Message, Serialize, Deserialize, TryFromValue, TryToValue)]
struct Record {
    #[prost(int64, tag = "1")]
    id: i64,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(bool, tag = "3")]
    is_open: bool,
    #[prost(double, repeated, tag = "4")]
    figures: Vec<f64>,
    #[prost(string, repeated, tag = "5")]
    words: Vec<String>,
}

fn record() -> Record {
    Record {
        id: 1 << 40,
        name: "a name of <some> length & with what XML escapes".to_owned(),
        is_open: true,
        figures: (0..32).map(|figure| f64::from(figure) * 1.25).collect(),
        words: ["one", "two", "three", "four", "five", "six", "seven", "eight"].map(str::to_owned).to_vec(),
    }
}

type Group<'a> = BenchmarkGroup<'a, WallTime>;

fn formats(c: &mut Criterion) {
    both(&mut c.benchmark_group("add"), &Add { a: 3, b: 4 });
    both(&mut c.benchmark_group("record"), &record());
}

fn both<T>(group: &mut Group<'_>, value: &T)
where
    T: Message + Default + Serialize + for<'a> Deserialize<'a> + TryFromValue + TryToValue,
{
    let xml = xmlrpc::to_string(value).expect("XML-RPC carries it");
    group.bench_function("xmlrpc/write/everywire", |b| b.iter(|| xmlrpc::to_string(black_box(value))));
    group.bench_function("xmlrpc/write/dxr", |b| {
        b.iter(|| black_box(value).try_to_value().and_then(|value| value.to_xml()));
    });
    group.bench_function("xmlrpc/read/everywire", |b| b.iter(|| xmlrpc::from_str::<T>(black_box(&xml))));
    group.bench_function("xmlrpc/read/dxr", |b| {
        b.iter(|| Value::from_xml(black_box(&xml)).and_then(|value| T::try_from_value(&value)));
    });

    let proto = value.encode_to_vec();
    group.bench_function("grpc/write/everywire", |b| b.iter(|| grpc::to_vec(black_box(value))));
    group.bench_function("grpc/write/prost", |b| b.iter(|| black_box(value).encode_to_vec()));
    group.bench_function("grpc/read/everywire", |b| b.iter(|| grpc::from_slice::<T>(black_box(&proto))));
    group.bench_function("grpc/read/prost", |b| b.iter(|| T::decode(black_box(&*proto))));

    // JSON and MessagePack are the libraries'; what everywire has around them is in `messages`.
    let json = serde_json::to_vec(value).expect("JSON carries it");
    group.bench_function("json/write/serde_json", |b| b.iter(|| serde_json::to_vec(black_box(value))));
    group.bench_function("json/read/serde_json", |b| b.iter(|| serde_json::from_slice::<T>(black_box(&json))));
    let msgpack = rmp_serde::to_vec_named(value).expect("MessagePack carries it");
    group.bench_function("msgpack/write/rmp_serde", |b| b.iter(|| rmp_serde::to_vec_named(black_box(value))));
    group.bench_function("msgpack/read/rmp_serde", |b| b.iter(|| rmp_serde::from_slice::<T>(black_box(&msgpack))));
}

/// A whole `add(3, 4)` without a socket: client, envelope, dispatch and back.
fn messages(c: &mut Criterion) {
    let runtime = Builder::new_current_thread().build().expect("it needs no resources");
    let service = || Arc::new(EchoService::new(Plain::default()));
    let budget = Budget::new(everywire::Limits::default());
    let mut group = c.benchmark_group("message");
    let over_xmlrpc = EchoClient::new(xmlrpc::Loopback::new(service(), Arc::clone(&budget)));
    group.bench_function("xmlrpc", |b| b.iter(|| runtime.block_on(over_xmlrpc.add(3, 4))));
    let over_grpc = EchoClient::new(grpc::Loopback::new(service(), Arc::clone(&budget)));
    group.bench_function("grpc", |b| b.iter(|| runtime.block_on(over_grpc.add(3, 4))));
    let over_zerorpc = EchoClient::new(zerorpc::Loopback::new(service(), Arc::clone(&budget)));
    group.bench_function("zerorpc", |b| b.iter(|| runtime.block_on(over_zerorpc.add(3, 4))));
    let over_jsonrpc = EchoClient::new(everywire_json::Loopback::new(service(), budget));
    group.bench_function("jsonrpc", |b| b.iter(|| runtime.block_on(over_jsonrpc.add(3, 4))));
}

criterion_group!(benches, formats, messages);
criterion_main!(benches);
