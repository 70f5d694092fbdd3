//! The schema of a server as `.proto` text, with the comments that it has.
//!
//! Options and the groups of proto2 are left out: no call needs them.

mod file;

use std::collections::BTreeSet;

use prost_reflect::FileDescriptor;

use super::schema::Schema;

/// Files that every compiler has.
const KNOWN_BY_ALL: &str = "google/protobuf/";

/// The package of services that a server has beside its own, such as health.
const BUILTIN: &str = "grpc.";

/// The files of the server's services and what they import. Several files stand one after the other, each below its name.
pub(in crate::cli) fn print(schema: &Schema) -> String {
    let mut files = Vec::new();
    let mut seen = BTreeSet::new();
    for method in schema.methods().filter(|method| !method.full_name().starts_with(BUILTIN)) {
        add(method.parent_file(), &mut seen, &mut files);
    }
    let text = |file: &FileDescriptor| file::print(file.file_descriptor_proto());
    let headed = |file: &FileDescriptor| format!("// File: {}\n\n{}", file.name(), text(file));
    match &files[..] {
        [file] => text(file),
        files => files.iter().map(headed).collect::<Vec<_>>().join("\n"),
    }
}

/// Adds what a file imports, and then the file.
fn add(file: FileDescriptor, seen: &mut BTreeSet<String>, files: &mut Vec<FileDescriptor>) {
    if file.name().starts_with(KNOWN_BY_ALL) || !seen.insert(file.name().to_owned()) {
        return;
    }
    for import in file.dependencies() {
        add(import, seen, files);
    }
    files.push(file);
}
