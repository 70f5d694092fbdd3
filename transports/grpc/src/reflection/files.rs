//! Files by their names, and by the names of what they define.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto, ServiceDescriptorProto};

/// Encoded file descriptors, indexed by file name and by symbol.
#[derive(Default)]
pub(super) struct Files {
    encoded: Vec<Vec<u8>>,
    names: BTreeMap<String, usize>,
    symbols: BTreeMap<String, usize>,
    messages: BTreeSet<String>,
    services: BTreeSet<String>,
}

impl Files {
    pub(super) fn new(files: &[FileDescriptorProto]) -> Self {
        let mut known = Self::default();
        for file in files {
            known.names.insert(file.name().to_owned(), known.encoded.len());
            known.add_services(file.package(), &file.service);
            known.add_messages(file.package(), &file.message_type);
            known.add_enums(file.package(), &file.enum_type);
            known.encoded.push(file.encode_to_vec());
        }
        known
    }

    pub(super) fn file(&self, name: &str) -> Option<&[u8]> {
        self.names.get(name).map(|&index| &self.encoded[index][..])
    }

    /// The file that defines a service, a method, a message, a field, a oneof, an enum or one of its values.
    pub(super) fn with_symbol(&self, name: &str) -> Option<&[u8]> {
        self.symbols.get(name).map(|&index| &self.encoded[index][..])
    }

    pub(super) fn has_message(&self, name: &str) -> bool {
        self.messages.contains(name)
    }

    pub(super) fn services(&self) -> impl Iterator<Item = &str> {
        self.services.iter().map(String::as_str)
    }

    /// Adds `name` in `scope` to the symbols of the file being read, and returns its full name.
    fn add(&mut self, scope: &str, name: &str) -> String {
        let full = if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") };
        self.symbols.insert(full.clone(), self.encoded.len());
        full
    }

    fn add_services(&mut self, scope: &str, services: &[ServiceDescriptorProto]) {
        for service in services {
            let name = self.add(scope, service.name());
            for method in &service.method {
                self.add(&name, method.name());
            }
            self.services.insert(name);
        }
    }

    fn add_messages(&mut self, scope: &str, messages: &[DescriptorProto]) {
        for message in messages {
            let name = self.add(scope, message.name());
            for field in &message.field {
                self.add(&name, field.name());
            }
            for oneof in &message.oneof_decl {
                self.add(&name, oneof.name());
            }
            self.add_messages(&name, &message.nested_type);
            self.add_enums(&name, &message.enum_type);
            self.messages.insert(name);
        }
    }

    fn add_enums(&mut self, scope: &str, enums: &[EnumDescriptorProto]) {
        for r#enum in enums {
            self.add(scope, r#enum.name());
            // As in C, the values of an enum are in the scope of the enum itself.
            for value in &r#enum.value {
                self.add(scope, value.name());
            }
        }
    }
}
