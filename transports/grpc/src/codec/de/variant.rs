//! Enums with data: messages that have one of their fields.

use serde::de::{DeserializeSeed, EnumAccess, IntoDeserializer, VariantAccess, Visitor};

use super::{
    super::{
        error::{ABSENT_VARIANT, Error, Result},
        wire::{Records, last_member},
    },
    position::{At, Field, Message, Role},
};

impl Message<'_> {
    /// Reads an enum of `count` variants.
    pub(super) fn variant<'de, V: Visitor<'de>>(self, count: usize, visitor: V) -> Result<V::Value> {
        let scope = self.scope.deeper()?;
        let members = u32::try_from(count).unwrap_or(u32::MAX);
        let (number, rest) = last_member(self.bytes, members, scope)?.ok_or(ABSENT_VARIANT)?;
        let records = Records::of_one_field(rest, scope);
        visitor.visit_enum(Variant { records, number })
    }
}

/// The variant that a message sets, and its content.
struct Variant<'a> {
    records: Records<'a>,
    number: u32,
}

impl<'a> Variant<'a> {
    fn content(&mut self) -> At<'a, Field<'_, 'a>> {
        At::new(Field { records: &mut self.records, number: self.number, role: Role::Single })
    }
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self)> {
        let index = self.number - 1;
        Ok((seed.deserialize(IntoDeserializer::<Error>::into_deserializer(index))?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Error;

    fn unit_variant(mut self) -> Result<()> {
        self.content().empty()
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(mut self, seed: T) -> Result<T::Value> {
        seed.deserialize(self.content())
    }

    fn tuple_variant<V: Visitor<'de>>(mut self, length: usize, visitor: V) -> Result<V::Value> {
        self.content().fields(length, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(mut self, fields: &'static [&'static str], visitor: V) -> Result<V::Value> {
        self.content().fields(fields.len(), visitor)
    }
}
