//! The schema of a server as `.proto` text, with the comments that it has.
//!
//! Options and the groups of proto2 are left out: no call needs them.

mod file;

use std::collections::BTreeSet;

use prost_reflect::FileDescriptor;

use super::schema::Schema;
use crate::cli::printable;

/// Files that every compiler has.
const KNOWN_BY_ALL: &str = "google/protobuf/";

/// The package of services that a server has beside its own, such as health.
const BUILTIN: &str = "grpc.";

/// A file of a schema.
pub(in crate::cli) struct File {
    /// As other files import it, such as `shop/v1/Stock.proto`.
    pub(in crate::cli) name: String,
    pub(in crate::cli) text: String,
}

/// The files of the server's services and what they import, each behind those that it imports.
pub(in crate::cli) fn files(schema: &Schema) -> Vec<File> {
    let mut files = Vec::new();
    let mut seen = BTreeSet::new();
    for method in schema.methods().filter(|method| !method.full_name().starts_with(BUILTIN)) {
        add(method.parent_file(), &mut seen, &mut files);
    }
    let text = |file: &FileDescriptor| printable(&file::print(file.file_descriptor_proto()));
    files.iter().map(|file| File { name: file.name().to_owned(), text: text(file) }).collect()
}

/// The files as one text. Several stand one after the other, each below its name.
pub(in crate::cli) fn print(files: &[File]) -> String {
    let headed = |file: &File| format!("// File: {}\n\n{}", printable(&file.name), file.text);
    match files {
        [file] => file.text.clone(),
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
