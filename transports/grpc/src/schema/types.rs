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
    /// A message around a list, a map or an `Option`. It has the name of a newtype, or none.
    Wrapper(Option<&'a str>, &'a Shape),
    /// A message of key and value, where proto3 has no map with such keys.
    Entry(&'a Shape, &'a Shape),
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
    match shape.resolve(types) {
        Shape::Option(inner) => labelled(Label::Optional, inner, types),
        Shape::Seq(inner) if !is_byte(inner, types) => labelled(Label::Repeated, inner, types),
        Shape::Map(key, value) => match key_type(key, types) {
            Some(key) => labelled(Label::Map(key), value, types),
            None => Ok(message(Label::Repeated, Content::Entry(key, value))),
        },
        _ => single_type(shape, types),
    }
}

fn labelled<'a>(label: Label, inner: &'a Shape, types: &'a Types) -> Result<FieldType<'a>, String> {
    single_type(inner, types).map(|r#type| FieldType { label, ..r#type })
}

fn message(label: Label, content: Content<'_>) -> FieldType<'_> {
    FieldType { label, kind: Kind::Message, content }
}

fn is_byte(shape: &Shape, types: &Types) -> bool {
    *shape.resolve(types) == Shape::U8
}

/// The type of a single value, such as the element of a list.
pub(super) fn single_type<'a>(shape: &'a Shape, types: &'a Types) -> Result<FieldType<'a>, String> {
    let inner = shape.resolve(types);
    let kind = match inner {
        Shape::Bool => Kind::Bool,
        Shape::I8 | Shape::I16 | Shape::I32 => Kind::Int32,
        Shape::I64 => Kind::Int64,
        Shape::U8 | Shape::U16 | Shape::U32 => Kind::Uint32,
        Shape::U64 => Kind::Uint64,
        Shape::F32 => Kind::Float,
        Shape::F64 => Kind::Double,
        // What has no type of its own is text.
        Shape::String | Shape::I128 | Shape::U128 | Shape::Char => Kind::String,
        Shape::Bytes => Kind::Bytes,
        Shape::Seq(inner) if is_byte(inner, types) => Kind::Bytes,
        Shape::Named(name) => return named(name, types),
        Shape::Unit => return Ok(message(Label::One, Content::Tuple(&[]))),
        Shape::Option(_) | Shape::Seq(_) | Shape::Map(..) => {
            return Ok(message(Label::One, Content::Wrapper(newtype(shape), inner)));
        }
        Shape::Tuple(elements) => return Ok(message(Label::One, Content::Tuple(elements))),
    };
    Ok(FieldType { label: Label::One, kind, content: Content::Nothing })
}

/// The name of a shape that is resolved to something else, which is that of a newtype.
fn newtype(shape: &Shape) -> Option<&str> {
    if let Shape::Named(name) = shape { Some(name) } else { None }
}

fn named<'a>(name: &'a str, types: &'a Types) -> Result<FieldType<'a>, String> {
    let kind = match types.get(name) {
        Some(Container::Unit | Container::Struct(_) | Container::Tuple(_)) => Kind::Message,
        Some(container @ Container::Enum(_)) => {
            if container.is_plain_enum() {
                Kind::Enum
            } else {
                Kind::Message
            }
        }
        Some(Container::Newtype(_)) | None => return Err(format!("the type `{name}` is not known")),
    };
    Ok(FieldType { label: Label::One, kind, content: Content::Named(name) })
}

/// The type of the keys of a map, if proto3 allows it.
fn key_type(key: &Shape, types: &Types) -> Option<Kind> {
    match single_type(key, types).ok()?.kind {
        Kind::Bytes | Kind::Float | Kind::Double | Kind::Message | Kind::Enum => None,
        kind => Some(kind),
    }
}
