//! A committed `.proto`, to which a service may append and of which nothing may change.

use std::{fs, io::ErrorKind, path::Path};

use everywire_core::descriptor::ServiceDescriptor;

use super::{
    changes::{broken, relied_on},
    file_descriptor_set, proto,
    read::read,
};

/// Compares the `.proto` file at `path`, which clients are built from, with the one of the service. For a test of your own:
///
/// ```no_run
/// # use everywire_core::Result;
/// #[everywire_core::service(package = "demo.v1")]
/// trait Calculator {
///     async fn add(&self, a: i64, b: i64) -> Result<i64>;
/// }
///
/// #[test]
/// fn the_committed_proto_is_current() {
///     everywire_grpc::assert_proto(CalculatorService::descriptor(), "api.proto");
/// }
/// # fn main() {}
/// ```
///
/// With the environment variable `UPDATE_PROTO=1` it writes the file, if fields, variants or methods were only appended. The path is
/// relative to the package, where `cargo test` runs. Line endings don't count.
///
/// # Panics
/// If the file is missing, or differs. The message lists what breaks clients; if nothing does, it says how to write the file.
#[track_caller]
pub fn assert_proto(service: &ServiceDescriptor, path: impl AsRef<Path>) {
    let (path, name) = (path.as_ref(), path.as_ref().display());
    let committed = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        read => Some(read.unwrap_or_else(|error| panic!("{name}: {error}"))),
    };
    let stale = match committed.map(|committed| is_current(service, &committed)) {
        Some(Ok(true)) => return,
        Some(Ok(false)) => "is out of date, and no change breaks clients; UPDATE_PROTO=1 writes it anew",
        Some(Err(reason)) => panic!("{name}: {reason}"),
        None => "is missing; UPDATE_PROTO=1 writes it",
    };
    assert!(std::env::var_os("UPDATE_PROTO").is_some(), "{name} {stale}");
    fs::write(path, proto(service)).unwrap_or_else(|error| panic!("{name}: {error}"));
}

/// Whether `committed` is the `.proto` of the service. An error if clients that are built from it break, or if that is not
/// known.
fn is_current(service: &ServiceDescriptor, committed: &str) -> Result<bool, String> {
    if committed.lines().eq(proto(service).lines()) {
        return Ok(true);
    }
    let breaks = broken(read(committed)?, &relied_on(&file_descriptor_set(service)));
    if breaks.is_empty() { Ok(false) } else { Err(format!("clients built from it break: {breaks:#?}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demo() -> ServiceDescriptor {
        let mut service = ServiceDescriptor::builder("demo.v1", "Demo", "");
        service.method("add", "Add", "").argument::<i64>("a", "i64").argument::<i64>("b", "i64").reply::<i64>("i64");
        service.build()
    }

    #[test]
    fn a_committed_file_is_current_or_out_of_date_or_breaks_clients() {
        let service = demo();
        let text = proto(&service);
        let changed = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            is_current(&service, &text.replace(from, to))
        };
        assert_eq!(changed("\n", "\r\n"), Ok(true));
        for (from, to) in [("  int64 b = 2;\n", ""), ("// Written", "// Made"), (&*text, "")] {
            assert_eq!(changed(from, to), Ok(false), "{from}");
        }
        let broken = [
            ("int64 b = 2;", "int32 b = 2;", "field 2 of demo.v1.AddRequest was `int32 b` and is now `int64 b`"),
            ("int64 b = 2;", "int64 B = 2;", "field 2 of demo.v1.AddRequest was `int64 B` and is now `int64 b`"),
            ("int64 b = 2;", "int64 b = 3;", "field 3 of demo.v1.AddRequest was `int64 b` and is gone"),
            ("rpc Add(", "rpc Sum(", "/demo.v1.Demo/Sum was `AddRequest -> AddReply` and is gone"),
            ("returns (AddReply)", "returns (A)", "/demo.v1.Demo/Add was `AddRequest -> A` and is now"),
            ("service Demo", "service Sums", "service demo.v1.Sums is gone"),
            ("package demo.v1", "package demo.v2", "message demo.v2.AddReply is gone"),
            ("int64 b = 2;", "reserved 2;", "line 14 is not as everywire writes it: `reserved 2;`"),
        ];
        for (from, to, expected) in broken {
            let reason = changed(from, to).unwrap_err();
            assert!(reason.contains(expected), "expected `{expected}`: {reason}");
        }
    }

    #[test]
    #[should_panic = "no.proto is missing; UPDATE_PROTO=1 writes it"]
    fn a_missing_file_is_said_to_be_missing() {
        assert_proto(&demo(), "no.proto");
    }
}
