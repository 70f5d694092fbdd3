//! The members of a message, before they have a number.

use std::borrow::Cow;

use everywire_core::descriptor::shape::{Container, Field, Shape, Variant};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, MessageOptions,
    field_descriptor_proto::{Label as ProtoLabel, Type as Kind},
};

use super::names::snake_case;

/// A field of a message.
pub(super) struct Member<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) value: Value<'a>,
}

/// What a field holds.
pub(super) enum Value<'a> {
    /// Any number of values.
    Field(&'a Shape),
    /// One value, neither repeated nor optional.
    Single(&'a Shape),
    /// A message without a name, with these members.
    Message(Vec<Member<'a>>),
}

impl<'a> Member<'a> {
    pub(super) fn field(name: impl Into<Cow<'a, str>>, shape: &'a Shape) -> Self {
        Self { name: name.into(), value: Value::Field(shape) }
    }

    /// The variant of an enum with data. A plain one is an empty message, to which fields can be appended later.
    pub(super) fn variant(variant: &'a Variant) -> Self {
        let value = match &variant.content {
            Container::Newtype(inner) => Value::Single(inner),
            Container::Tuple(elements) => Value::Message(tuple(elements)),
            Container::Struct(members) => Value::Message(fields(members)),
            Container::Unit | Container::Enum(_) => Value::Message(vec![]),
        };
        Self { name: snake_case(&variant.name).into(), value }
    }
}

pub(super) fn fields(fields: &[Field]) -> Vec<Member<'_>> {
    fields.iter().map(|field| Member::field(field.name.as_str(), &field.shape)).collect()
}

pub(super) fn tuple(elements: &[Shape]) -> Vec<Member<'_>> {
    (1..).zip(elements).map(|(number, element)| Member::field(format!("field_{number}"), element)).collect()
}

/// The entry of a map whose keys proto3 doesn't allow.
pub(super) fn entry<'a>(key: &'a Shape, value: &'a Shape) -> Vec<Member<'a>> {
    vec![Member::field("key", key), Member { name: "value".into(), value: Value::Single(value) }]
}

/// The entry of a map of proto3. `value` is the field of the map.
pub(super) fn map_entry(name: String, key: Kind, value: FieldDescriptorProto) -> DescriptorProto {
    let key = FieldDescriptorProto { r#type: Some(key.into()), ..Default::default() };
    DescriptorProto {
        name: Some(name),
        field: vec![entry_field("key", 1, key), entry_field("value", 2, value)],
        options: Some(MessageOptions { map_entry: Some(true), ..Default::default() }),
        ..Default::default()
    }
}

fn entry_field(name: &str, number: i32, field: FieldDescriptorProto) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(ProtoLabel::Optional.into()),
        json_name: Some(name.to_owned()),
        ..field
    }
}
