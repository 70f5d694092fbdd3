//! A method of gRPC in the form that every wire has.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};

use super::schema::path;
use crate::cli::remote::method::{Method, Parameter};

/// A message whose JSON is text: a text of its own, and not one in a format.
const TEXT_MESSAGE: &str = "google.protobuf.StringValue";

/// Describes a method. The fields of its request are the parameters, in the order of their numbers.
pub(in crate::cli) fn method(method: &MethodDescriptor) -> Method {
    let stream = |streams: bool| if streams { "stream " } else { "" };
    let reply = format!("{}{}", stream(method.is_server_streaming()), reply_type(method));
    Method {
        parameters: method.input().fields().map(|field| parameter(&field)).collect(),
        is_described: true,
        reply: Some(reply),
        streams: method.is_server_streaming(),
        docs: comment(method),
        ..Method::named(format!("{}{}", stream(method.is_client_streaming()), path(method)))
    }
}

fn parameter(field: &FieldDescriptor) -> Parameter {
    Parameter {
        name: Some(field.name().to_owned()),
        r#type: Some(type_name(field)),
        is_text: is_text(field),
        is_optional: field.supports_presence(),
        default: None,
    }
}

/// The type of the value that is printed.
fn reply_type(method: &MethodDescriptor) -> String {
    match wrapped(method) {
        Some(field) => type_name(&field),
        None => method.output().name().to_owned(),
    }
}

/// The only field of a reply that is wrapped in a message because gRPC has no bare values, as services of everywire do.
pub(super) fn wrapped(method: &MethodDescriptor) -> Option<FieldDescriptor> {
    let reply = method.output();
    let field = reply.get_field(1).filter(|field| field.name() == "value" && reply.fields().len() == 1);
    field.filter(|_| reply.name().strip_suffix("Reply") == Some(method.name()))
}

/// Bytes count as text: in JSON they are base64.
fn is_text(field: &FieldDescriptor) -> bool {
    match field.kind() {
        _ if field.is_list() || field.is_map() => false,
        Kind::String | Kind::Bytes => true,
        Kind::Message(message) => message.full_name() == TEXT_MESSAGE,
        _ => false,
    }
}

/// The type as a `.proto` file has it; prost-reflect's debug format has these words.
pub(super) fn type_name(field: &FieldDescriptor) -> String {
    match field.kind() {
        Kind::Message(entry) if field.is_map() => map_name(&entry),
        kind if field.is_list() => format!("repeated {kind:?}"),
        kind => format!("{kind:?}"),
    }
}

fn map_name(entry: &MessageDescriptor) -> String {
    format!("map<{:?}, {:?}>", entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind())
}

/// The comment above a method, if the server's files have comments.
fn comment(method: &MethodDescriptor) -> String {
    let file = method.parent_file();
    let locations = file.file_descriptor_proto().source_code_info.iter().flat_map(|info| &info.location);
    let mut found = locations.filter(|location| location.path == method.path());
    let text = found.next().map(|location| location.leading_comments().to_owned()).unwrap_or_default();
    text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
}
