//! Messages from arguments and to replies, in [proto3's mapping to JSON](https://protobuf.dev/programming-guides/json/).

use everywire::{Code, Result, RpcError};
use prost_reflect::{
    DynamicMessage, FieldDescriptor, MessageDescriptor, MethodDescriptor, SerializeOptions, prost::Message,
};
use serde_json::{Map, Value};

use super::describe::{method as describe, type_name, wrapped};
use crate::cli::remote::Arguments;

/// Encodes the request of a call, which is one message. One argument that is an object of the request's fields is the whole request.
pub(super) fn request(method: &MethodDescriptor, arguments: Arguments) -> Result<Vec<u8>> {
    if method.is_client_streaming() {
        let text = format!("{} takes a stream, which `everywire call` can't send", method.full_name());
        return Err(RpcError::unimplemented(text));
    }
    let input = method.input();
    let mut message = DynamicMessage::new(input.clone());
    for (name, value) in fields(method, arguments)? {
        let field = input.get_field_by_name(&name).or_else(|| input.get_field_by_json_name(&name));
        let field = field.ok_or_else(|| wrong(method, &format!("there is no field `{name}`")))?;
        let expected = |error| wrong(method, &format!("argument `{name}`: expected {}: {error}", type_name(&field)));
        if let Some(value) = field_value(&field, value).map_err(expected)? {
            message.set_field(&field, value);
        }
    }
    Ok(message.encode_to_vec())
}

/// The values by the names of their fields.
fn fields(method: &MethodDescriptor, arguments: Arguments) -> Result<Map<String, Value>> {
    let values = match arguments {
        Arguments::Named(values) => return Ok(values),
        Arguments::Positional(values) => values,
    };
    if let [Value::Object(fields)] = &values[..]
        && is_whole_request(&method.input(), fields)
    {
        return Ok(fields.clone());
    }
    let names: Vec<_> = method.input().fields().map(|field| field.name().to_owned()).collect();
    if values.len() > names.len() {
        return Err(wrong(method, &format!("{} arguments are too many", values.len())));
    }
    Ok(names.into_iter().zip(values).collect())
}

fn is_whole_request(request: &MessageDescriptor, fields: &Map<String, Value>) -> bool {
    let is_field =
        |name: &String| request.get_field_by_name(name).is_some() || request.get_field_by_json_name(name).is_some();
    !fields.is_empty() && fields.keys().all(is_field)
}

/// Reads one field, so that an error says which. `None` for `null`, which leaves a field out, and for its default.
fn field_value(field: &FieldDescriptor, value: Value) -> serde_json::Result<Option<prost_reflect::Value>> {
    let object = Value::Object(Map::from_iter([(field.name().to_owned(), value)]));
    let part = DynamicMessage::deserialize(field.parent_message().clone(), object)?;
    Ok(part.has_field(field).then(|| part.get_field(field).into_owned()))
}

fn wrong(method: &MethodDescriptor, reason: &str) -> RpcError {
    RpcError::invalid_argument(format!("{reason}; usage: {}", describe(method).signature()))
}

/// The reply in `bytes` as JSON: the message, or what it wraps. Fields have the names of the `.proto`, and integers of 64 bits
/// are numbers, as over the other wires.
pub(super) fn reply(method: &MethodDescriptor, bytes: &[u8]) -> Result<Value> {
    const OPTIONS: SerializeOptions =
        SerializeOptions::new().stringify_64_bit_integers(false).use_proto_field_name(true).skip_default_fields(false);
    let unreadable = |error: &dyn std::fmt::Display| {
        RpcError::new(Code::Internal, format!("{}: unreadable reply: {error}", method.name()))
    };
    let message = DynamicMessage::decode(method.output(), bytes).map_err(|error| unreadable(&error))?;
    let json = message.serialize_with_options(serde_json::value::Serializer, &OPTIONS);
    let mut json = json.map_err(|error| unreadable(&error))?;
    Ok(match wrapped(method) {
        Some(field) => json.get_mut(field.name()).map_or(Value::Null, Value::take),
        None => json,
    })
}
