//! The reading half of a trace: a deserializer that has no input, gives every type what it asks for, and notes what that
//! was.

use std::{any::type_name, collections::BTreeMap, rc::Rc};

use serde::{Deserializer, de::Visitor, forward_to_deserialize_any};

use super::{
    access::{Entry, Once, OneVariant},
    tracer::{Reader, Tracer, Untraceable},
    types::{Container, Shape, full_name},
};

pub(super) const SELF_DESCRIBING: &str = "it decodes from self-describing formats only (flatten, untagged, tag, any value); \
    use plain structs and externally tagged enums, or carry it as text";

/// Scalars: note the shape, give the sample.
macro_rules! scalars {
    ($($deserialize:ident $shape:ident $visit:ident $sample:expr;)+) => {
        $(fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Untraceable> {
            let sample: fn(&mut Tracer) -> _ = $sample;
            let value = visitor.$visit(sample(self.tracer))?;
            self.tracer.accepted = true;
            self.is(Shape::$shape);
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
        let value = visitor.visit_unit()?;
        self.is(Shape::Unit);
        Ok(value)
    }

    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Untraceable> {
        let mut inner = None;
        let value = if self.tracer.is_recursive() {
            visitor.visit_none()?
        } else {
            visitor.visit_some(self.inner(&mut inner))?
        };
        let inner = self.tracer.known(inner);
        self.is(Shape::Option(Box::new(inner)));
        Ok(value)
    }

    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Untraceable> {
        let mut element = None;
        let is_empty = self.tracer.is_recursive() || self.tracer.is_closed("[]");
        self.tracer.path.push("[]".to_owned());
        let reader = self.inner(&mut element);
        let value = visitor.visit_seq(Once { reader: (!is_empty).then_some(reader) })?;
        self.tracer.path.pop();
        let element = self.tracer.known(element);
        self.is(Shape::Seq(Box::new(element)));
        Ok(value)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Untraceable> {
        let (mut key, mut value) = (None, None);
        let given = self.tracer.is_recursive() || self.tracer.is_closed("{}");
        self.tracer.path.push("{}".to_owned());
        if self.tracer.is_flat() {
            return self.flat(visitor);
        }
        let map = visitor.visit_map(Entry { tracer: self.tracer, given, key: &mut key, value: &mut value })?;
        self.tracer.path.pop();
        if self.tracer.survey.is_some() && key.is_none() {
            return Ok(map);
        }
        let (key, value) = (self.tracer.known(key), self.tracer.known(value));
        self.is(Shape::Map(Box::new(key), Box::new(value)));
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
            let inner = tracer.known(shape);
            Ok((value, Container::Newtype(inner)))
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

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Untraceable> {
        if self.tracer.survey.is_none() {
            return Err(Untraceable(SELF_DESCRIBING.to_owned()));
        }
        let value = self.tracer.any(visitor)?;
        self.tracer.accepted = true;
        Ok(value)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Untraceable> {
        if self.tracer.path.last().is_some_and(|inside| inside == "{}") {
            self.tracer.note_flat();
        }
        Err(Untraceable(SELF_DESCRIBING.to_owned()))
    }

    fn is_human_readable(&self) -> bool {
        true
    }

    forward_to_deserialize_any! { ignored_any }
}

impl Reader<'_> {
    /// Reads a struct with flattened fields. The JSON Schema has the names of those that are its own, among others.
    fn flat<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Untraceable> {
        self.tracer.open.push(type_name::<V::Value>().to_owned());
        let samples = Rc::clone(&self.tracer.samples);
        let names: Vec<&str> = samples.names.iter().map(String::as_str).collect();
        let names = if self.tracer.is_recursive() { &[] } else { &names[..] };
        let (value, _) = self.tracer.fields_by_name(names, visitor)?;
        self.tracer.open.pop();
        self.tracer.path.pop();
        Ok(value)
    }
}

impl Tracer {
    /// Gives a type that reads any value one of each kind, until it accepts one.
    fn any<'de, V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Untraceable> {
        match self.sample(6) {
            0 => visitor.visit_unit(),
            1 => visitor.visit_bool(false),
            2 => visitor.visit_u64(0),
            3 => visitor.visit_string(String::new()),
            4 => visitor.visit_seq(Once { reader: None }),
            _ => visitor.visit_map(Entry { tracer: self, given: true, key: &mut None, value: &mut None }),
        }
    }
}
