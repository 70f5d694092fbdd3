//! The reading half of a trace: a deserializer that has no input, gives every type what it asks for, and notes what that
//! was.

use std::collections::BTreeMap;

use serde::{Deserializer, de::Visitor, forward_to_deserialize_any};

use super::{
    access::{Entry, Once, OneVariant},
    tracer::{Reader, Tracer, Untraceable},
    types::{Container, Shape, full_name},
};

const SELF_DESCRIBING: &str = "it decodes from self-describing formats only (flatten, untagged, tag, any value); \
    use plain structs and externally tagged enums, or carry it as text";

/// Scalars: note the shape, give the sample.
macro_rules! scalars {
    ($($deserialize:ident $shape:ident $visit:ident $sample:expr;)+) => {
        $(fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Untraceable> {
            *self.shape = Some(Shape::$shape);
            let sample: fn(&mut Tracer) -> _ = $sample;
            let value = visitor.$visit(sample(self.tracer))?;
            self.tracer.accepted = true;
            Ok(value)
        })+
    };
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Untraceable;

    scalars! {
        deserialize_bool Bool visit_bool |_| false;
        deserialize_i8 I8 visit_i8 Tracer::integer;
        deserialize_i16 I16 visit_i16 Tracer::integer;
        deserialize_i32 I32 visit_i32 Tracer::integer;
        deserialize_i64 I64 visit_i64 Tracer::integer;
        deserialize_i128 I128 visit_i128 Tracer::integer;
        deserialize_u8 U8 visit_u8 Tracer::integer;
        deserialize_u16 U16 visit_u16 Tracer::integer;
        deserialize_u32 U32 visit_u32 Tracer::integer;
        deserialize_u64 U64 visit_u64 Tracer::integer;
        deserialize_u128 U128 visit_u128 Tracer::integer;
        deserialize_f32 F32 visit_f32 Tracer::short_float;
        deserialize_f64 F64 visit_f64 Tracer::float;
        deserialize_char Char visit_char |_| 'a';
        deserialize_str String visit_string Tracer::text;
        deserialize_string String visit_string Tracer::text;
        deserialize_bytes Bytes visit_byte_buf Tracer::bytes;
        deserialize_byte_buf Bytes visit_byte_buf Tracer::bytes;
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Untraceable> {
        *self.shape = Some(Shape::Unit);
        visitor.visit_unit()
    }

    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Untraceable> {
        let mut inner = None;
        let value = if self.tracer.is_recursive() {
            visitor.visit_none()?
        } else {
            visitor.visit_some(self.inner(&mut inner))?
        };
        *self.shape = Some(Shape::Option(Box::new(inner.unwrap_or(Shape::Unit))));
        Ok(value)
    }

    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Untraceable> {
        let mut element = None;
        let recursive = self.tracer.is_recursive();
        self.tracer.path.push("[]".to_owned());
        let reader = self.inner(&mut element);
        let value = visitor.visit_seq(Once { reader: (!recursive).then_some(reader) })?;
        self.tracer.path.pop();
        *self.shape = Some(Shape::Seq(Box::new(element.unwrap_or(Shape::Unit))));
        Ok(value)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Untraceable> {
        let (mut key, mut value) = (None, None);
        let given = self.tracer.is_recursive();
        self.tracer.path.push("{}".to_owned());
        let map = visitor.visit_map(Entry { tracer: self.tracer, given, key: &mut key, value: &mut value })?;
        self.tracer.path.pop();
        let unknown = |shape: Option<Shape>| Box::new(shape.unwrap_or(Shape::Unit));
        *self.shape = Some(Shape::Map(unknown(key), unknown(value)));
        Ok(map)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Untraceable> {
        let (value, elements) = self.tracer.elements(len, visitor)?;
        *self.shape = Some(Shape::Tuple(elements));
        Ok(value)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Untraceable> {
        self.named(full_name::<V::Value>(name), |_| Ok((visitor.visit_unit()?, Container::Unit)))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Untraceable> {
        self.named(full_name::<V::Value>(name), |tracer| {
            let mut shape = None;
            let value = visitor.visit_newtype_struct(Reader { tracer, shape: &mut shape })?;
            Ok((value, Container::Newtype(shape.unwrap_or(Shape::Unit))))
        })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Untraceable> {
        self.named(full_name::<V::Value>(name), |tracer| {
            tracer.elements(len, visitor).map(|(value, all)| (value, Container::Tuple(all)))
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Untraceable> {
        self.named(full_name::<V::Value>(name), |tracer| {
            tracer.fields(names, visitor).map(|(value, all)| (value, Container::Struct(all)))
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Untraceable> {
        let name = full_name::<V::Value>(name);
        self.named(name.clone(), |tracer| {
            let index = tracer.choose(&name, names);
            let mut content = Container::Unit;
            tracer.path.push(format!("::{}", names.get(index as usize).unwrap_or(&"")));
            let value = visitor.visit_enum(OneVariant { tracer, index, content: &mut content })?;
            tracer.path.pop();
            tracer.finish_variant(&name, index, content);
            Ok((value, Container::Enum(BTreeMap::new())))
        })
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Untraceable> {
        Err(Untraceable(SELF_DESCRIBING.to_owned()))
    }

    fn is_human_readable(&self) -> bool {
        true
    }

    forward_to_deserialize_any! { identifier ignored_any }
}
