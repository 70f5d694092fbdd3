//! Reads what is inside a value: its text, its elements or its members.

use std::borrow::Cow;

use serde::de::{DeserializeSeed, EnumAccess, Error as _, MapAccess, SeqAccess, Visitor};

use super::{
    error::{Error, Kind},
    parser::{Parser, Tag},
    scalar::{Key, base64, boolean, double, integer, visit_text},
    value::Value,
};

/// Reads the content and the end of the element `tag`.
pub(super) fn typed<'de, V: Visitor<'de>>(parser: &mut Parser<'de>, tag: Tag, visitor: V) -> Result<V::Value, Error> {
    match tag {
        Tag::Int => integer(parser.text_element()?.trim(), visitor),
        Tag::Boolean => visitor.visit_bool(boolean(parser.text_element()?.trim())?),
        Tag::Double => visitor.visit_f64(double(parser.text_element()?.trim())?),
        Tag::String | Tag::DateTime => visit_text(parser.text_element()?, visitor),
        Tag::Base64 => visitor.visit_byte_buf(base64(&parser.text_element()?)?),
        Tag::Nil => parser.close().and_then(|()| visitor.visit_unit()),
        Tag::Array => array(parser, visitor),
        Tag::Struct => members(parser, visitor),
        _ => Err(Error::new(Kind::Structure, format!("not XML-RPC: {tag:?} is not a type of values"))),
    }
}

/// The specification requires a `<data>`; Python's and Ruby's servers also read an array without it.
fn array<'de, V: Visitor<'de>>(parser: &mut Parser<'de>, visitor: V) -> Result<V::Value, Error> {
    parser.descend()?;
    let has_data = parser.is_at(Tag::Data)?;
    if has_data {
        parser.open(Tag::Data)?;
    }
    let elements = visitor.visit_seq(Elements { parser, wrapper: None })?;
    nothing_left(parser, Tag::Value)?;
    if has_data {
        parser.close()?;
    }
    parser.close()?;
    parser.ascend();
    Ok(elements)
}

fn members<'de, V: Visitor<'de>>(parser: &mut Parser<'de>, visitor: V) -> Result<V::Value, Error> {
    parser.descend()?;
    let members = visitor.visit_map(Members { parser })?;
    nothing_left(parser, Tag::Member)?;
    parser.close()?;
    parser.ascend();
    Ok(members)
}

/// Reads an enum's variant that carries data, to the end of its value.
pub(super) fn variant<'de, V: Visitor<'de>>(parser: &mut Parser<'de>, visitor: V) -> Result<V::Value, Error> {
    parser.descend()?;
    if !parser.is_at(Tag::Member)? {
        return Err(Error::custom("a struct without a member is not an enum"));
    }
    let name = member_name(parser)?;
    let value = visitor.visit_enum(Variant { parser, name })?;
    parser.close()?;
    nothing_left(parser, Tag::Member)?;
    parser.close()?;
    parser.close()?;
    parser.ascend();
    Ok(value)
}

fn member_name<'de>(parser: &mut Parser<'de>) -> Result<Cow<'de, str>, Error> {
    parser.open(Tag::Member)?;
    parser.open(Tag::Name)?;
    parser.text_element()
}

/// A visitor may stop before the last element; serde leaves it to the format to notice.
pub(super) fn nothing_left(parser: &mut Parser<'_>, tag: Tag) -> Result<(), Error> {
    if parser.is_at(tag)? { Err(Error::custom("more elements than expected")) } else { Ok(()) }
}

/// Values one after another, each inside a `wrapper` if there is one.
pub(super) struct Elements<'p, 'de> {
    pub(super) parser: &'p mut Parser<'de>,
    pub(super) wrapper: Option<Tag>,
}

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if !self.parser.is_at(self.wrapper.unwrap_or(Tag::Value))? {
            return Ok(None);
        }
        let Some(wrapper) = self.wrapper else {
            return seed.deserialize(Value::new(self.parser)).map(Some);
        };
        self.parser.open(wrapper)?;
        let element = seed.deserialize(Value::new(self.parser))?;
        self.parser.close()?;
        Ok(Some(element))
    }
}

struct Members<'p, 'de> {
    parser: &'p mut Parser<'de>,
}

impl<'de> MapAccess<'de> for Members<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        if !self.parser.is_at(Tag::Member)? {
            return Ok(None);
        }
        seed.deserialize(Key(member_name(self.parser)?)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let value = seed.deserialize(Value::new(self.parser))?;
        self.parser.close()?;
        Ok(value)
    }
}

struct Variant<'p, 'de> {
    parser: &'p mut Parser<'de>,
    name: Cow<'de, str>,
}

impl<'p, 'de> EnumAccess<'de> for Variant<'p, 'de> {
    type Error = Error;
    type Variant = Value<'p, 'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self::Variant), Error> {
        Ok((seed.deserialize(Key(self.name))?, Value::new(self.parser)))
    }
}
