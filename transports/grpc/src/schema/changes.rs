//! Finds the changes of a `.proto` that break clients built from an older one.

use std::collections::BTreeMap;

use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet, MessageOptions,
};

use super::print::{field_type, short};

/// What breaks clients built from `old` at a server of `new`, a line for each. Empty if `new` only appends.
///
/// Names count: renaming a field changes nothing on the wire, but breaks the source of a client. To compare with a committed
/// `.proto`, compile it to a `FileDescriptorSet` first, for example with protoc or the crate protox.
pub fn breaking_changes(old: &FileDescriptorSet, new: &FileDescriptorSet) -> Vec<String> {
    broken(relied_on(old), &relied_on(new))
}

/// What clients rely on: how each element is declared, by its name. That of a message or a service says nothing more.
pub(super) type ReliedOn = BTreeMap<String, String>;

/// The elements of `old` that `new` lacks or declares otherwise.
pub(super) fn broken(old: ReliedOn, new: &ReliedOn) -> Vec<String> {
    let broken = old.into_iter().filter_map(|(element, was)| match new.get(&element) {
        None if was.is_empty() => Some(format!("{element} is gone")),
        None => Some(format!("{element} was `{was}` and is gone")),
        Some(is) if *is != was => Some(format!("{element} was `{was}` and is now `{is}`")),
        Some(_) => None,
    });
    broken.collect()
}

/// The elements of all files in `set`, with types as a `.proto` writes them.
pub(super) fn relied_on(set: &FileDescriptorSet) -> ReliedOn {
    let mut elements = ReliedOn::new();
    for file in &set.file {
        let package = if file.package().is_empty() { String::new() } else { format!("{}.", file.package()) };
        for message in &file.message_type {
            add_message(&package, file, message, &mut elements);
        }
        for r#enum in &file.enum_type {
            add_enum(&package, r#enum, &mut elements);
        }
        for service in &file.service {
            let name = format!("{package}{}", service.name());
            for method in &service.method {
                let (input, output) = (short(file, method.input_type()), short(file, method.output_type()));
                let stream = if method.server_streaming() { "stream " } else { "" };
                elements.insert(format!("/{name}/{}", method.name()), format!("{input} -> {stream}{output}"));
            }
            elements.insert(format!("service {name}"), String::new());
        }
    }
    elements
}

fn add_message(prefix: &str, file: &FileDescriptorProto, message: &DescriptorProto, elements: &mut ReliedOn) {
    let name = format!("{prefix}{}", message.name());
    for field in &message.field {
        elements.insert(format!("field {} of {name}", field.number()), declaration(file, message, field));
    }
    let inner = format!("{name}.");
    // The entries of a map are in the type of its field.
    let is_entry = |nested: &&DescriptorProto| nested.options.as_ref().is_some_and(MessageOptions::map_entry);
    message
        .nested_type
        .iter()
        .filter(|nested| !is_entry(nested))
        .for_each(|it| add_message(&inner, file, it, elements));
    message.enum_type.iter().for_each(|nested| add_enum(&inner, nested, elements));
    elements.insert(format!("message {name}"), String::new());
}

fn declaration(file: &FileDescriptorProto, message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let oneof = if field.oneof_index.is_some() && !field.proto3_optional() { "oneof " } else { "" };
    format!("{oneof}{} {}", field_type(file, message, field), field.name())
}

fn add_enum(prefix: &str, r#enum: &EnumDescriptorProto, elements: &mut ReliedOn) {
    for value in &r#enum.value {
        elements.insert(format!("value {} of {prefix}{}", value.number(), r#enum.name()), value.name().to_owned());
    }
}
