//! The committed `.proto` is what foreign clients are built from: it may grow, and nothing in it may change.

use everywire::grpc;
use everywire_toolkit::ToolkitService;

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../services/toolkit.proto");

/// `UPDATE_PROTO=1 cargo test --test everywire proto` writes what was appended.
#[test]
fn the_committed_proto_is_the_present_one_or_was_appended_to() {
    grpc::assert_proto(ToolkitService::descriptor(), COMMITTED);
}
