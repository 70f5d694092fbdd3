//! Finds the changes of a `.proto` that break peers built from an older one.

use std::collections::BTreeMap;

use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};

/// What `old` promises and `new` does not keep, a line for each. Empty if `new` only appends.
///
/// Names count: renaming a field changes nothing on the wire, but breaks the source of a client. To compare with a committed
/// `.proto`, compile it to a `FileDescriptorSet` first, for example with protoc or the crate protox.
pub fn breaking_changes(old: &FileDescriptorSet, new: &FileDescriptorSet) -> Vec<String> {
    broken(promises(old), &promises(new))
}

/// What `old` promises, by where it is, and `new` does not keep.
pub(super) fn broken(old: BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<String> {
    let broken = old.into_iter().filter_map(|(element, was)| match new.get(&element) {
        None => Some(format!("{element} was `{was}` and is gone")),
        Some(is) if *is != was => Some(format!("{element} was `{was}` and is now `{is}`")),
        Some(_) => None,
    });
    broken.collect()
}

/// What peers rely on, by where it is.
fn promises(set: &FileDescriptorSet) -> BTreeMap<String, String> {
    let mut promises = BTreeMap::new();
    for file in &set.file {
        let package = if file.package().is_empty() { String::new() } else { format!("{}.", file.package()) };
        for message in &file.message_type {
            message_promises(&package, message, &mut promises);
        }
        for r#enum in &file.enum_type {
            enum_promises(&package, r#enum, &mut promises);
        }
        for service in &file.service {
            for method in &service.method {
                let element = format!("/{package}{}/{}", service.name(), method.name());
                promises.insert(element, format!("{} -> {}", method.input_type(), method.output_type()));
            }
        }
    }
    promises
}

fn message_promises(prefix: &str, message: &DescriptorProto, promises: &mut BTreeMap<String, String>) {
    let name = format!("{prefix}{}", message.name());
    for field in &message.field {
        promises.insert(format!("field {} of {name}", field.number()), field_promise(field));
    }
    let inner = format!("{name}.");
    message.nested_type.iter().for_each(|nested| message_promises(&inner, nested, promises));
    message.enum_type.iter().for_each(|nested| enum_promises(&inner, nested, promises));
    promises.insert(format!("message {name}"), message.name().to_owned());
}

fn field_promise(field: &FieldDescriptorProto) -> String {
    let label = match field.oneof_index {
        _ if field.proto3_optional() => "optional",
        Some(_) => "oneof",
        None => field.label().as_str_name(),
    };
    let kind = match field.type_name() {
        "" => field.r#type().as_str_name(),
        name => name,
    };
    let text = format!("{label} {kind} {}", field.name());
    text.replace("LABEL_OPTIONAL ", "").replace("LABEL_", "").replace("TYPE_", "").to_lowercase()
}

fn enum_promises(prefix: &str, r#enum: &EnumDescriptorProto, promises: &mut BTreeMap<String, String>) {
    for value in &r#enum.value {
        promises.insert(format!("value {} of {prefix}{}", value.number(), r#enum.name()), value.name().to_owned());
    }
}
