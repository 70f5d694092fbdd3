//! Reading values.

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeSeed, Error as _, IntoDeserializer, VariantAccess, Visitor,
        value::{BorrowedStrDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};

use super::{
    elements::{typed, variant},
    error::Error,
    parser::Tag,
    scalar::{base64, integer, is_decimal, visit_text},
    value::{Content, RAW_VALUE, Value},
};

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

impl<'de> Value<'_, 'de> {
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
