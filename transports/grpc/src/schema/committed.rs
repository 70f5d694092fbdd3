//! A committed `.proto`, which may grow and in which nothing may change.

use std::{collections::BTreeMap, fs, io::ErrorKind, path::Path};

use everywire_core::descriptor::ServiceDescriptor;

use super::{changes::broken, proto};

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
/// relative to the package, where `cargo test` runs.
///
/// # Panics
/// If the file differs. The message lists what would break clients, or says how to write the file.
#[track_caller]
pub fn assert_proto(service: &ServiceDescriptor, path: impl AsRef<Path>) {
    let (path, present) = (path.as_ref(), proto(service));
    let committed = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        read => read.unwrap_or_else(|error| panic!("{}: {error}", path.display())),
    };
    if present == committed {
        return;
    }
    let breaks = broken(promises(&committed), &promises(&present));
    assert!(breaks.is_empty(), "clients built from {} would break: {breaks:#?}", path.display());
    assert!(
        std::env::var_os("UPDATE_PROTO").is_some(),
        "the service has grown; UPDATE_PROTO=1 writes {} anew",
        path.display()
    );
    fs::write(path, present).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// What peers rely on in a file that [`proto`] has written, by where it is. There each element has a line of its own.
fn promises(text: &str) -> BTreeMap<String, String> {
    let mut promises = BTreeMap::new();
    let (mut block, mut oneof) = ("", "");
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
        let begun = line.strip_suffix(" {").or_else(|| line.strip_suffix(" {}"));
        match begun {
            Some(begun) if begun.starts_with("oneof ") => oneof = "oneof ",
            Some(begun) => {
                (block, oneof) = (begun, "");
                promises.insert(block.to_owned(), "there".to_owned());
            }
            None => promises.extend(member(line, block, oneof)),
        }
    }
    promises
}

/// What a line inside of `block` promises.
fn member(line: &str, block: &str, oneof: &str) -> Option<(String, String)> {
    if line.starts_with("package ") {
        return Some(("package".to_owned(), line.to_owned()));
    }
    if let Some((name, _)) = line.strip_prefix("rpc ").and_then(|method| method.split_once('(')) {
        let method = line.split(" {").next().unwrap_or(line).trim_end_matches(';');
        return Some((format!("{name} of {block}"), method.to_owned()));
    }
    let (declared, number) = line.strip_suffix(';')?.rsplit_once(" = ")?;
    (!block.is_empty()).then(|| (format!("{number} of {block}"), format!("{oneof}{declared}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "syntax = \"proto3\";\n\npackage demo.v1;\n\n// Adds = 1;\nservice Demo {\n  rpc Add(A) returns (B);\n}\n\n\
        message A {\n  int64 a = 1;\n}\n\nmessage B {\n  oneof variant {\n    A a = 1;\n  }\n}\n\nenum C {\n  C_ONE = 0;\n}\n";

    #[test]
    fn a_committed_file_may_grow_and_not_change() {
        let changed = |from: &str, to: &str| {
            assert!(BEFORE.contains(from), "{from}");
            broken(promises(BEFORE), &promises(&BEFORE.replace(from, to)))
        };
        let grown = [
            ("  int64 a = 1;\n", "  int64 a = 1;\n  // New.\n  optional string b = 2;\n"),
            ("    A a = 1;\n", "    A a = 1;\n    B b = 2;\n"),
            ("  C_ONE = 0;\n", "  C_ONE = 0;\n  C_TWO = 1;\n"),
            ("returns (B);\n", "returns (B) { option idempotency_level = IDEMPOTENT; }\n  rpc Take(A) returns (A);\n"),
            ("\nenum C", "\nmessage D {}\n\nenum C"),
        ];
        for (from, to) in grown {
            assert_eq!(changed(from, to), [""; 0], "{to}");
        }
        let broken = [
            ("  int64 a = 1;", "  int32 a = 1;", "1 of message A was `int64 a` and is now `int32 a`"),
            ("  int64 a = 1;\n", "", "1 of message A was `int64 a` and is gone"),
            ("    A a = 1;\n  }", "    A a = 2;\n  }", "1 of message B was `oneof A a` and is gone"),
            ("  C_ONE = 0;", "  C_TWO = 0;", "0 of enum C was `C_ONE` and is now `C_TWO`"),
            (
                "returns (B)",
                "returns (A)",
                "Add of service Demo was `rpc Add(A) returns (B)` and is now `rpc Add(A) returns (A)`",
            ),
            ("demo.v1", "demo.v2", "package was `package demo.v1;` and is now `package demo.v2;`"),
        ];
        for (from, to, expected) in broken {
            assert_eq!(changed(from, to), [expected]);
        }
    }
}
