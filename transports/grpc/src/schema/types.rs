//! Shapes as types of proto3.

use everywire_core::descriptor::shape::{Container, Shape, Types};
use prost_types::field_descriptor_proto::Type as Kind;

/// The type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FieldType<'a> {
    pub(super) label: Label,
    pub(super) kind: Kind,
    pub(super) content: Content<'a>,
}

/// What a field's type refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content<'a> {
    Nothing,
    /// The message or enum of this name.
    Named(&'a str),
    /// A message without a name.
    Tuple(&'a [Shape]),
}

/// How many values a field has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    One,
    Optional,
    Repeated,
    /// A map with this key.
    Map(Kind),
}

/// Checks that proto3 can express an argument or a reply of this shape, and everything inside it.
pub(super) fn carries(shape: &Shape, types: &Types) -> Result<(), String> {
    // A reply may be empty. An empty argument is rejected later, when its field is added.
    if is_unit(shape, types) {
        return Ok(());
    }
    shape.check_each(types, |shape| field_type(shape, types).map(|_| ()))
}

pub(super) fn is_unit(shape: &Shape, types: &Types) -> bool {
    match shape.resolve(types) {
        Shape::Unit => true,
        Shape::Named(name) => types.get(name) == Some(&Container::Unit),
        _ => false,
    }
}

/// The type of a field, or why proto3 has none.
pub(super) fn field_type<'a>(shape: &'a Shape, types: &'a Types) -> Result<FieldType<'a>, String> {
    let (label, inner) = match shape.resolve(types) {
        Shape::Option(inner) => (Label::Optional, inner),
        Shape::Seq(inner) if !is_byte(inner, types) => (Label::Repeated, inner),
        Shape::Map(key, value) => (Label::Map(key_type(key, types)?), value),
        _ => return single(shape, types),
    };
    let inner = single(inner, types).map_err(|reason| {
        let context = match label {
            Label::Optional => "inside an Option",
            Label::Map(_) => "as the value of a map",
            Label::One | Label::Repeated => "inside a list",
        };
        format!("{reason} ({context})")
    })?;
    Ok(FieldType { label, ..inner })
}

fn is_byte(shape: &Shape, types: &Types) -> bool {
    *shape.resolve(types) == Shape::U8
}

/// The type of a single value.
fn single<'a>(shape: &'a Shape, types: &'a Types) -> Result<FieldType<'a>, String> {
    let kind = match shape.resolve(types) {
        Shape::Bool => Kind::Bool,
        Shape::I8 | Shape::I16 | Shape::I32 => Kind::Int32,
        Shape::I64 => Kind::Int64,
        Shape::U8 | Shape::U16 | Shape::U32 => Kind::Uint32,
        Shape::U64 => Kind::Uint64,
        Shape::F32 => Kind::Float,
        Shape::F64 => Kind::Double,
        Shape::String => Kind::String,
        Shape::Bytes => Kind::Bytes,
        Shape::Seq(inner) if is_byte(inner, types) => Kind::Bytes,
        Shape::Named(name) => return named(name, types),
        Shape::Unit => return Err("proto3 has no field without a value".to_owned()),
        Shape::I128 | Shape::U128 => return Err("proto3 has no integers of more than 64 bits".to_owned()),
        Shape::Char => return Err("proto3 has no characters; use a String".to_owned()),
        Shape::Option(_) => return Err("proto3 has no Option here; put it into a struct".to_owned()),
        Shape::Seq(_) => return Err("proto3 has no list here; put it into a struct".to_owned()),
        Shape::Map(..) => return Err("proto3 has no map here; put it into a struct".to_owned()),
        Shape::Tuple(elements) => {
            return Ok(FieldType { label: Label::One, kind: Kind::Message, content: Content::Tuple(elements) });
        }
    };
    Ok(FieldType { label: Label::One, kind, content: Content::Nothing })
}

fn named<'a>(name: &'a str, types: &'a Types) -> Result<FieldType<'a>, String> {
    let kind = match types.get(name) {
        Some(Container::Struct(_) | Container::Tuple(_)) => Kind::Message,
        Some(Container::Enum(variants)) => {
            if let Some(variant) = variants.values().find(|variant| variant.content != Container::Unit) {
                return Err(format!("proto3 has no enums with data, such as `{name}::{}`", variant.name));
            }
            Kind::Enum
        }
        Some(Container::Unit) => return Err("proto3 has no field without a value".to_owned()),
        Some(Container::Newtype(_)) | None => return Err(format!("the type `{name}` is not known")),
    };
    Ok(FieldType { label: Label::One, kind, content: Content::Named(name) })
}

fn key_type(key: &Shape, types: &Types) -> Result<Kind, String> {
    match single(key, types) {
        Ok(FieldType { kind: Kind::Bytes | Kind::Float | Kind::Double | Kind::Message | Kind::Enum, .. }) | Err(_) => {
            Err("the key of a map must be a string, an integer or a bool".to_owned())
        }
        Ok(key) => Ok(key.kind),
    }
}
