//! Reading the arguments of a call.

use serde::{
    Deserializer,
    de::{Error as _, Visitor, value::SeqDeserializer},
    forward_to_deserialize_any,
};

use super::{
    elements::{Elements, nothing_left},
    error::Error,
    parser::{Parser, Tag},
    value::Value,
};

/// The arguments of a call, to the end of the element around them: `<params>`, which may be absent.
pub(crate) struct Params<'p, 'de>(pub(crate) &'p mut Parser<'de>);

impl<'de> Deserializer<'de> for Params<'_, 'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Self(parser) = self;
        if !parser.is_at(Tag::Params)? {
            parser.close()?;
            return visitor.visit_seq(nothing());
        }
        parser.open(Tag::Params)?;
        let arguments = visitor.visit_seq(Elements { parser, wrapper: Some(Tag::Param) })?;
        nothing_left(parser, Tag::Param)?;
        parser.close()?;
        parser.close()?;
        Ok(arguments)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The arguments of a call in a batch: an array, or nothing.
pub(crate) struct BatchParams<'de>(Option<Parser<'de>>);

impl<'de> BatchParams<'de> {
    /// The arguments in `params`, the text of a `<value>`; none if it is empty.
    pub(crate) fn new(params: &'de str, depth: usize) -> Self {
        Self((!params.is_empty()).then(|| Parser::new(params, depth)))
    }
}

impl<'de> Deserializer<'de> for BatchParams<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Self(Some(mut parser)) = self else { return visitor.visit_seq(nothing()) };
        let params = Value::new(&mut parser).if_array()?;
        params.ok_or_else(|| Error::custom("the params of a call in a batch are an array"))?.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

fn nothing() -> SeqDeserializer<impl Iterator<Item = ()>, Error> {
    SeqDeserializer::new(std::iter::empty())
}
