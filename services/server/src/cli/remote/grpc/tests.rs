use std::{fs, path::Path};

use everywire::Code;
use prost_reflect::{MethodDescriptor, prost_types::FileDescriptorProto};
use serde_json::{Value, json};

use super::{
    describe, message, proto,
    schema::{Schema, compile},
};
use crate::cli::remote::Arguments;

const PROTO: &str = r#"
syntax = "proto3";

package demo.v1;

import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";

// Things.
service Shop {
  // Puts a thing.
  rpc Put(Thing) returns (Thing);
  rpc Count(Nothing) returns (CountReply);
  rpc Watch(Nothing) returns (stream Thing);
  rpc Upload(stream Thing) returns (Nothing);
}

service Store {
  rpc Put(Thing) returns (Thing);
  rpc LastSeen(Nothing) returns (Thing);
}

message Nothing {}

message CountReply {
  uint64 value = 1;
}

message Thing {
  message Part {
    sint32 size = 1;
  }
  enum Colour {
    NONE = 0;
    RED = 5;
  }
  string name = 1;
  // How many.
  optional fixed64 count = 2;
  Colour colour = 3;
  repeated Part parts = 4;
  map<string, Part> named = 5;
  bytes raw = 100;
  google.protobuf.Timestamp time = 7;
  google.protobuf.StringValue note = 8;
  oneof choice {
    int32 left = 9;
    double right = 10;
  }
}
"#;

fn compiled(text: &str) -> Schema {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("demo.proto");
    fs::write(&file, text).unwrap();
    compile(&file, &[]).unwrap()
}

fn put() -> MethodDescriptor {
    compiled(PROTO).find("demo.v1.Shop/Put").unwrap()
}

/// The reply of a method that returns its request.
#[track_caller]
fn there_and_back(arguments: Arguments) -> Value {
    let method = put();
    message::reply(&method, &message::request(&method, arguments).unwrap()).unwrap()
}

fn object(value: Value) -> Arguments {
    let Value::Object(values) = value else { panic!("{value}") };
    Arguments::Named(values)
}

#[test]
fn methods_are_found_by_every_name() {
    let schema = compiled(PROTO);
    for name in ["demo.v1.Store/LastSeen", "/demo.v1.Store/LastSeen", "demo.v1.Store.LastSeen", "LastSeen", "last_seen"]
    {
        assert_eq!(schema.find(name).unwrap().full_name(), "demo.v1.Store.LastSeen", "{name}");
    }
    let error = schema.find("put").unwrap_err();
    assert_eq!(error.message(), "`put` may be demo.v1.Shop/Put or demo.v1.Store/Put");
    assert_eq!(schema.find("nothing").unwrap_err().code(), Code::Unimplemented);
}

#[test]
fn every_kind_of_field_goes_there_and_back() {
    let thing = json!({
        "name": "x", "count": 18_446_744_073_709_551_615_u64, "colour": "RED", "parts": [{"size": -1}],
        "named": {"a": {"size": 2}}, "time": "1970-01-01T00:00:01Z", "note": "n", "right": 0.5, "raw": "/wA=",
    });
    assert_eq!(there_and_back(object(thing.clone())), thing);
    assert_eq!(there_and_back(Arguments::Positional(vec![thing.clone()])), thing, "the whole request");
    let defaults = json!({"name": "x", "colour": "NONE", "parts": [], "named": {}, "raw": ""});
    assert_eq!(there_and_back(Arguments::Positional(vec![json!("x"), json!(null)])), defaults);
    assert_eq!(there_and_back(Arguments::Positional(vec![json!("x"), json!("0")]))["count"], json!(0));
}

#[test]
fn a_wrapped_reply_is_bare_and_a_stream_as_the_request_is_rejected() {
    let schema = compiled(PROTO);
    let count = schema.find("Count").unwrap();
    assert_eq!(message::reply(&count, &[8, 7]), Ok(json!(7)));
    assert_eq!(message::reply(&count, &[]), Ok(json!(0)));
    assert_eq!(message::reply(&count, &[8]).unwrap_err().code(), Code::Internal);
    let watch = schema.find("Watch").unwrap();
    assert!(message::request(&watch, Arguments::Positional(vec![])).is_ok() && describe(&watch).streams);
    let upload = schema.find("Upload").unwrap();
    let error = message::request(&upload, Arguments::Positional(vec![])).unwrap_err();
    assert_eq!(error.code(), Code::Unimplemented, "{error}");
    assert_eq!(describe(&watch).signature(), "demo.v1.Shop/Watch() -> stream Thing");
}

#[test]
fn arguments_that_do_not_fit_are_named() {
    #[rustfmt::skip]
    let cases = [
        (json!({"count": "x"}), "argument `count`: expected fixed64: "),
        (json!({"colour": "BLUE"}), "argument `colour`: expected demo.v1.Thing.Colour: "),
        (json!({"weight": 1}), "there is no field `weight`; usage: demo.v1.Shop/Put(name: string, count?: fixed64, "),
    ];
    for (fields, expected) in cases {
        let error = message::request(&put(), object(fields)).unwrap_err();
        assert!(error.message().starts_with(expected), "{error}");
    }
}

#[test]
fn a_printed_schema_compiles_to_the_same() {
    let plain = |schema: &Schema| -> FileDescriptorProto {
        let file = schema.pool.get_file_by_name("demo.proto").unwrap();
        FileDescriptorProto { source_code_info: None, ..file.file_descriptor_proto().clone() }
    };
    let schema = compiled(PROTO);
    let text = proto::print(&proto::files(&schema));
    assert!(text.contains("// Things.\nservice Shop {\n  // Puts a thing.\n  rpc Put("), "{text}");
    assert!(text.contains("  // How many.\n  optional fixed64 count = 2;\n"), "{text}");
    assert_eq!(plain(&compiled(&text)), plain(&schema), "{text}");
}

#[test]
fn a_proto_file_that_is_wrong_is_an_error() {
    let error = compile(Path::new("/no/such/file.proto"), &[]).unwrap_err();
    assert!(error.message().starts_with("--proto: /no/such/file.proto can't be read: "), "{error}");
}
