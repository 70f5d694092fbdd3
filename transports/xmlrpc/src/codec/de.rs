//! Reading values.

use std::borrow::Cow;

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeSeed, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
        value::{BorrowedStrDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};

use super::{
    Error, Kind, Parser, Tag,
    parser::is_blank,
    scalar::{Key, base64, boolean, double, integer, is_decimal, visit_text},
};

/// The text of a `<value>`, to be read later. It is well-formed; nothing else was checked.
#[derive(Default, Deserialize)]
#[serde(rename = "$everywire::xmlrpc::RawValue")]
pub(crate) struct RawValue<'a>(pub(crate) &'a str);

/// By this name the deserializer knows [`RawValue`].
const RAW_VALUE: &str = "$everywire::xmlrpc::RawValue";

/// The `<value>` that comes next.
pub(crate) struct Value<'p, 'de> {
    parser: &'p mut Parser<'de>,
    /// What stands in the element, if its start was taken already.
    content: Option<Content<'de>>,
}

enum Content<'de> {
    /// Text without a type, to the end of the element: a string.
    Untyped(Cow<'de, str>),
    /// The start of the element that names the type.
    Typed(Tag),
}

impl<'p, 'de> Value<'p, 'de> {
    /// The `<value>` at which `parser` stands.
    pub(crate) fn new(parser: &'p mut Parser<'de>) -> Self {
        Self { parser, content: None }
    }

    fn content(&mut self) -> Result<Content<'de>, Error> {
        if let Some(content) = self.content.take() {
            return Ok(content);
        }
        self.parser.open(Tag::Value)?;
        let text = self.parser.text()?;
        match self.parser.open_or_close()? {
            None => Ok(Content::Untyped(text)),
            Some(tag) if is_blank(&text) => Ok(Content::Typed(tag)),
            Some(_) => Err(Error::new(Kind::Structure, "text next to an element in a value")),
        }
    }

    /// The value, if it is an array.
    pub(super) fn if_array(mut self) -> Result<Option<Self>, Error> {
        let content = self.content()?;
        let is_array = matches!(content, Content::Typed(Tag::Array));
        Ok(is_array.then_some(Self { content: Some(content), ..self }))
    }

    /// Reads an integer of a type that can hold more than an `<int>`. A string of decimal digits is accepted too: many clients,
    /// such as Python's, can't send an integer beyond 32 bits in any other way.
    fn long_integer<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        let content = self.content()?;
        let text = match content {
            Content::Untyped(text) => text,
            Content::Typed(Tag::String) => {
                let text = self.parser.text_element()?;
                self.parser.close()?;
                text
            }
            content @ Content::Typed(_) => return Self { content: Some(content), ..self }.deserialize_any(visitor),
        };
        if is_decimal(&text) { integer(&text, visitor) } else { visit_text(text, visitor) }
    }
}

macro_rules! long_integers {
    ($($method:ident)+) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.long_integer(visitor)
        })+
    };
}

impl<'de> Deserializer<'de> for Value<'_, 'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        match self.content()? {
            Content::Untyped(text) => visit_text(text, visitor),
            Content::Typed(tag) => {
                let value = typed(self.parser, tag, visitor)?;
                self.parser.close()?;
                Ok(value)
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        match self.content()? {
            Content::Typed(Tag::Nil) => {
                self.parser.close()?;
                self.parser.close()?;
                visitor.visit_none()
            }
            content => visitor.visit_some(Self { content: Some(content), ..self }),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        match self.content()? {
            Content::Typed(Tag::Base64) => {
                let bytes = base64(&self.parser.text_element()?)?;
                self.parser.close()?;
                visitor.visit_seq(SeqDeserializer::new(bytes.into_iter()))
            }
            content => Self { content: Some(content), ..self }.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        mut self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.content()? {
            Content::Untyped(text) => visitor.visit_enum(text.into_deserializer()),
            Content::Typed(Tag::String) => {
                let text = self.parser.text_element()?;
                self.parser.close()?;
                visitor.visit_enum(text.into_deserializer())
            }
            Content::Typed(Tag::Struct) => variant(self.parser, visitor),
            Content::Typed(_) => Err(Error::custom("an enum is a string or a struct with one member")),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        if name == RAW_VALUE {
            let raw = self.parser.skip(Tag::Value)?;
            return visitor.visit_newtype_struct(BorrowedStrDeserializer::new(raw));
        }
        visitor.visit_newtype_struct(self)
    }

    long_integers! { deserialize_u32 deserialize_i64 deserialize_u64 deserialize_i128 deserialize_u128 }

    forward_to_deserialize_any! {
        bool i8 i16 i32 u8 u16 f32 f64 char str string bytes byte_buf unit unit_struct tuple_struct map struct
        identifier ignored_any
    }
}

/// Reads the content and the end of the element `tag`.
fn typed<'de, V: Visitor<'de>>(parser: &mut Parser<'de>, tag: Tag, visitor: V) -> Result<V::Value, Error> {
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
fn variant<'de, V: Visitor<'de>>(parser: &mut Parser<'de>, visitor: V) -> Result<V::Value, Error> {
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

impl<'de> VariantAccess<'de> for Value<'_, 'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        <()>::deserialize(self)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _fields: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }
}
