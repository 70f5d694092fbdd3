//! The comments of a file. Each belongs to the path of an element in the file's descriptor.

use everywire_core::descriptor::{ServiceDescriptor, shape::plain_name};
use prost_types::{SourceCodeInfo, source_code_info::Location};
use serde_json::Value;

// The numbers of fields in descriptor.proto that paths consist of.
pub(super) const MESSAGE: i32 = 4;
pub(super) const ENUM: i32 = 5;
pub(super) const SERVICE: i32 = 6;
/// The fields of a message, the values of an enum, the methods of a service.
pub(super) const MEMBER: i32 = 2;

/// The comments of a service's file.
pub(super) struct Comments<'a> {
    service: &'a ServiceDescriptor,
    locations: Vec<Location>,
}

impl<'a> Comments<'a> {
    pub(super) fn new(service: &'a ServiceDescriptor) -> Self {
        Self { service, locations: vec![] }
    }

    /// Adds `text` to the element at `path`.
    pub(super) fn add(&mut self, path: &[i32], text: &str) {
        if !text.is_empty() {
            let lines: String = text.lines().flat_map(|line| [" ", line.trim_end(), "\n"]).collect();
            self.locations.push(Location {
                path: path.to_vec(),
                span: vec![0, 0, 0],
                leading_comments: Some(lines),
                ..Default::default()
            });
        }
    }

    /// Adds the documentation of a struct or an enum.
    pub(super) fn add_type(&mut self, path: &[i32], name: &str) {
        self.add(path, self.docs(name, "/description"));
    }

    /// Adds the documentation of a field of the struct `name`.
    pub(super) fn add_field(&mut self, path: &[i32], name: &str, field: &str) {
        self.add(path, self.docs(name, &format!("/properties/{field}/description")));
    }

    /// Adds the documentation of a variant of the enum `name`.
    pub(super) fn add_variant(&mut self, path: &[i32], name: &str, variant: &str) {
        let variants = self.definition(name).and_then(|schema| schema.get("oneOf")).and_then(Value::as_array);
        let found = variants.into_iter().flatten().find(|schema| is_of_variant(schema, variant));
        let docs = found.and_then(|schema| schema.get("description")).and_then(Value::as_str);
        self.add(path, docs.unwrap_or_default());
    }

    /// The JSON Schema of a named type. The instances of a generic type have the same documentation.
    fn definition(&self, name: &str) -> Option<&'a Value> {
        self.service.definitions().get(plain_name(name))
    }

    pub(super) fn into_source_code_info(self) -> SourceCodeInfo {
        SourceCodeInfo { location: self.locations }
    }

    /// The documentation at `pointer` in the JSON Schema of a named type.
    fn docs(&self, name: &str, pointer: &str) -> &'a str {
        self.definition(name).and_then(|schema| schema.pointer(pointer)).and_then(Value::as_str).unwrap_or_default()
    }
}

/// Whether `schema` is that of a plain variant, or of one with data.
fn is_of_variant(schema: &Value, variant: &str) -> bool {
    let is_plain = schema.get("const").is_some_and(|name| name == variant);
    is_plain || schema.get("properties").is_some_and(|properties| properties.get(variant).is_some())
}
