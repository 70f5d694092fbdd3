//! The committed `.proto` is what foreign clients are built from: it may grow, and nothing in it may change.

use std::path::Path;

use everywire::grpc;
use everywire_toolkit::ToolkitService;

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../services/toolkit.proto");

/// `UPDATE_PROTO=1 cargo test --test everywire proto` writes what was appended.
#[test]
fn the_committed_proto_is_the_present_one_or_was_appended_to() {
    let present = grpc::schema::proto(ToolkitService::descriptor());
    let committed = std::fs::read_to_string(COMMITTED).unwrap_or_default();
    if present == committed {
        return;
    }
    let breaks = if Path::new(COMMITTED).exists() {
        let before = protox::compile([COMMITTED], [concat!(env!("CARGO_MANIFEST_DIR"), "/../../services")]).unwrap();
        grpc::schema::breaking_changes(&before, &grpc::schema::file_descriptor_set(ToolkitService::descriptor()))
    } else {
        Vec::new()
    };
    assert!(breaks.is_empty(), "clients built from the committed .proto would break: {breaks:#?}");
    if std::env::var_os("UPDATE_PROTO").is_some() {
        return std::fs::write(COMMITTED, present).unwrap();
    }
    panic!("the service has grown; UPDATE_PROTO=1 writes {COMMITTED} anew");
}
